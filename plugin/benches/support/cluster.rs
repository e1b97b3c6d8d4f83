//! A cluster of any size whose objects are named as people name them. Everything follows from an object's number, so
//! that nothing has to be kept to make it again.

use rustk8s::config::PodMode;
use rustk8s::object::{
    Endpoint, EndpointAddress, EndpointSlice, Event, Kind, Meta, Namespace, Object, Pod, Port, Service, ServiceKind,
};
use rustk8s::{Config, Engine};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// The time of every change, in seconds since 1970.
pub const NOW: u32 = 1_700_000_000;

/// Services of a namespace.
const NAMESPACE: usize = 40;
const TEAMS: [&str; 12] = [
    "payments",
    "checkout",
    "identity",
    "search",
    "catalog",
    "logistics",
    "billing",
    "platform",
    "data-eng",
    "mobile",
    "growth",
    "risk",
];
const STAGES: [&str; 4] = ["prod", "staging", "dev", "qa"];
const THINGS: [&str; 20] = [
    "orders",
    "cart",
    "user",
    "session",
    "invoice",
    "ledger",
    "inventory",
    "shipping",
    "pricing",
    "recommendation",
    "notification",
    "email",
    "webhook",
    "audit",
    "feature-flag",
    "gateway",
    "image",
    "report",
    "scheduler",
    "token",
];
const ROLES: [&str; 8] = ["api", "worker", "service", "cache", "db", "proxy", "frontend", "consumer"];

/// A cluster with this many Services. One of ten is headless, with three endpoints that have hostnames; the others have
/// a cluster IP, one port and two endpoints. Each endpoint is a running pod.
#[derive(Clone, Copy)]
pub struct Cluster {
    pub services: usize,
}

/// What a change of an object looks like. Each is a change of the record and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As the cluster was built.
    Before,
    /// A Service has another port; a slice has another address in the place of its first; a pod has another address.
    After,
}

impl Cluster {
    pub fn new(services: usize) -> Self {
        Self { services }
    }

    /// The configuration that answers everything about such a cluster. The seed is fixed: instruction counts repeat.
    pub fn config() -> Config {
        Config {
            zones: ["cluster.local", "in-addr.arpa", "ip6.arpa"].map(String::from).to_vec(),
            pods: PodMode::Verified,
            hash_seed: 0x5eed,
            ..Config::default()
        }
    }

    /// An engine that knows all of the cluster.
    pub fn engine(self) -> Engine {
        let mut engine = Engine::new(&Self::config()).unwrap();
        for kind in [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod] {
            self.list(kind, |event| engine.apply(event, NOW));
            engine.end_replace(kind, NOW);
        }
        assert!(engine.synced());
        engine
    }

    /// Hands out all objects of a kind.
    pub fn list(self, kind: Kind, mut each: impl FnMut(Event)) {
        let mut upsert = |object| each(Event::Upsert(object));
        match kind {
            Kind::Namespace => (0..self.services.div_ceil(NAMESPACE)).for_each(|index| upsert(Self::namespace(index))),
            Kind::Service => (0..self.services).for_each(|index| upsert(Self::service(index, Change::Before))),
            Kind::EndpointSlice => (0..self.services).for_each(|index| upsert(Self::slice(index, Change::Before))),
            Kind::Pod => (0..self.services)
                .flat_map(|index| (0..Self::endpoints(index)).map(move |number| (index, number)))
                .for_each(|(index, number)| upsert(Self::pod(index, number, Change::Before))),
            Kind::ServiceImport => {}
        }
    }

    /// Whether a Service is headless.
    pub fn headless(index: usize) -> bool {
        index % 10 == 9
    }

    /// The number of a Service's endpoints.
    pub fn endpoints(index: usize) -> usize {
        if Self::headless(index) { 3 } else { 2 }
    }

