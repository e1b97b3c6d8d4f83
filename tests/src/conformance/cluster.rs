//! Clusters from a seed: Kubernetes objects as the API server serves them, with every shape that
//! changes an answer and the odd ones that real clusters grow.

use serde_json::{Map, Value, json};

use super::rng::Rng;

/// What a cluster is generated for.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// The zones that the server answers for, reverse ones not among them.
    pub zones: Vec<String>,
    /// Whether there are `ServiceImport`s and their slices.
    pub multicluster: bool,
    /// Addresses of the machine that the server finds when it is bound to none: endpoints with such an
    /// address name the zone's name servers.
    pub local_addresses: Vec<String>,
    /// Number of Services, about.
    pub services: usize,
    /// Shapes left out.
    pub without: Vec<Oddity>,
}

/// Shapes that the API server's validation or its controllers make rare or impossible, and that CoreDNS
/// answers in ways of its own. Each can be left out by name, to look at the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Object names with capital letters.
    UpperCaseNames,
    /// IPv6 addresses with leading zeros, capital letters or an uncompressed zero run.
    NonCanonicalIpv6,
    /// `::ffff:10.0.0.1`.
    MappedIpv4,
    /// `EndpointSlice`s of addressType FQDN.
    FqdnSlices,
    /// `EndpointSlice`s without the service's label.
    UnlabelledSlices,
    /// Service names with dots.
    DottedNames,
    /// External names and host names over 63 bytes a label or 255 in all, or with an empty label.
    UnpackableNames,
    /// Ports without a protocol.
    MissingProtocol,
    /// Services without any cluster address, though they are neither headless nor external.
    NoClusterIp,
}

/// Shapes that no API server ever lets in, and for which CoreDNS's answers make no sense (`CNAME .`): left out unless
/// asked for.
pub const IMPOSSIBLE: [Oddity; 2] = [Oddity::DottedNames, Oddity::NoClusterIp];

impl Oddity {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::UpperCaseNames, "upper-case-names"),
        (Self::NonCanonicalIpv6, "non-canonical-ipv6"),
        (Self::MappedIpv4, "mapped-ipv4"),
        (Self::FqdnSlices, "fqdn-slices"),
        (Self::UnlabelledSlices, "unlabelled-slices"),
        (Self::DottedNames, "dotted-names"),
        (Self::UnpackableNames, "unpackable-names"),
        (Self::MissingProtocol, "missing-protocol"),
        (Self::NoClusterIp, "no-cluster-ip"),
    ];

    /// The oddity of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(oddity, _)| *oddity)
    }
}

/// The group and version of `ServiceImport`s (MCS API).
pub const MULTICLUSTER_API: &str = "multicluster.x-k8s.io/v1alpha1";
/// The label that names a slice's Service.
pub const LABEL_SERVICE: &str = "kubernetes.io/service-name";
/// The label that names a slice's `ServiceImport`.
pub const LABEL_IMPORT: &str = "multicluster.kubernetes.io/service-name";
/// The label that names the cluster a slice was imported from.
pub const LABEL_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";

/// A label of 63 bytes.
pub const LONG_LABEL: &str = "a23456789-123456789-123456789-123456789-123456789-123456789-123";
const LONG_NAMESPACE: &str = "n23456789-123456789-123456789-123456789-123456789-123456789-123";

/// The generator of one cluster.
pub struct Generator<'a> {
    rng: Rng,
    shape: &'a Shape,
    /// Namespaces that objects are put in: existing, missing, in capitals.
    namespaces: Vec<String>,
    next_address: u32,
    used_v4: Vec<String>,
    used_v6: Vec<String>,
    count: usize,
}

/// The objects of the cluster that `seed` means, without those that the suite adds to see that servers are up
/// to date.
pub fn generate(seed: u64, shape: &Shape) -> Vec<Value> {
    let mut generator = Generator::new(seed, shape);
    let mut objects = generator.namespaces();
    let mut externals = Vec::new();
    for _ in 0..shape.services {
        let (service, slices) = generator.service(&mut externals);
        objects.push(service);
        objects.extend(slices);
    }
    objects.extend(generator.chain());
    for _ in 0..generator.rng.between(2, 5) {
        objects.push(generator.orphan_slice());
    }
    for _ in 0..generator.rng.between(10, 30) {
        objects.push(generator.pod());
    }
    if shape.multicluster {
        for _ in 0..generator.rng.between(10, 25) {
            let (import, slices) = generator.service_import();
            objects.push(import);
            objects.extend(slices);
        }
    }
    if !shape.local_addresses.is_empty() && generator.rng.chance(80) {
        objects.extend(generator.name_server());
    }
    deduplicate(objects)
}

