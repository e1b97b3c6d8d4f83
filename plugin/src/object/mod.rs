//! Slim forms of the Kubernetes objects that answers are made of.
//!
//! Each is read straight from the JSON of the Kubernetes API; fields that no answer needs are skipped without being
//! stored, `null` is the same as absent, and addresses become bytes. The tables keep none of these: they are the form
//! in which a change travels from a watch, a manifest or a caller to the [`Engine`](crate::engine::Engine).

mod address;
mod endpoint_slice;
mod namespace;
mod pod;
mod service;
mod service_import;

pub(crate) use address::canonical;
pub use address::{AddressError, parse_address};
pub use endpoint_slice::{Endpoint, EndpointAddress, EndpointSlice};
pub use namespace::Namespace;
pub use pod::Pod;
pub use service::{ExternalAddress, Service, ServiceKind};
pub use service_import::ServiceImport;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Deserializer};

/// The labels of an object, by key.
pub type Labels = BTreeMap<String, String>;

/// The parts of `metadata` that answers and watches need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The object's name.
    pub name: String,
    /// Its namespace, empty for objects without one.
    pub namespace: String,
    /// The version that the API server gave it; opaque.
    pub resource_version: String,
    /// Its labels.
    pub labels: Labels,
    /// It has a `deletionTimestamp`: it is on its way out.
    pub deleting: bool,
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            #[serde(default, deserialize_with = "nullable")]
            name: String,
            #[serde(default, deserialize_with = "nullable")]
            namespace: String,
            #[serde(default, deserialize_with = "nullable")]
            resource_version: String,
            #[serde(default, deserialize_with = "nullable")]
            labels: Labels,
            #[serde(default)]
            deletion_timestamp: Option<String>,
        }
        let json = Json::deserialize(deserializer)?;
        if json.name.is_empty() {
            return Err(serde::de::Error::custom("metadata.name: it is missing or empty"));
        }
        Ok(Self {
            name: json.name,
            namespace: json.namespace,
            resource_version: json.resource_version,
            labels: json.labels,
            deleting: json.deletion_timestamp.is_some_and(|time| !time.is_empty()),
        })
    }
}

/// A port of a Service, an EndpointSlice or a `ServiceImport`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The port's name, often empty when there is only one.
    pub name: Box<str>,
    /// `TCP`, `UDP`, `SCTP`, or whatever the object says.
    pub protocol: Box<str>,
    /// The number, or `None` where the object gives none: such a port answers A and AAAA, never SRV.
    pub number: Option<i32>,
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Json {
            #[serde(default, deserialize_with = "nullable")]
            name: Box<str>,
            #[serde(default, deserialize_with = "nullable")]
            protocol: Box<str>,
            #[serde(default)]
            port: Option<i32>,
        }
        let Json { name, protocol, port } = Json::deserialize(deserializer)?;
        Ok(Self { name, protocol, number: port })
    }
}

/// What a watch is about. One kind is one watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` `EndpointSlice`, those of `ServiceImport`s too.
    EndpointSlice,
    /// `v1` Pod.
    Pod,
    /// `multicluster.x-k8s.io/v1alpha1` `ServiceImport`.
    ServiceImport,
}

impl Kind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Namespace, Self::Service, Self::EndpointSlice, Self::Pod, Self::ServiceImport];

    /// The kind of an object by its `apiVersion` and `kind`, if it is one of ours. Other API groups have Services too.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|known| known.name() == kind)?;
        let served = match found {
            Self::Namespace | Self::Service | Self::Pod => api_version == "v1",
            Self::EndpointSlice => api_version == "discovery.k8s.io/v1",
            Self::ServiceImport => api_version.starts_with("multicluster.x-k8s.io/"),
        };
        served.then_some(found)
    }

    /// The word that objects carry as `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::ServiceImport => "ServiceImport",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An object of one of the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A namespace.
    Namespace(Namespace),
    /// A Service.
    Service(Service),
    /// An `EndpointSlice`.
    EndpointSlice(EndpointSlice),
    /// A Pod.
    Pod(Pod),
    /// A `ServiceImport`.
    ServiceImport(ServiceImport),
}

impl Object {
    /// Reads an object of a known kind, such as an item of a list, from JSON or any other form that serde reads.
    ///
    /// # Errors
    /// What is malformed; the message names the field where the object's own rules are broken.
    pub fn read<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Self, D::Error> {
        Ok(match kind {
            Kind::Namespace => Self::Namespace(Namespace::deserialize(deserializer)?),
            Kind::Service => Self::Service(Service::deserialize(deserializer)?),
            Kind::EndpointSlice => Self::EndpointSlice(EndpointSlice::deserialize(deserializer)?),
            Kind::Pod => Self::Pod(Pod::deserialize(deserializer)?),
            Kind::ServiceImport => Self::ServiceImport(ServiceImport::deserialize(deserializer)?),
        })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Pod(_) => Kind::Pod,
            Self::ServiceImport(_) => Kind::ServiceImport,
        }
    }

    /// Its name, namespace, labels and version.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Namespace(object) => &object.meta,
            Self::Service(object) => &object.meta,
            Self::EndpointSlice(object) => &object.meta,
            Self::Pod(object) => &object.meta,
            Self::ServiceImport(object) => &object.meta,
        }
    }

    /// Fills in what the API server would have when the object was created: for manifests that no server has seen.
    pub fn apply_defaults(&mut self) {
        match self {
            Self::Service(service) => {
                default_namespace(&mut service.meta);
                default_protocol(&mut service.ports);
            }
            Self::EndpointSlice(slice) => {
                default_namespace(&mut slice.meta);
                default_protocol(&mut slice.ports);
            }
            Self::ServiceImport(import) => {
                default_namespace(&mut import.meta);
                default_protocol(&mut import.ports);
            }
            Self::Pod(pod) => default_namespace(&mut pod.meta),
            // Every namespace is given this label (KEP-2161), and selectors of namespaces use it.
            Self::Namespace(namespace) => {
                let name = namespace.meta.name.clone();
                namespace.meta.labels.insert(String::from("kubernetes.io/metadata.name"), name);
            }
        }
    }
}

fn default_namespace(meta: &mut Meta) {
    if meta.namespace.is_empty() {
        meta.namespace = String::from("default");
    }
}

fn default_protocol(ports: &mut [Port]) {
    for port in ports {
        if port.protocol.is_empty() {
            port.protocol = Box::from("TCP");
        }
    }
}

/// A change of one object, as a watch tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The object is there, as given: `ADDED` and `MODIFIED`.
    Upsert(Object),
    /// The object is gone; only its kind, namespace and name count: `DELETED`.
    Delete(Object),
}

/// Reads a field that may be absent or `null`: both give the default.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
