//! Pods.

use super::{Meta, nullable, parse_address};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Deserializer};

/// A pod: its addresses, and whether it still runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Name, namespace and labels.
    pub meta: Meta,
    /// `status.podIPs`; empty before the pod has a sandbox.
    pub ips: Vec<IpAddr>,
    /// Its phase is Succeeded, Failed or Unknown: its address may be another pod's already.
    pub finished: bool,
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Json {
            metadata: Meta,
            #[serde(default, deserialize_with = "nullable")]
            status: Status,
        }
        #[derive(Default, Deserialize)]
        struct Status {
            #[serde(default, deserialize_with = "nullable")]
            phase: String,
            #[serde(rename = "podIPs", default, deserialize_with = "nullable")]
            pod_ips: Vec<PodIp>,
        }
        #[derive(Deserialize)]
        struct PodIp {
            #[serde(default, deserialize_with = "nullable")]
            ip: String,
        }
        let Json { metadata, status } = Json::deserialize(deserializer)?;
        let mut ips = Vec::with_capacity(status.pod_ips.len());
        for (index, PodIp { ip }) in status.pod_ips.iter().enumerate().filter(|(_, pod_ip)| !pod_ip.ip.is_empty()) {
            let address = parse_address(ip)
                .map_err(|error| serde::de::Error::custom(format!("status.podIPs[{index}].ip: {error}")))?;
            ips.push(address);
        }
        let finished = matches!(status.phase.as_str(), "Succeeded" | "Failed" | "Unknown");
        Ok(Self { meta: metadata, ips, finished })
    }
}
