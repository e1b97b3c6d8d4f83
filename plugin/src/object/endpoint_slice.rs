//! `EndpointSlice`s: the addresses behind a Service.

use super::{AddressError, Meta, Port, nullable, parse_address};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Deserializer};

/// The label that names the Service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names the `ServiceImport` of a slice (Multi-Cluster Services API).
pub const MULTICLUSTER_SERVICE_NAME: &str = "multicluster.kubernetes.io/service-name";
/// The label that names the cluster that a slice comes from (Multi-Cluster Services API).
pub const SOURCE_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";

/// An `EndpointSlice`, with its ready endpoints only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Name, namespace and labels; the labels name the Service.
    pub meta: Meta,
    /// The ports of all its endpoints; empty where it has none.
    pub ports: Vec<Port>,
    /// The endpoints that are ready. A slice of address type FQDN has none: such slices are not served.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint that is ready, or does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses; consumers use each (CoreDNS does), though the API asks for one.
    pub addresses: Vec<EndpointAddress>,
    /// Its hostname, or empty.
    pub hostname: Box<str>,
    /// The name of its pod, or empty; also empty where it would not fit a label.
    pub target_name: Box<str>,
    /// Its topology zone, or empty.
    pub zone: Box<str>,
}

/// An address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The address.
    pub ip: IpAddr,
    /// How the object spells it, where that is not the canonical form: the endpoint's name is made of the spelling.
    pub spelled: Option<Box<str>>,
}

impl EndpointAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// The text, when it is not an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let ip = parse_address(text)?;
        let canonical = ip.to_string() == text;
        Ok(Self { ip, spelled: (!canonical).then(|| text.into()) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointJson {
    #[serde(default, deserialize_with = "nullable")]
    addresses: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    conditions: Conditions,
    #[serde(default, deserialize_with = "nullable")]
    hostname: Box<str>,
    #[serde(default, deserialize_with = "nullable")]
    target_ref: TargetRef,
    #[serde(default, deserialize_with = "nullable")]
    zone: Box<str>,
}

#[derive(Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
struct TargetRef {
    #[serde(default, deserialize_with = "nullable")]
    name: Box<str>,
}

impl<'de> Deserialize<'de> for EndpointSlice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            metadata: Meta,
            #[serde(default, deserialize_with = "nullable")]
            address_type: Box<str>,
            #[serde(default, deserialize_with = "nullable")]
            ports: Vec<Port>,
            #[serde(default, deserialize_with = "nullable")]
            endpoints: Vec<EndpointJson>,
        }
        let json = Json::deserialize(deserializer)?;
        let mut endpoints = Vec::with_capacity(json.endpoints.len());
        let served = &*json.address_type != "FQDN";
        for (index, endpoint) in json.endpoints.into_iter().enumerate().filter(|_| served) {
            // Absent means ready (API documentation of EndpointConditions). Terminating endpoints are not ready
            // unless the Service publishes them.
            if endpoint.conditions.ready == Some(false) {
                continue;
            }
            let mut addresses = Vec::with_capacity(endpoint.addresses.len());
            for (place, text) in endpoint.addresses.iter().enumerate() {
                let address = EndpointAddress::parse(text).map_err(|error| {
                    serde::de::Error::custom(format!("endpoints[{index}].addresses[{place}]: {error}"))
                })?;
                addresses.push(address);
            }
            let fits_label = endpoint.target_ref.name.len() < 64;
            endpoints.push(Endpoint {
                addresses,
                hostname: endpoint.hostname,
                target_name: if fits_label { endpoint.target_ref.name } else { Box::default() },
                zone: endpoint.zone,
            });
        }
        Ok(Self { meta: json.metadata, ports: json.ports, endpoints })
    }
}

impl EndpointSlice {
    /// The Service that its label names, or empty.
    pub fn service(&self) -> &str {
        self.meta.labels.get(SERVICE_NAME).map_or("", String::as_str)
    }

    /// The `ServiceImport` that its label names, if it has that label.
    pub fn imported_service(&self) -> Option<&str> {
        self.meta.labels.get(MULTICLUSTER_SERVICE_NAME).map(String::as_str)
    }

    /// The cluster that its label names, or empty.
    pub fn source_cluster(&self) -> &str {
        self.meta.labels.get(SOURCE_CLUSTER).map_or("", String::as_str)
    }

    /// A slice of a Service, for callers that build objects themselves.
    pub fn new(namespace: &str, name: &str, service: &str, ports: Vec<Port>, endpoints: Vec<Endpoint>) -> Self {
        let mut meta = Meta { name: name.into(), namespace: namespace.into(), ..Meta::default() };
        meta.labels.insert(SERVICE_NAME.to_owned(), service.to_owned());
        Self { meta, ports, endpoints }
    }
}