    /// The namespace of a Service.
    pub fn namespace_name(index: usize) -> String {
        let namespace = index / NAMESPACE;
        let (team, stage) = (TEAMS[namespace / 4 % TEAMS.len()], STAGES[namespace % 4]);
        match namespace / (4 * TEAMS.len()) {
            0 => format!("{team}-{stage}"),
            more => format!("{team}-{stage}-{more}"),
        }
    }

    /// The name of a Service, of which a namespace has one.
    pub fn service_name(index: usize) -> String {
        let (namespace, place) = (index / NAMESPACE, index % NAMESPACE);
        format!("{}-{}", THINGS[(place + namespace) % 20], ROLES[(place / 20 * 3 + namespace) % 8])
    }

    /// The cluster IP of a Service.
    pub fn cluster_ip(index: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a60_0001 + index as u32).into()
    }

    /// The address of an endpoint, and of its pod.
    pub fn pod_ip(index: usize, number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a80_0001 + index as u32 * 4 + number as u32).into()
    }

    /// An address that no pod has otherwise.
    fn other_ip(index: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x6440_0001 + index as u32).into()
    }

    fn ip(index: usize, number: usize, change: Change) -> IpAddr {
        if change == Change::After && number == 0 { Self::other_ip(index) } else { Self::pod_ip(index, number) }
    }

    /// A pod's name: a `StatefulSet`'s where it is behind a headless Service, else a Deployment's.
    pub fn pod_name(index: usize, number: usize) -> String {
        let service = Self::service_name(index);
        if Self::headless(index) {
            return format!("{service}-{number}");
        }
        let (set, suffix) = (letters(index as u64, 10), letters((index * 4 + number) as u64 ^ 0x5555, 5));
        format!("{service}-{set}-{suffix}")
    }

    fn meta(namespace: String, name: String) -> Meta {
        Meta { name, namespace, resource_version: "184467".to_string(), ..Meta::default() }
    }

    fn namespace(number: usize) -> Object {
        let meta = Self::meta(String::new(), Self::namespace_name(number * NAMESPACE));
        Object::Namespace(Namespace { meta })
    }

    fn port(change: Change) -> Port {
        let number = if change == Change::After { 8080 } else { 80 };
        Port { name: "http".into(), protocol: "TCP".into(), number: Some(number) }
    }

    pub fn service(index: usize, change: Change) -> Object {
        let headless = Self::headless(index);
        let ips = if headless { vec![] } else { vec![Self::cluster_ip(index)] };
        let (namespace, name) = (Self::namespace_name(index), Self::service_name(index));
        let mut service = Service::new(&namespace, &name, ips, vec![Self::port(change)]);
        service.kind = if headless { ServiceKind::Headless } else { ServiceKind::ClusterIp };
        Object::Service(service)
    }

    pub fn slice(index: usize, change: Change) -> Object {
        Self::slice_of(index, Self::endpoints(index), change)
    }

    /// A slice of a Service that has more endpoints than its number says.
    pub fn slice_of(index: usize, endpoints: usize, change: Change) -> Object {
        let service = Self::service_name(index);
        let headless = Self::headless(index);
        let endpoint = |number| Endpoint {
            addresses: vec![EndpointAddress { ip: Self::ip(index, number, change), spelled: None }],
            hostname: if headless { Self::pod_name(index, number).into() } else { Box::default() },
            target_name: Self::pod_name(index, number).into(),
            zone: ["eu-west-1a", "eu-west-1b", "eu-west-1c"][number % 3].into(),
        };
        let name = format!("{service}-{}", letters(index as u64, 5));
        let endpoints = (0..endpoints).map(endpoint).collect();
        Object::EndpointSlice(EndpointSlice::new(
            &Self::namespace_name(index),
            &name,
            &service,
            vec![Self::port(Change::Before)],
            endpoints,
        ))
    }

    pub fn pod(index: usize, number: usize, change: Change) -> Object {
        let mut meta = Self::meta(Self::namespace_name(index), Self::pod_name(index, number));
        for (key, value) in [("app.kubernetes.io/name", Self::service_name(index)), ("tier", "backend".to_string())] {
            meta.labels.insert(key.to_string(), value);
        }
        Object::Pod(Pod { meta, ips: vec![Self::ip(index, number, change)], finished: false })
    }

    /// The line of a watch that tells of a changed object: only what answers need.
    pub fn slim_line(kind: Kind, index: usize, change: Change) -> String {
        Self::line(kind, index, change, "", "", "")
    }

    /// The same, with the fields that an API server sends.
    pub fn server_line(kind: Kind, index: usize, change: Change) -> String {
        let (namespace, name) = (Self::namespace_name(index), Self::service_name(index));
        let manager = if kind == Kind::EndpointSlice { "kube-controller-manager" } else { "argocd-controller" };
        let fields = r#"{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}},"f:labels":{".":{},"f:app.kubernetes.io/name":{},"f:app.kubernetes.io/part-of":{}}},"f:spec":{"f:internalTrafficPolicy":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{},"f:sessionAffinity":{},"f:type":{}}}"#;
        let meta = format!(
            r#","uid":"8f2e1c9a-5b1d-4a52-9d0e-{index:012x}","resourceVersion":"{}","generation":3,"creationTimestamp":"2026-03-02T09:14:27Z","annotations":{{"argocd.argoproj.io/tracking-id":"{namespace}:/Service:{namespace}/{name}","prometheus.io/scrape":"true"}},"managedFields":[{{"manager":"{manager}","operation":"Update","apiVersion":"v1","time":"2026-03-02T09:14:27Z","fieldsType":"FieldsV1","fieldsV1":{fields}}}]"#,
            184_467 + index,
        );
        let spec = format!(
            r#","selector":{{"app.kubernetes.io/name":"{name}"}},"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster""#
        );
        let endpoint = format!(
            r#","nodeName":"ip-10-0-{}-{}.eu-west-1.compute.internal","targetRef":{{"kind":"Pod","namespace":"{namespace}","name":"{}","uid":"4c1f77aa-90d1-4f0e-8c56-{index:012x}"}},"zone":"eu-west-1a""#,
            index / 250 % 250,
            index % 250,
            Self::pod_name(index, 0),
        );
        Self::line(kind, index, change, &meta, &spec, &endpoint)
    }

    fn line(kind: Kind, index: usize, change: Change, meta: &str, spec: &str, endpoint: &str) -> String {
        let (namespace, name) = (Self::namespace_name(index), Self::service_name(index));
        let port = Self::port(change).number.unwrap();
        let mut line = String::from(r#"{"type":"MODIFIED","object":"#);
        match kind {
            Kind::Service => {
                let ip = if Self::headless(index) { "None".to_string() } else { Self::cluster_ip(index).to_string() };
                write!(line, r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}"{meta},"labels":{{"app.kubernetes.io/name":"{name}"}}}},"spec":{{"ports":[{{"name":"http","protocol":"TCP","port":{port},"targetPort":"http"}}],"clusterIP":"{ip}","clusterIPs":["{ip}"]{spec}}},"status":{{"loadBalancer":{{}}}}}}}}"#)
            }
            Kind::EndpointSlice => {
                let endpoints: Vec<String> = (0..Self::endpoints(index)).map(|number| format!(
                    r#"{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}}{endpoint}}}"#,
                    Self::ip(index, number, change)
                )).collect();
                write!(line, r#"{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{{"name":"{name}-{}","namespace":"{namespace}"{meta},"labels":{{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"{name}"}}}},"addressType":"IPv4","endpoints":[{}],"ports":[{{"name":"http","protocol":"TCP","port":80}}]}}}}"#,
                    letters(index as u64, 5), endpoints.join(","))
            }
            other => panic!("no line for a {other}"),
        }
        .unwrap();
        line
    }
}

/// Letters as the API server puts behind generated names.
fn letters(seed: u64, count: usize) -> String {
    const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = super::Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    (0..count).map(|_| char::from(SAFE[random.below(SAFE.len())])).collect()
}
