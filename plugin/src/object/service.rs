//! Services.

use super::{Labels, Meta, Port, nullable, parse_address};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Deserializer};

/// How a Service is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceKind {
    /// By its own addresses: types `ClusterIP`, `NodePort` and `LoadBalancer`.
    #[default]
    ClusterIp,
    /// By the addresses of its endpoints: `clusterIP: None`.
    Headless,
    /// By a CNAME: type `ExternalName`.
    ExternalName,
}

/// An address under which a Service is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAddress {
    /// Of `spec.externalIPs`, or a load balancer's.
    Ip(IpAddr),
    /// A load balancer's name.
    Hostname(Box<str>),
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Name, namespace and labels.
    pub meta: Meta,
    /// How it is answered.
    pub kind: ServiceKind,
    /// Its own addresses, in the order of the object (the primary family first); empty unless `ClusterIp`.
    pub cluster_ips: Vec<IpAddr>,
    /// The target, for `ExternalName`; else empty.
    pub external_name: Box<str>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// `spec.externalIPs`, then the load balancer's addresses.
    pub external: Vec<ExternalAddress>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    kind: String,
    #[serde(rename = "clusterIP", default, deserialize_with = "nullable")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs", default, deserialize_with = "nullable")]
    cluster_ips: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    external_name: Box<str>,
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(rename = "externalIPs", default, deserialize_with = "nullable")]
    external_ips: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, deserialize_with = "nullable")]
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
struct LoadBalancer {
    #[serde(default, deserialize_with = "nullable")]
    ingress: Vec<Ingress>,
}

#[derive(Deserialize)]
struct Ingress {
    #[serde(default, deserialize_with = "nullable")]
    ip: String,
    #[serde(default, deserialize_with = "nullable")]
    hostname: Box<str>,
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Json {
            metadata: Meta,
            #[serde(default, deserialize_with = "nullable")]
            spec: Spec,
            #[serde(default, deserialize_with = "nullable")]
            status: Status,
        }
        let Json { metadata, spec, status } = Json::deserialize(deserializer)?;
        from_parts(metadata, spec, status).map_err(serde::de::Error::custom)
    }
}

fn from_parts(meta: Meta, spec: Spec, status: Status) -> Result<Service, String> {
    let spelled = if spec.cluster_ips.is_empty() { alloc::vec![spec.cluster_ip] } else { spec.cluster_ips };
    let kind = match spec.kind.as_str() {
        "ExternalName" => ServiceKind::ExternalName,
        _ if spelled.first().is_some_and(|ip| ip == "None") => ServiceKind::Headless,
        _ => ServiceKind::ClusterIp,
    };
    let mut cluster_ips = Vec::new();
    if kind == ServiceKind::ClusterIp {
        // An address that is not given yet is empty.
        for (index, text) in spelled.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let address = parse_address(text).map_err(|error| format!("spec.clusterIPs[{index}]: {error}"))?;
            cluster_ips.push(address);
        }
    }
    let mut external = Vec::new();
    for (index, text) in spec.external_ips.iter().enumerate() {
        let address = parse_address(text).map_err(|error| format!("spec.externalIPs[{index}]: {error}"))?;
        external.push(ExternalAddress::Ip(address));
    }
    for (index, ingress) in status.load_balancer.ingress.into_iter().enumerate() {
        if !ingress.ip.is_empty() {
            let address = parse_address(&ingress.ip)
                .map_err(|error| format!("status.loadBalancer.ingress[{index}].ip: {error}"))?;
            external.push(ExternalAddress::Ip(address));
        } else if !ingress.hostname.is_empty() {
            external.push(ExternalAddress::Hostname(ingress.hostname));
        }
    }
    let external_name = if kind == ServiceKind::ExternalName { spec.external_name } else { Box::default() };
    Ok(Service { meta, kind, cluster_ips, external_name, ports: spec.ports, external })
}

impl Service {
    /// A `ClusterIP` Service, for callers that build objects themselves.
    pub fn new(namespace: &str, name: &str, cluster_ips: Vec<IpAddr>, ports: Vec<Port>) -> Self {
        Self {
            meta: Meta { name: name.into(), namespace: namespace.into(), labels: Labels::new(), ..Meta::default() },
            cluster_ips,
            ports,
            ..Self::default()
        }
    }
}
