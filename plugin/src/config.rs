//! The options of the directive that change answers, as plain data, and their checked form.

use crate::hash::KeyHasher;
use crate::name::{self, NameError};
use crate::selector::{LabelSelector, SelectorError};
use crate::store::record::Naming;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is served for `a-b-c-d.NAMESPACE.pod.ZONE` (CoreDNS's option `pods`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodMode {
    /// Nothing: NXDOMAIN.
    #[default]
    Disabled,
    /// Any well-formed address in an existing namespace, whether a pod has it or not.
    Insecure,
    /// Only the address of a pod of that namespace. The only mode that watches pods.
    Verified,
}

/// The options of the directive `kubernetes`, as CoreDNS v1.15.0 names them, that decide what is answered.
///
/// Zones are domain names with or without the final dot, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the directive has these switches")]
pub struct Config {
    /// The zones served, reverse zones (`in-addr.arpa`, `ip6.arpa` or below) among them. The first that is not
    /// reverse is the one that PTR records point into.
    pub zones: Vec<String>,
    /// When not empty: only these namespaces are exposed.
    pub namespaces: Vec<String>,
    /// Only namespaces whose labels match are exposed. Excludes `namespaces`.
    pub namespace_labels: Option<String>,
    /// Only Services, EndpointSlices and Pods whose labels match are known.
    pub labels: Option<String>,
    /// How names of pods are answered.
    pub pods: PodMode,
    /// Endpoints without a hostname are named after their pod rather than their address.
    pub endpoint_pod_names: bool,
    /// TTL of the records, in seconds, 0 to 3600.
    pub ttl: u32,
    /// EndpointSlices are not watched: headless and endpoint names do not exist.
    pub noendpoints: bool,
    /// Zones in which a name that does not exist is handed on instead of NXDOMAIN; `.` for all, empty for none.
    pub fallthrough: Vec<String>,
    /// `ignore empty_service`: a ClusterIP Service without ready endpoints does not exist.
    pub ignore_empty_service: bool,
    /// The zones, of those served, that answer for `ServiceImport`s (Multi-Cluster Services API).
    pub multicluster: Vec<String>,
    /// `TOPOLOGYZONE.pin|prefer._zone.SERVICE.NAMESPACE.svc.ZONE` is answered for headless Services.
    pub zonal: bool,
    /// Keep the labels of pods, for metadata about clients. Costs memory for each pod.
    pub pod_labels: bool,
    /// Seed of the hashes of names and addresses. Take it from the operating system's random source.
    pub hash_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            zones: vec![String::from("cluster.local.")],
            namespaces: Vec::new(),
            namespace_labels: None,
            labels: None,
            pods: PodMode::Disabled,
            endpoint_pod_names: false,
            ttl: 5,
            noendpoints: false,
            fallthrough: Vec::new(),
            ignore_empty_service: false,
            multicluster: Vec::new(),
            zonal: false,
            pod_labels: false,
            hash_seed: 0,
        }
    }
}

/// Why a [`Config`] cannot be served. The conditions are those of CoreDNS's plugin/kubernetes/setup.go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// All zones are reverse zones, or there is none.
    #[error("non-reverse zone name must be used: PTR records need a zone to point into, such as cluster.local")]
    NoForwardZone,
    /// A zone is not a domain name.
    #[error("zone '{zone}' is not a domain name: {reason}")]
    BadZone {
        /// The zone as given.
        zone: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A zone that leaves no room for the names that its own SOA record holds.
    #[error("zone '{zone}' is too long: 'hostmaster.{zone}' would be longer than 255 octets")]
    LongZone {
        /// The zone as given.
        zone: String,
    },
    /// Two options that exclude each other.
    #[error("namespaces and namespace_labels cannot both be set")]
    BothNamespaceFilters,
    /// A multicluster zone that is not among the zones served.
    #[error("is not authoritative for the multicluster zone {zone} (authoritative zones: {zones:?})")]
    MulticlusterZoneNotServed {
        /// The zone as given.
        zone: String,
        /// The zones served.
        zones: Vec<String>,
    },
    /// `zonal` is answered from endpoints, which `noendpoints` leaves out.
    #[error("zonal requires the endpoint cache; remove noendpoints")]
    ZonalWithoutEndpoints,
    /// A TTL over an hour.
    #[error("ttl must be in range [0, 3600]: {0}")]
    Ttl(u32),
    /// `labels` is not a label selector.
    #[error("labels: {0}")]
    Labels(SelectorError),
    /// `namespace_labels` is not a label selector.
    #[error("namespace_labels: {0}")]
    NamespaceLabels(SelectorError),
}

/// A zone served, ready to be matched.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// Wire form, lower case.
    pub wire: Box<[u8]>,
    /// Number of labels.
    pub labels: usize,
    /// Answers for `ServiceImport`s instead of Services.
    pub multicluster: bool,
}

/// A checked [`Config`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the directive has these switches")]
pub(crate) struct Settings {
    /// Longest first, so that the first match is the longest.
    pub zones: Vec<Zone>,
    /// Wire form of the zone that PTR records point into.
    pub primary_zone: Box<[u8]>,
    pub namespaces: Vec<String>,
    pub namespace_selector: LabelSelector,
    pub selector: LabelSelector,
    pub pods: PodMode,
    pub endpoint_pod_names: bool,
    pub ttl: u32,
    pub noendpoints: bool,
    /// Wire forms, lower case.
    pub fallthrough: Vec<Box<[u8]>>,
    pub ignore_empty_service: bool,
    pub multicluster: bool,
    pub zonal: bool,
    pub pod_labels: bool,
    pub hasher: KeyHasher,
}