/// Of objects with one kind, namespace and name, the last stays: an API server holds one.
fn deduplicate(objects: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Value> = objects.into_iter().rev().filter(|object| seen.insert(key(object))).collect();
    kept.reverse();
    kept
}

/// Kind, namespace and name of an object.
pub fn key(object: &Value) -> (String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// A text member of an object by JSON pointer.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// An array member of an object by JSON pointer; empty when it is absent.
pub fn array<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl<'a> Generator<'a> {
    /// A generator for `seed`; also used to make one more object for a cluster that exists.
    pub fn new(seed: u64, shape: &'a Shape) -> Self {
        let mut namespaces: Vec<String> =
            ["default", "kube-system", "dev", "prod", "test-1", LONG_NAMESPACE, "missing"].map(str::to_owned).to_vec();
        if !shape.without.contains(&Oddity::UpperCaseNames) {
            namespaces.push("UpperNs".to_owned());
        }
        Self {
            rng: Rng::new(seed, "cluster"),
            shape,
            namespaces,
            next_address: 1,
            used_v4: Vec::new(),
            used_v6: Vec::new(),
            count: 0,
        }
    }

    /// Whether an odd shape is made here.
    fn odd(&mut self, oddity: Oddity, percent: usize) -> bool {
        // The draw is made in any case, so that leaving out one oddity keeps the rest of the cluster.
        self.rng.chance(percent) && !self.shape.without.contains(&oddity)
    }

    fn zone(&mut self) -> String {
        let zones = &self.shape.zones;
        if zones.is_empty() { "cluster.local".to_owned() } else { self.rng.pick(zones).clone() }
    }

    fn namespace(&mut self) -> String {
        // `default` is the common one, so that Services meet in it.
        if self.rng.chance(35) { "default".to_owned() } else { self.rng.pick(&self.namespaces).clone() }
    }

    fn namespaces(&mut self) -> Vec<Value> {
        let names = self.namespaces.clone();
        let mut objects = Vec::new();
        for name in names.iter().filter(|n| *n != "missing").chain(["empty".to_owned()].iter()) {
            let mut labels = Map::new();
            labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
            if self.rng.chance(80) {
                labels.insert("environment".to_owned(), json!(self.rng.pick(&["production", "qa", "staging"])));
            }
            if self.rng.chance(25) {
                labels.insert("legacy".to_owned(), json!("true"));
            }
            let phase = if self.rng.chance(10) { "Terminating" } else { "Active" };
            objects.push(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": phase},
            }));
        }
        objects
    }

    /// Labels that selectors of the option sets look at.
    fn labels(&mut self) -> Map<String, Value> {
        let mut labels = Map::new();
        if self.rng.chance(70) {
            labels.insert("app.kubernetes.io/part-of".to_owned(), json!(self.rng.pick(&["shop", "legacy", "infra"])));
        }
        if self.rng.chance(80) {
            labels.insert("tier".to_owned(), json!(self.rng.pick(&["gold", "silver", "bronze"])));
        }
        labels
    }

    fn new_name(&mut self, prefix: &str) -> String {
        self.count += 1;
        match self.rng.below(24) {
            0 => LONG_LABEL[..60].to_owned() + &format!("{:03}", self.count % 1000),
            1 => format!("{}", self.count), // digits only: allowed since Kubernetes 1.34
            2 => "svc".to_owned(),
            3 => "pod".to_owned(),
            4 => format!("a-{}-b", self.count),
            5 if self.odd(Oddity::UpperCaseNames, 60) => format!("Upper-{}", self.count),
            6 if self.odd(Oddity::DottedNames, 40) => format!("dotted{}.default", self.count),
            7 => "dns".to_owned(),
            8 => format!("10-96-0-{}", self.count % 256),
            _ => format!("{prefix}{}", self.count),
        }
    }

    fn v4(&mut self, prefix: &str) -> String {
        if self.rng.chance(12) && !self.used_v4.is_empty() {
            return self.rng.pick(&self.used_v4).clone();
        }
        self.next_address += 1;
        let n = self.next_address;
        let last = if self.rng.chance(5) { 0 } else { n % 256 };
        let address = format!("{prefix}.{}.{last}", n / 256);
        self.used_v4.push(address.clone());
        address
    }

    fn v6(&mut self, prefix: &str) -> String {
        if self.rng.chance(12) && !self.used_v6.is_empty() {
            return self.rng.pick(&self.used_v6).clone();
        }
        self.next_address += 1;
        let n = self.next_address;
        let groups = prefix.split(':').count();
        let zeros = |count: usize| "0:".repeat(count);
        let address = match self.rng.below(14) {
            0 => format!("{prefix}:{n:x}::"),     // ends in zero
            1 => format!("{prefix}:{n:x}:0:1::"), // likewise, with a zero in the middle
            2 => format!("{prefix}::{n:x}:0"),    // ends in a lone zero
            // No run of zeros.
            3 => format!("{prefix}:{}{n:x}:6", &"1:2:3:4:5:"[..2 * (6 - groups)]),
            4 => format!("{prefix}:0:{n:x}::1"),
            5 if self.odd(Oddity::NonCanonicalIpv6, 40) => {
                format!("{prefix}:{}{n:x}", zeros(7 - groups)).to_uppercase()
            }
            6 if self.odd(Oddity::NonCanonicalIpv6, 40) => format!("{prefix}:0000::0{n:x}"),
            7 if self.odd(Oddity::MappedIpv4, 40) => format!("::ffff:10.1.{}.{}", n / 256, n % 256),
            _ => format!("{prefix}::{n:x}"),
        };
        self.used_v6.push(address.clone());
        address
    }

    fn service_ports(&mut self) -> Vec<Value> {
        let mut ports = match self.rng.below(12) {
            0 => vec![],
            1 | 2 => vec![json!({"port": 80, "protocol": "TCP"})],
            3 => vec![
                json!({"name": "dns", "port": 53, "protocol": "UDP"}),
                json!({"name": "dns-tcp", "port": 53, "protocol": "TCP"}),
                json!({"name": "metrics", "port": 9153, "protocol": "TCP"}),
            ],
            4 => vec![
                json!({"name": "same", "port": 7, "protocol": "UDP"}),
                json!({"name": "same", "port": 8, "protocol": "TCP"}),
                json!({"name": "twice", "port": 8, "protocol": "TCP"}),
            ],
            5 => vec![json!({"name": "assoc", "port": 3868, "protocol": "SCTP"})],
            6 => vec![
                json!({"name": "Http", "port": 8080, "protocol": "TCP"}),
                json!({"name": "max", "port": 65535, "protocol": "UDP"}),
            ],
            7 => vec![json!({"name": "", "port": 81, "protocol": "TCP", "appProtocol": "http"})],
            8 => (0..self.rng.between(4, 9))
                .map(|i| json!({"name": format!("p{i}"), "port": 9000 + i, "protocol": "TCP"}))
                .collect(),
            _ => vec![
                json!({"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}),
                json!({"name": "https", "port": 443, "protocol": "TCP"}),
            ],
        };
        if !ports.is_empty()
            && self.odd(Oddity::MissingProtocol, 4)
            && let Some(port) = ports[0].as_object_mut()
        {
            port.remove("protocol");
        }
        ports
    }

    /// A Service and its slices. `externals` collects the names of `ExternalName` Services, for chains.
    pub fn service(&mut self, externals: &mut Vec<(String, String)>) -> (Value, Vec<Value>) {
        let namespace = self.namespace();
        let name = self.new_name("s");
        let labels = self.labels();
        let ports = self.service_ports();
        let mut spec = Map::new();
        let mut status = json!({"loadBalancer": {}});
        if !ports.is_empty() || self.rng.chance(50) {
            spec.insert("ports".to_owned(), json!(ports));
        }
        let kind = self.rng.below(100);
        let mut kind_name = "ClusterIP";
        let mut external = false;
        let mut v6 = false;
        let mut v4 = true;
        match kind {
            0..=27 | 50..=63 => {
                let address = self.v4("10.96");
                spec.insert("clusterIP".to_owned(), json!(address));
                if !self.rng.chance(15) {
                    spec.insert("clusterIPs".to_owned(), json!([address]));
                }
                if self.odd(Oddity::NoClusterIp, 8) {
                    spec.remove("clusterIP");
                    spec.remove("clusterIPs");
                }
                if kind >= 58 {
                    kind_name = "NodePort";
                }
            }
            28..=41 => {
                let (a, b) = (self.v4("10.96"), self.v6("fd00:10:96"));
                let both = if self.rng.chance(50) { [a, b] } else { [b, a] };
                spec.insert("clusterIP".to_owned(), json!(both[0]));
                spec.insert("clusterIPs".to_owned(), json!(both));
                spec.insert("ipFamilyPolicy".to_owned(), json!("RequireDualStack"));
                v6 = true;
            }
            42..=49 => {
                let address = self.v6("fd00:10:96");
                spec.insert("clusterIP".to_owned(), json!(address));
                spec.insert("clusterIPs".to_owned(), json!([address]));
                (v4, v6) = (false, true);
            }
            64..=84 => {
                spec.insert("clusterIP".to_owned(), json!("None"));
                if !self.rng.chance(20) {
                    spec.insert("clusterIPs".to_owned(), json!(["None"]));
                }
                if self.rng.chance(20) {
                    spec.insert("publishNotReadyAddresses".to_owned(), json!(true));
                }
                (v4, v6) = *self.rng.pick(&[(true, false), (true, true), (false, true)]);
            }
            _ => {
                kind_name = "ExternalName";
                external = true;
                let target = self.external_target(&namespace, &name, externals);
                spec.insert("externalName".to_owned(), json!(target));
                externals.push((name.clone(), namespace.clone()));
            }
        }
        if self.rng.chance(70) && !external {
            spec.insert("selector".to_owned(), json!({"app": name}));
        }
        if !external && self.rng.chance(20) {
            if self.rng.chance(70) && kind_name == "ClusterIP" && kind < 64 {
                kind_name = "LoadBalancer";
            }
            let mut ingress = Vec::new();
            for _ in 0..self.rng.below(3) {
                ingress.push(match self.rng.below(4) {
                    0 => json!({"hostname": format!("lb{}.provider.test", self.count)}),
                    1 => json!({"ip": self.v6("2001:db8:aa")}),
                    _ => json!({"ip": self.v4("203.0")}),
                });
            }
            status = json!({"loadBalancer": {"ingress": ingress}});
            if self.rng.chance(60) {
                let address = self.v4("203.0");
                spec.insert("externalIPs".to_owned(), json!([address]));
            }
        }
        if external || !self.rng.chance(5) {
            spec.insert("type".to_owned(), json!(kind_name));
        }
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": spec, "status": status,
        });
        let mut slices = Vec::new();
        if external && !self.rng.chance(10) {
            return (service, slices);
        }
        // None at all is a shape too; several slices a family another.
        for _ in 0..*self.rng.pick(&[0, 1, 1, 1, 1, 2, 3]) {
            if v4 {
                slices.push(self.slice(&namespace, &name, &ports, false, &labels));
            }
            if v6 {
                slices.push(self.slice(&namespace, &name, &ports, true, &labels));
            }
        }
        if self.odd(Oddity::FqdnSlices, 3) {
            slices.push(self.fqdn_slice(&namespace, &name));
        }
        (service, slices)
    }

    fn external_target(&mut self, namespace: &str, name: &str, externals: &[(String, String)]) -> String {
        let zone = self.zone();
        match self.rng.below(20) {
            0 => format!("{name}.{namespace}.svc.{zone}"), // itself
            1 => self.v4("198.18"),                        // an address is no name
            2 => self.v6("2001:db8:bb"),
            3 => format!("www.example{}.test.", self.count), // a final dot
            4 => zone,                                       // the apex
            5 => format!("10-244-0-7.default.pod.{zone}"),
            6 => format!("nothing.default.svc.{zone}"),
            7 => format!("S{}.DEFAULT.svc.{zone}", self.rng.between(1, 20)),
            8 => format!("_http._tcp.s{}.default.svc.{zone}", self.rng.between(1, 20)),
            9 => String::new(),
            10 if self.odd(Oddity::UnpackableNames, 50) => match self.rng.below(3) {
                0 => format!("{}.test", "x".repeat(64)),
                1 => format!("a..example{}.test", self.count),
                _ => [LONG_LABEL; 5].join("."),
            },
            11 => format!("{}.test", [LONG_LABEL; 3].join(".") + ".b23456789-123456789-123456789-123456789-123456"),
            12..=14 => match externals.last() {
                Some((name, namespace)) => format!("{name}.{namespace}.svc.{zone}"),
                None => format!("www{}.example.test", self.count),
            },
            15 | 16 => format!("s{}.default.svc.{zone}", self.rng.between(1, 40)),
            17 => format!("dns-version.{zone}"),
            _ => format!("www{}.example.test", self.count),
        }
    }

    /// A chain of `ExternalName` Services of 9 to 13 links to a Service with an address, and a loop of three.
    fn chain(&mut self) -> Vec<Value> {
        let zone = self.zone();
        let links = self.rng.between(9, 13);
        let mut objects = Vec::new();
        let external = |name: String, target: String| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
                "spec": {"type": "ExternalName", "externalName": target},
            })
        };
        for i in 0..links {
            objects.push(external(format!("chain{i}"), format!("chain{}.default.svc.{zone}", i + 1)));
        }
        let addresses = [self.v4("10.96"), self.v6("fd00:10:96")];
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("chain{links}"), "namespace": "default"},
            "spec": {"type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses,
                     "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        }));
        for i in 0..3 {
            objects.push(external(format!("loop{i}"), format!("loop{}.default.svc.{zone}", (i + 1) % 3)));
        }
        objects
    }

    /// A slice of a Service whose ports are `ports`.
    pub fn slice(
        &mut self,
        namespace: &str,
        service: &str,
        ports: &[Value],
        v6: bool,
        labels: &Map<String, Value>,
    ) -> Value {
        self.count += 1;
        let mut labels = if self.rng.chance(85) { labels.clone() } else { self.labels() };
        labels.insert(LABEL_SERVICE.to_owned(), json!(service));
        labels.insert("endpointslice.kubernetes.io/managed-by".to_owned(), json!("endpointslice-controller.k8s.io"));
        let mut slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("slice-{}", self.count), "namespace": namespace, "labels": labels},
            "addressType": if v6 { "IPv6" } else { "IPv4" },
            "endpoints": self.endpoints(v6),
        });
        match self.slice_ports(ports) {
            Some(ports) => slice["ports"] = json!(ports),
            None if self.rng.chance(50) => slice["ports"] = Value::Null,
            None => {}
        }
        slice
    }

    fn slice_ports(&mut self, service_ports: &[Value]) -> Option<Vec<Value>> {
        match self.rng.below(12) {
            0 => None,
            1 => Some(vec![]),
            2 => Some(vec![json!({"name": "http", "protocol": "TCP"})]), // nil port: all ports
            3 => Some(vec![json!({"port": 8080, "protocol": "TCP"})]),   // nil name
            4 => Some(vec![json!({"name": "", "port": 8081, "protocol": "TCP"}), json!({"name": "p", "port": 8082})]),
            _ => {
                let of = |p: &Value| {
                    let mut port = json!({"port": 8000 + p["port"].as_u64().unwrap_or(0) % 1000});
                    for member in ["name", "protocol"] {
                        port[member] =
                            p.get(member).cloned().unwrap_or(json!(if member == "name" { "" } else { "TCP" }));
                    }
                    port
                };
                Some(service_ports.iter().map(of).collect())
            }
        }
    }

    fn endpoints(&mut self, v6: bool) -> Vec<Value> {
        let count = match self.rng.below(20) {
            0 => 0,
            1 => self.rng.between(20, 45),
            2 => self.rng.between(90, 110),
            _ => self.rng.between(1, 5),
        };
        let mut endpoints: Vec<Value> = (0..count).map(|_| self.endpoint(v6)).collect();
        if self.rng.chance(6) && !endpoints.is_empty() {
            let twin = self.rng.pick(&endpoints).clone();
            endpoints.push(twin);
        }
        endpoints
    }

    fn endpoint(&mut self, v6: bool) -> Value {
        self.count += 1;
        let mut addresses = vec![if v6 { self.v6("fd00:244") } else { self.v4("10.244") }];
        if self.rng.chance(4) {
            addresses.push(if v6 { self.v6("fd00:244") } else { self.v4("10.244") });
        }
        let mut endpoint = json!({"addresses": addresses});
        match self.rng.below(10) {
            0 => {}
            1 => endpoint["conditions"] = json!({}),
            2 => endpoint["conditions"] = json!({"ready": false, "serving": false, "terminating": false}),
            3 => endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true}),
            4 => endpoint["conditions"] = json!({"ready": true, "serving": false, "terminating": true}),
            _ => endpoint["conditions"] = json!({"ready": true, "serving": true, "terminating": false}),
        }
        if self.rng.chance(30) {
            endpoint["hostname"] = json!(match self.rng.below(12) {
                0 => LONG_LABEL.to_owned(),
                1 if self.odd(Oddity::UpperCaseNames, 50) => format!("Host-{}", self.count),
                2 => "web-0".to_owned(), // shared by several endpoints
                3 => String::new(),
                4 if self.odd(Oddity::UnpackableNames, 30) => format!("{}{LONG_LABEL}", self.count),
                5 if self.odd(Oddity::DottedNames, 50) => format!("h{}.sub", self.count),
                _ => format!("web-{}", self.count),
            });
        }
        if self.rng.chance(50) {
            let name = match self.rng.below(10) {
                0 => LONG_LABEL.to_owned(),
                1 => format!("{LONG_LABEL}-{}", self.count), // does not fit a label
                2 => format!("pod.{}", self.count),          // pod names may hold dots
                _ => format!("pod-{}-{:x}", self.count, self.rng.below(1 << 20)),
            };
            endpoint["targetRef"] = json!({"kind": "Pod", "name": name, "namespace": "default"});
        }
        if self.rng.chance(60) {
            endpoint["nodeName"] = json!(format!("node-{}", self.rng.below(4)));
            endpoint["zone"] =
                json!(*self.rng.pick(&["us-west-2a", "us-west-2b", "EU-Central", "corp.example.com", ""]));
        }
        endpoint
    }

    fn fqdn_slice(&mut self, namespace: &str, service: &str) -> Value {
        self.count += 1;
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("slice-{}", self.count), "namespace": namespace,
                         "labels": {LABEL_SERVICE: service}},
            "addressType": "FQDN",
            "endpoints": [{"addresses": [format!("backend{}.example.test", self.count)], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        })
    }

    /// A slice that belongs to no Service.
    fn orphan_slice(&mut self) -> Value {
        let namespace = self.namespace();
        let ports = self.service_ports();
        let mut slice = self.slice(&namespace, "gone", &ports, false, &Map::new());
        if self.odd(Oddity::UnlabelledSlices, 40) {
            slice["metadata"]["labels"] = json!({"endpointslice.kubernetes.io/managed-by": "someone"});
        }
        slice
    }

    /// A Pod in any phase.
    pub fn pod(&mut self) -> Value {
        self.count += 1;
        let namespace = self.namespace();
        let mut metadata = json!({
            "name": format!("pod-{}", self.count), "namespace": namespace, "labels": self.labels(),
        });
        if self.rng.chance(12) {
            metadata["deletionTimestamp"] = json!("2024-05-01T12:00:00Z");
            metadata["deletionGracePeriodSeconds"] = json!(30);
        }
        let host_network = self.rng.chance(12);
        let mut addresses = match self.rng.below(10) {
            0 => vec![],
            1 => vec![self.v6("fd00:244")],
            2 | 3 => vec![self.v4("10.244"), self.v6("fd00:244")],
            4 => vec![self.v6("fd00:244"), self.v4("10.244")],
            _ => vec![self.v4("10.244")],
        };
        if host_network {
            addresses = vec!["192.0.2.11".to_owned()];
        } else if self.rng.chance(15) {
            // A client on the loopback interface can be this pod.
            addresses = vec![format!("127.0.0.{}", self.rng.between(70, 90))];
        }
        let phase =
            *self.rng.pick(&["Running", "Running", "Running", "Running", "Pending", "Succeeded", "Failed", "Unknown"]);
        let mut status = json!({"phase": phase});
        if let Some(first) = addresses.first() {
            status["podIP"] = json!(first);
            if !self.rng.chance(8) {
                status["podIPs"] = addresses.iter().map(|ip| json!({"ip": ip})).collect();
            }
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}], "hostNetwork": host_network},
            "status": status,
        });
        if self.rng.chance(10) {
            pod["spec"]["hostname"] = json!("host");
            pod["spec"]["subdomain"] = json!("s1");
        }
        pod
    }

    /// A `ServiceImport` and the slices of its exporting clusters.
    pub fn service_import(&mut self) -> (Value, Vec<Value>) {
        let namespace = self.namespace();
        let name = self.new_name("i");
        let ports = self.service_ports();
        let mut spec = Map::new();
        let mut families = (true, false);
        if self.rng.chance(50) {
            spec.insert("type".to_owned(), json!("Headless"));
            families = *self.rng.pick(&[(true, false), (true, true), (false, true)]);
        } else {
            spec.insert("type".to_owned(), json!("ClusterSetIP"));
            let (a, b) = (self.v4("10.42"), self.v6("fd00:42"));
            let addresses = match self.rng.below(5) {
                0 => vec![a, b],
                1 => vec![b, a],
                2 => vec![b],
                3 => vec![], // none yet
                _ => vec![a],
            };
            spec.insert("ips".to_owned(), json!(addresses));
        }
        if !ports.is_empty() || self.rng.chance(50) {
            spec.insert("ports".to_owned(), json!(ports));
        }
        let mut labels = self.labels();
        // CoreDNS selects ServiceImports by `namespace_labels`: they have such labels too.
        if self.rng.chance(60) {
            labels.insert("environment".to_owned(), json!(self.rng.pick(&["production", "qa", "staging"])));
            labels.insert("kubernetes.io/metadata.name".to_owned(), json!(namespace));
        }
        let import = json!({
            "apiVersion": MULTICLUSTER_API, "kind": "ServiceImport",
            "metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec,
        });
        let mut slices = Vec::new();
        for _ in 0..self.rng.below(4) {
            let v6 = if families.0 && families.1 { self.rng.chance(50) } else { families.1 };
            let mut slice = self.slice(&namespace, &name, &ports, v6, &labels);
            if let Some(labels) = slice["metadata"]["labels"].as_object_mut() {
                if !self.rng.chance(15) {
                    labels.remove(LABEL_SERVICE);
                }
                labels.insert(LABEL_IMPORT.to_owned(), json!(name));
                if !self.rng.chance(8) {
                    let cluster = *self.rng.pick(&["east", "west", "Cluster-B", LONG_LABEL]);
                    labels.insert(LABEL_CLUSTER.to_owned(), json!(cluster));
                }
            }
            slices.push(slice);
        }
        (import, slices)
    }

    /// The Service of the DNS servers: endpoints with this machine's addresses.
    fn name_server(&mut self) -> Vec<Value> {
        let mut objects = Vec::new();
        let addresses = self.shape.local_addresses.clone();
        let services = self.rng.between(1, 2);
        for i in 0..services {
            let name = if i == 0 { "kube-dns".to_owned() } else { format!("dns-{i}") };
            let cluster_ips = match self.rng.below(4) {
                0 => json!(["None"]),
                1 => json!([self.v4("10.96"), self.v6("fd00:10:96")]),
                2 => json!([self.v6("fd00:10:96")]),
                _ => json!([self.v4("10.96")]),
            };
            if self.rng.chance(85) {
                let external = self.v4("203.0");
                objects.push(json!({
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": name, "namespace": "kube-system", "labels": self.labels()},
                    "spec": {"type": "ClusterIP", "clusterIP": cluster_ips[0], "clusterIPs": cluster_ips,
                             "externalIPs": [external],
                             "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
                }));
            }
            for (family, v6) in [("IPv4", false), ("IPv6", true)] {
                let endpoints: Vec<Value> = addresses
                    .iter()
                    .filter(|a| a.contains(':') == v6)
                    .map(|a| json!({"addresses": [a], "conditions": {"ready": true}, "hostname": format!("dns-{i}")}))
                    .collect();
                if endpoints.is_empty() || self.rng.chance(30) {
                    continue;
                }
                self.count += 1;
                objects.push(json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": {"name": format!("slice-{}", self.count), "namespace": "kube-system",
                                 "labels": {LABEL_SERVICE: name, "tier": "gold"}},
                    "addressType": family, "endpoints": endpoints,
                    "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
                }));
            }
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape { zones: vec!["cluster.local".to_owned()], multicluster: true, services: 40, ..Shape::default() }
    }

    #[test]
    fn a_seed_means_one_cluster() {
        assert_eq!(generate(3, &shape()), generate(3, &shape()));
        assert_ne!(generate(3, &shape()), generate(4, &shape()));
    }

    #[test]
    fn keys_are_unique() {
        for seed in 0..20 {
            let objects = generate(seed, &shape());
            let mut keys: Vec<_> = objects.iter().map(key).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), objects.len());
        }
    }

    /// Over a few seeds every shape that the suite promises occurs.
    #[test]
    fn every_shape_occurs() {
        let objects: Vec<Value> = (0..30).flat_map(|seed| generate(seed, &shape())).collect();
        let any = |what: &str, test: &dyn Fn(&Value) -> bool| assert!(objects.iter().any(test), "no {what}");
        let kind = |o: &Value, k: &str| o["kind"] == k;
        any("missing namespace", &|o| o["metadata"]["namespace"] == "missing");
        any("Service without ports", &|o| kind(o, "Service") && array(o, "/spec/ports").is_empty());
        any("IPv6 first", &|o| {
            array(o, "/spec/clusterIPs").len() == 2 && text(o, "/spec/clusterIP").is_some_and(|a| a.contains(':'))
        });
        any("IPv6 only", &|o| {
            array(o, "/spec/clusterIPs").len() == 1 && text(o, "/spec/clusterIP").is_some_and(|a| a.contains(':'))
        });
        for service_type in ["NodePort", "LoadBalancer", "ExternalName"] {
            any(service_type, &|o| o["spec"]["type"] == service_type);
        }
        any("headless without selector", &|o| o["spec"]["clusterIP"] == "None" && o["spec"].get("selector").is_none());
        any("external name that is an address", &|o| {
            text(o, "/spec/externalName").is_some_and(|n| n.parse::<std::net::IpAddr>().is_ok())
        });
        any("external name of 250 bytes", &|o| {
            text(o, "/spec/externalName").is_some_and(|n| (240..=253).contains(&n.len()))
        });
        let endpoint = |test: &dyn Fn(&Value) -> bool, o: &Value| {
            kind(o, "EndpointSlice") && array(o, "/endpoints").iter().any(test)
        };
        any("terminating endpoint", &|o| endpoint(&|e| e["conditions"]["terminating"] == true, o));
        any("endpoint without conditions", &|o| endpoint(&|e| e.get("conditions").is_none(), o));
        any("endpoint with zone", &|o| endpoint(&|e| text(e, "/zone").is_some_and(|z| z.contains('.')), o));
        any("63 byte host name", &|o| endpoint(&|e| e["hostname"] == LONG_LABEL, o));
        any("IPv6 that ends in zero", &|o| {
            endpoint(&|e| array(e, "/addresses").iter().any(|a| a.as_str().is_some_and(|a| a.ends_with("::"))), o)
        });
        any("nil port number", &|o| {
            kind(o, "EndpointSlice") && array(o, "/ports").iter().any(|p| p.get("port").is_none())
        });
        any("slice without ports", &|o| kind(o, "EndpointSlice") && array(o, "/ports").is_empty());
        any("FQDN slice", &|o| o["addressType"] == "FQDN");
        any("slice without a Service", &|o| text(o, "/metadata/labels/kubernetes.io~1service-name") == Some("gone"));
        for phase in ["Running", "Pending", "Succeeded", "Failed", "Unknown"] {
            any(phase, &|o| kind(o, "Pod") && o["status"]["phase"] == phase);
        }
        any("terminating pod", &|o| kind(o, "Pod") && o["metadata"].get("deletionTimestamp").is_some());
        any("host network", &|o| o["spec"]["hostNetwork"] == true);
        any("dual-stack pod", &|o| array(o, "/status/podIPs").len() == 2);
        any("headless import", &|o| kind(o, "ServiceImport") && o["spec"]["type"] == "Headless");
        any("cluster set address", &|o| kind(o, "ServiceImport") && o["spec"]["type"] == "ClusterSetIP");
        any("slice of an import", &|o| o["metadata"]["labels"].get(LABEL_CLUSTER).is_some());
        let addresses: Vec<&str> =
            objects.iter().filter_map(|o| text(o, "/spec/clusterIP")).filter(|a| *a != "None").collect();
        let unique: std::collections::HashSet<_> = addresses.iter().collect();
        assert!(unique.len() < addresses.len(), "no address behind two Services");
    }

    #[test]
    fn addresses_are_addresses() {
        for seed in 0..30 {
            for object in generate(seed, &shape()) {
                let endpoints = array(&object, "/endpoints").iter().flat_map(|e| array(e, "/addresses"));
                let own = array(&object, "/spec/clusterIPs").iter().chain(array(&object, "/spec/ips"));
                for address in endpoints.chain(own).filter_map(Value::as_str) {
                    let fine = address == "None"
                        || object["addressType"] == "FQDN"
                        || address.parse::<std::net::IpAddr>().is_ok();
                    assert!(fine, "{address} in {object}");
                }
            }
        }
    }

    #[test]
    fn an_oddity_can_be_left_out() {
        let shape = Shape { without: Oddity::ALL.map(|(o, _)| o).to_vec(), ..shape() };
        for seed in 0..30 {
            for object in generate(seed, &shape) {
                assert_ne!(object["addressType"], "FQDN");
                let (_, namespace, name) = key(&object);
                assert_eq!(namespace, namespace.to_lowercase());
                assert_eq!(name, name.to_lowercase());
                assert!(!name.contains('.'));
            }
        }
    }
}
