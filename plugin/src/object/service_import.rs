//! `ServiceImport`s of the Multi-Cluster Services API.

use super::{Meta, Port, nullable, parse_address};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Deserializer};

/// A Service of the cluster set, as seen from this cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceImport {
    /// Name, namespace and labels.
    pub meta: Meta,
    /// `spec.type: Headless`: answered by the endpoints of its slices.
    pub headless: bool,
    /// Its addresses in this cluster.
    pub ips: Vec<IpAddr>,
    /// Its ports. Without any it is not answered (unlike a Service).
    pub ports: Vec<Port>,
}

impl<'de> Deserialize<'de> for ServiceImport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Json {
            metadata: Meta,
            #[serde(default, deserialize_with = "nullable")]
            spec: Spec,
        }
        #[derive(Default, Deserialize)]
        struct Spec {
            #[serde(rename = "type", default, deserialize_with = "nullable")]
            kind: String,
            #[serde(default, deserialize_with = "nullable")]
            ips: Vec<String>,
            #[serde(default, deserialize_with = "nullable")]
            ports: Vec<Port>,
        }
        let Json { metadata, spec } = Json::deserialize(deserializer)?;
        let mut ips = Vec::with_capacity(spec.ips.len());
        for (index, text) in spec.ips.iter().enumerate() {
            let address =
                parse_address(text).map_err(|error| serde::de::Error::custom(format!("spec.ips[{index}]: {error}")))?;
            ips.push(address);
        }
        Ok(Self { meta: metadata, headless: spec.kind == "Headless", ips, ports: spec.ports })
    }
}
