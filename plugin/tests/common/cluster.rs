//! Clusters as plain data, and an engine that knows them.

use rustk8s::config::Config;
use rustk8s::object::{self, EndpointAddress, Event, Kind, Meta, Object, ServiceKind};
use rustk8s::{Engine, Snapshot};
use std::net::IpAddr;

/// The time at which all objects came: the serial of the zones.
pub const NOW: u32 = 1_700_000_000;

/// A cluster, and how it is served.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub config: Config,
    pub namespaces: Vec<String>,
    pub services: Vec<Service>,
    pub slices: Vec<Slice>,
    pub pods: Vec<Pod>,
    pub imports: Vec<Import>,
    pub local_ips: Vec<IpAddr>,
    /// All kinds have been listed.
    pub synced: bool,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub backing: Backing,
    pub ports: Vec<Port>,
}

/// What answers for a Service.
#[derive(Clone, Debug, PartialEq)]
pub enum Backing {
    ClusterIps(Vec<IpAddr>),
    Headless,
    ExternalName(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub protocol: String,
    pub number: Option<u16>,
}

#[derive(Clone, Debug, Default)]
pub struct Slice {
    pub namespace: String,
    pub name: String,
    /// The label `kubernetes.io/service-name`.
    pub service: Option<String>,
    /// The label `multicluster.kubernetes.io/service-name`.
    pub import: Option<String>,
    /// The label `multicluster.kubernetes.io/source-cluster`.
    pub cluster: Option<String>,
    pub ports: Vec<Port>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    pub addresses: Vec<IpAddr>,
    pub hostname: String,
    pub target: String,
    pub zone: String,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub ips: Vec<IpAddr>,
    pub finished: bool,
    pub deleting: bool,
}

#[derive(Clone, Debug)]
pub struct Import {
    pub namespace: String,
    pub name: String,
    pub headless: bool,
    pub ips: Vec<IpAddr>,
    pub ports: Vec<Port>,
}

/// An empty cluster with the namespace `default`, served with the default options.
pub fn cluster() -> Cluster {
    Cluster {
        config: Config::default(),
        namespaces: vec!["default".to_owned()],
        services: Vec::new(),
        slices: Vec::new(),
        pods: Vec::new(),
        imports: Vec::new(),
        local_ips: Vec::new(),
        synced: true,
    }
}

/// A port with a number.
pub fn port(name: &str, protocol: &str, number: u16) -> Port {
    Port { name: name.to_owned(), protocol: protocol.to_owned(), number: Some(number) }
}

/// Addresses from texts.
pub fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The `index`th of many addresses, of either family.
pub fn nth_ip(index: u32, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(((0xfd00_0244_u128 << 96) + u128::from(index) + 1).into())
    } else {
        IpAddr::from((0x0af4_0000 + index).to_be_bytes())
    }
}

impl Cluster {
    /// With another namespace.
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespaces.push(name.to_owned());
        self
    }

    /// With a Service of the namespace `default`.
    pub fn service(mut self, name: &str, backing: Backing, ports: &[Port]) -> Self {
        self.services.push(Service {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            backing,
            ports: ports.to_vec(),
        });
        self
    }

    /// With a slice of a Service of the namespace `default`.
    pub fn slice(mut self, service: &str, ports: &[Port], endpoints: Vec<Endpoint>) -> Self {
        self.slices.push(Slice {
            namespace: "default".to_owned(),
            name: format!("{service}-{}", self.slices.len()),
            service: Some(service.to_owned()),
            ports: ports.to_vec(),
            endpoints,
            ..Slice::default()
        });
        self
    }

    /// An engine that has been told all of it.
    pub fn engine(&self) -> Engine {
        let mut engine = Engine::new(&self.config).unwrap();
        engine.set_local_ips(&self.local_ips);
        if self.synced {
            for kind in Kind::ALL {
                engine.begin_replace(kind);
            }
        }
        let mut upsert = |object| engine.apply(Event::Upsert(object), NOW);
        for name in &self.namespaces {
            upsert(Object::Namespace(object::Namespace { meta: meta("", name) }));
        }
        for service in &self.services {
            let mut object = object::Service {
                meta: meta(&service.namespace, &service.name),
                ports: ports(&service.ports),
                ..object::Service::default()
            };
            match &service.backing {
                Backing::ClusterIps(ips) => object.cluster_ips.clone_from(ips),
                Backing::Headless => object.kind = ServiceKind::Headless,
                Backing::ExternalName(name) => {
                    object.kind = ServiceKind::ExternalName;
                    object.external_name = name.as_str().into();
                }
            }
            upsert(Object::Service(object));
        }
        for slice in &self.slices {
            let mut meta = meta(&slice.namespace, &slice.name);
            for (key, value) in [
                ("kubernetes.io/service-name", &slice.service),
                ("multicluster.kubernetes.io/service-name", &slice.import),
                ("multicluster.kubernetes.io/source-cluster", &slice.cluster),
            ] {
                if let Some(value) = value {
                    meta.labels.insert(key.to_owned(), value.clone());
                }
            }
            let endpoints = slice.endpoints.iter().map(|endpoint| object::Endpoint {
                addresses: endpoint
                    .addresses
                    .iter()
                    .map(|ip| EndpointAddress::parse(&ip.to_string()).unwrap())
                    .collect(),
                hostname: endpoint.hostname.as_str().into(),
                target_name: endpoint.target.as_str().into(),
                zone: endpoint.zone.as_str().into(),
            });
            let object = object::EndpointSlice { meta, ports: ports(&slice.ports), endpoints: endpoints.collect() };
            upsert(Object::EndpointSlice(object));
        }
        for pod in &self.pods {
            let mut meta = meta(&pod.namespace, &pod.name);
            meta.deleting = pod.deleting;
            upsert(Object::Pod(object::Pod { meta, ips: pod.ips.clone(), finished: pod.finished }));
        }
        for import in &self.imports {
            upsert(Object::ServiceImport(object::ServiceImport {
                meta: meta(&import.namespace, &import.name),
                headless: import.headless,
                ips: import.ips.clone(),
                ports: ports(&import.ports),
            }));
        }
        if self.synced {
            for kind in Kind::ALL {
                engine.end_replace(kind, NOW);
            }
        }
        engine
    }

    /// The state of such an engine.
    pub fn snapshot(&self) -> Snapshot {
        self.engine().snapshot()
    }
}

fn meta(namespace: &str, name: &str) -> Meta {
    Meta { name: name.to_owned(), namespace: namespace.to_owned(), ..Meta::default() }
}

fn ports(ports: &[Port]) -> Vec<object::Port> {
    let object = |port: &Port| object::Port {
        name: port.name.as_str().into(),
        protocol: port.protocol.as_str().into(),
        number: port.number.map(i32::from),
    };
    ports.iter().map(object).collect()
}