impl Settings {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if !config.namespaces.is_empty() && config.namespace_labels.is_some() {
            return Err(ConfigError::BothNamespaceFilters);
        }
        if config.zonal && config.noendpoints {
            return Err(ConfigError::ZonalWithoutEndpoints);
        }
        if config.ttl > 3600 {
            return Err(ConfigError::Ttl(config.ttl));
        }
        let served = wire_zones(&config.zones)?;
        for (wire, zone) in served.iter().zip(&config.zones) {
            if wire.len() + HOSTMASTER.len() > name::MAX_NAME {
                return Err(ConfigError::LongZone { zone: zone.clone() });
            }
        }
        let multicluster = wire_zones(&config.multicluster)?;
        for (wire, zone) in multicluster.iter().zip(&config.multicluster) {
            if !served.contains(wire) {
                return Err(ConfigError::MulticlusterZoneNotServed { zone: zone.clone(), zones: config.zones.clone() });
            }
        }
        let primary_zone =
            served.iter().find(|wire| !is_reverse_zone(wire)).cloned().ok_or(ConfigError::NoForwardZone)?;
        let mut zones: Vec<Zone> = served
            .into_iter()
            .map(|wire| Zone {
                labels: name::labels(&wire).count(),
                // CoreDNS asks whether the zone is below a multicluster zone, not only whether it is one.
                multicluster: multicluster.iter().any(|parent| name::is_subdomain(parent, &wire)),
                wire,
            })
            .collect();
        zones.sort_by_key(|zone| core::cmp::Reverse(zone.wire.len()));
        let selector =
            |text: &Option<String>| text.as_deref().map_or(Ok(LabelSelector::default()), LabelSelector::parse);
        Ok(Self {
            zones,
            primary_zone,
            namespaces: config.namespaces.clone(),
            namespace_selector: selector(&config.namespace_labels).map_err(ConfigError::NamespaceLabels)?,
            selector: selector(&config.labels).map_err(ConfigError::Labels)?,
            pods: config.pods,
            endpoint_pod_names: config.endpoint_pod_names,
            ttl: config.ttl,
            noendpoints: config.noendpoints,
            fallthrough: wire_zones(&config.fallthrough)?,
            ignore_empty_service: config.ignore_empty_service,
            multicluster: !multicluster.is_empty(),
            zonal: config.zonal,
            pod_labels: config.pod_labels,
            hasher: KeyHasher::new(config.hash_seed),
        })
    }

    /// How endpoints are named.
    pub fn naming(&self) -> Naming {
        // The zones are sorted, and the primary zone is one of them.
        let longest_zone = self.zones.first().map_or(1, |zone| zone.wire.len());
        Naming { pod_names: self.endpoint_pod_names, zones: self.zonal, longest_zone }
    }

    /// The `namespaces` option alone: whether it names this namespace, or is not used.
    pub fn namespace_configured(&self, namespace: &[u8]) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|name| name.as_bytes() == namespace)
    }
}

pub(crate) fn wire_zones(zones: &[String]) -> Result<Vec<Box<[u8]>>, ConfigError> {
    zones
        .iter()
        .map(|zone| {
            let mut wire =
                name::from_text(zone).map_err(|reason| ConfigError::BadZone { zone: zone.clone(), reason })?;
            wire.make_ascii_lowercase();
            Ok(wire)
        })
        .collect()
}

/// The label of a zone's contact, in wire form.
pub(crate) const HOSTMASTER: &[u8] = b"\x0ahostmaster";

/// Below `in-addr.arpa.` or `ip6.arpa.` or one of them.
///
/// CoreDNS (`dnsutil.IsReverse`) looks for `.in-addr.arpa.`, so a bare `in-addr.arpa.` counts as a forward zone there;
/// the default Corefile lists it after `cluster.local`, where that makes no difference.
fn is_reverse_zone(wire: &[u8]) -> bool {
    const REVERSE: [&[u8]; 2] = [b"\x07in-addr\x04arpa\x00", b"\x03ip6\x04arpa\x00"];
    REVERSE.iter().any(|zone| name::is_subdomain(zone, wire) && wire.len() > zone.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::string::ToString;

    fn zones(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn contradictions_are_refused() {
        let base = Config::default;
        let cases = [
            (Config { zones: zones(&["10.in-addr.arpa"]), ..base() }, "non-reverse zone"),
            (Config { zones: zones(&["a..b"]), ..base() }, "zone 'a..b'"),
            (
                Config { namespaces: zones(&["a"]), namespace_labels: Some("x".to_string()), ..base() },
                "cannot both be set",
            ),
            (Config { multicluster: zones(&["clusterset.local"]), ..base() }, "multicluster zone clusterset.local"),
            (Config { zonal: true, noendpoints: true, ..base() }, "remove noendpoints"),
            (Config { ttl: 3601, ..base() }, "[0, 3600]: 3601"),
            (Config { zones: zones(&[&["abcdefg"; 31].join(".")]), ..base() }, "is too long: 'hostmaster."),
            (Config { labels: Some("a=(".to_string()), ..base() }, "labels: label selector, at character 3"),
            (Config { namespace_labels: Some("!".to_string()), ..base() }, "namespace_labels: "),
        ];
        for (config, message) in cases {
            let error = Settings::new(&config).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_longest_zone_comes_first() {
        let config = Config { zones: zones(&["Local", "in-addr.arpa", "Cluster.Local."]), ..Config::default() };
        let settings = Settings::new(&config).unwrap();
        assert_eq!(&*settings.zones[0].wire, b"\x07cluster\x05local\x00");
        assert_eq!(&*settings.primary_zone, b"\x05local\x00");
    }
}
