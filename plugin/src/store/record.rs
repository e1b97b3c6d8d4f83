//! How objects lie in the tables: a few dozen octets each, read in place.
//!
//! | record | layout |
//! | --- | --- |
//! | namespace | name |
//! | Service, `ServiceImport` | namespace, name, kind, addresses, ports, external name, external addresses |
//! | `EndpointSlice` | namespace, Service, name, cluster, flags, ports, endpoints: address, label, topology zone (if flagged) |
//! | pod | namespace, name, addresses, labels |
//!
//! Text is a length and octets, a list is a count and its items; lengths and counts are LEB128. An address is its
//! family's octet count and its octets. Records are written by this module only, so reading cannot fail; what a
//! damaged record would give is empty values, never a panic.

use crate::name::{MAX_LABEL, MAX_NAME};
use crate::object::{self, EndpointSlice, ExternalAddress, Pod, Port, Service, ServiceImport, ServiceKind};
use alloc::vec::Vec;
use core::net::IpAddr;

const HAS_ZONES: u8 = 1;
const HAS_NUMBER: u8 = 0x80;
/// Protocols that objects name; any other is spelled out.
const PROTOCOLS: [&str; 4] = ["", "TCP", "UDP", "SCTP"];
const OTHER_PROTOCOL: u8 = 0x7f;

/// What decides how endpoints are named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming {
    /// Those without a hostname are named after their pods.
    pub pod_names: bool,
    /// Their topology zones are kept.
    pub zones: bool,
    /// The length of the longest zone served, in octets of its wire form.
    pub longest_zone: usize,
}

/// Writes records into a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub fn namespace(&mut self, name: &str) -> &[u8] {
        self.0.clear();
        self.text(name);
        &self.0
    }

    pub fn service(&mut self, service: &Service) -> &[u8] {
        let kind = match service.kind {
            ServiceKind::ClusterIp => 0,
            ServiceKind::Headless => 1,
            ServiceKind::ExternalName => 2,
        };
        self.service_parts(&service.meta, kind, &service.cluster_ips, &service.ports);
        self.text(&service.external_name);
        self.count(service.external.len());
        for external in &service.external {
            match external {
                ExternalAddress::Ip(ip) => self.address(*ip),
                ExternalAddress::Hostname(hostname) => {
                    self.0.push(0);
                    self.text(hostname);
                }
            }
        }
        &self.0
    }

    pub fn import(&mut self, import: &ServiceImport) -> &[u8] {
        self.service_parts(&import.meta, u8::from(import.headless), &import.ips, &import.ports);
        self.text("");
        self.count(0);
        &self.0
    }

    fn service_parts(&mut self, meta: &object::Meta, kind: u8, ips: &[IpAddr], ports: &[Port]) {
        self.0.clear();
        self.text(&meta.namespace);
        self.text(&meta.name);
        self.0.push(kind);
        self.addresses(ips);
        self.ports(ports);
    }

    /// A slice of `service`.
    pub fn slice(&mut self, slice: &EndpointSlice, service: &str, cluster: &str, naming: Naming) -> &[u8] {
        let Naming { pod_names, zones, longest_zone } = naming;
        // What stands behind an endpoint's own label in a name, each label with its length.
        let cluster_label = if cluster.is_empty() { 0 } else { 1 + cluster.len() };
        let behind = cluster_label + 1 + service.len() + 1 + slice.meta.namespace.len() + "_svc".len() + longest_zone;
        let room = MAX_NAME.saturating_sub(1 + behind).min(MAX_LABEL);
        self.0.clear();
        self.text(&slice.meta.namespace);
        self.text(service);
        self.text(&slice.meta.name);
        self.text(cluster);
        self.0.push(if zones { HAS_ZONES } else { 0 });
        self.ports(&slice.ports);
        self.count(slice.endpoints.iter().map(|endpoint| endpoint.addresses.len()).sum());
        for endpoint in &slice.endpoints {
            for address in &endpoint.addresses {
                self.address(address.ip);
                let named = [&*endpoint.hostname, if pod_names { &*endpoint.target_name } else { "" }]
                    .into_iter()
                    .find(|name| !name.is_empty());
                match (named, &address.spelled) {
                    // What cannot be part of a name cannot be served; the address's own name can.
                    (Some(name), _) if name.len() <= room && !name.split('.').any(str::is_empty) => {
                        self.text(name);
                    }
                    (_, Some(spelled)) => {
                        let dashed = spelled_label(spelled);
                        self.text(&dashed);
                    }
                    _ => self.text(""),
                }
                if zones {
                    let mut zone = alloc::string::String::from(&*endpoint.zone);
                    zone.make_ascii_lowercase();
                    self.text(&zone);
                }
            }
        }
        &self.0
    }

    pub fn pod(&mut self, pod: &Pod, labels: bool) -> &[u8] {
        self.0.clear();
        self.text(&pod.meta.namespace);
        self.text(&pod.meta.name);
        self.addresses(&pod.ips);
        if labels {
            self.count(pod.meta.labels.len());
            for (key, value) in &pod.meta.labels {
                self.text(key);
                self.text(value);
            }
        } else {
            self.count(0);
        }
        &self.0
    }

    fn count(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.0.push(4);
                self.0.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.0.push(16);
                self.0.extend_from_slice(&v6.octets());
            }
        }
    }

    fn addresses(&mut self, addresses: &[IpAddr]) {
        self.count(addresses.len());
        for address in addresses {
            self.address(*address);
        }
    }

    fn ports(&mut self, ports: &[Port]) {
        self.count(ports.len());
        for port in ports {
            // -1 is how CoreDNS marks a port without a number; an object that says it means the same.
            let number = port.number.filter(|&number| number != -1).map(wire_port);
            let known = PROTOCOLS.iter().position(|protocol| *protocol == &*port.protocol);
            let protocol = known.map_or(OTHER_PROTOCOL, |index| index as u8);
            self.0.push(protocol | if number.is_some() { HAS_NUMBER } else { 0 });
            if protocol == OTHER_PROTOCOL {
                self.text(&port.protocol);
            }
            if let Some(number) = number {
                self.0.extend_from_slice(&number.to_be_bytes());
            }
            self.text(&port.name);
        }
    }
}

/// The lower 16 bits of a number, which are all that an SRV record takes. The API server allows no other.
#[expect(clippy::cast_sign_loss, reason = "CoreDNS casts alike")]
fn wire_port(number: i32) -> u16 {
    number as u16
}

/// The label of an endpoint whose address is spelled in an uncommon way (CoreDNS's `endpointHostname`).
fn spelled_label(address: &str) -> alloc::string::String {
    if address.contains('.') {
        return address.replace('.', "-");
    }
    let mut label = address.replace(':', "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

/// Reads a record from its front.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octet(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn octets(&mut self, len: usize) -> &'a [u8] {
        let (found, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        found
    }

    fn count(&mut self) -> usize {
        let first = self.octet();
        if first < 0x80 {
            return usize::from(first);
        }
        let (mut value, mut shift) = (usize::from(first & 0x7f), 7);
        loop {
            let octet = self.octet();
            value |= usize::from(octet & 0x7f) << shift;
            shift += 7;
            if octet < 0x80 || shift > 28 {
                return value;
            }
        }
    }

    fn text(&mut self) -> &'a [u8] {
        let len = self.count();
        self.octets(len)
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.octet() {
            4 => self.octets(4).try_into().ok().map(|octets: [u8; 4]| IpAddr::from(octets)),
            16 => self.octets(16).try_into().ok().map(|octets: [u8; 16]| IpAddr::from(octets)),
            _ => None,
        }
    }

    fn addresses(&mut self) -> Addresses<'a> {
        let left = self.count();
        let list = Addresses { reader: *self, left };
        for _ in 0..left {
            let len = usize::from(self.octet());
            self.octets(len);
        }
        list
    }

    fn port(&mut self) -> PortView<'a> {
        let head = self.octet();
        let protocol = match PROTOCOLS.get(usize::from(head & !HAS_NUMBER)) {
            Some(protocol) => protocol.as_bytes(),
            None => self.text(),
        };
        let number = (head & HAS_NUMBER != 0).then(|| u16::from(self.octet()) << 8 | u16::from(self.octet()));
        PortView { protocol, number, name: self.text() }
    }

    fn ports(&mut self) -> Ports<'a> {
        let left = self.count();
        let list = Ports { reader: *self, left };
        for _ in 0..left {
            self.port();
        }
        list
    }
}

/// A list of addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses<'a> {
    reader: Reader<'a>,
    left: usize,
}

#[expect(clippy::copy_iterator, reason = "a view that is read from its start again and again")]
impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        self.left = self.left.checked_sub(1)?;
        self.reader.address()
    }
}

/// A list of ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Ports<'a> {
    /// The one port of an object that lists none: it has no name and no number (CoreDNS's sentinel).
    pub fn sentinel() -> PortView<'static> {
        PortView { protocol: &[], number: None, name: &[] }
    }

    /// The ports, or the sentinel where there is none.
    pub fn or_sentinel(self) -> impl Iterator<Item = PortView<'a>> + Clone + use<'a> {
        let sentinel = (self.left == 0).then(Self::sentinel);
        self.chain(sentinel)
    }
}

#[expect(clippy::copy_iterator, reason = "a view that is read from its start again and again")]
impl<'a> Iterator for Ports<'a> {
    type Item = PortView<'a>;

    fn next(&mut self) -> Option<PortView<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.reader.port())
    }
}

/// A port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortView<'a> {
    pub protocol: &'a [u8],
    pub number: Option<u16>,
    pub name: &'a [u8],
}

/// Whether a record of a namespaced object has this namespace and this second text: the name of a Service or pod, the
/// Service of a slice.
pub(crate) fn has_key(record: &[u8], namespace: &[u8], name: &[u8]) -> bool {
    let mut reader = Reader(record);
    reader.text() == namespace && reader.text() == name
}

/// The name in a namespace's record.
pub(crate) fn namespace_name(record: &[u8]) -> &[u8] {
    Reader(record).text()
}

/// A Service, or a `ServiceImport`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceView<'a> {
    pub namespace: &'a [u8],
    pub name: &'a [u8],
    pub kind: ServiceKind,
    pub ips: Addresses<'a>,
    rest: Reader<'a>,
}

impl<'a> ServiceView<'a> {
    pub fn new(record: &'a [u8]) -> Self {
        let mut reader = Reader(record);
        let namespace = reader.text();
        let name = reader.text();
        let kind = match reader.octet() {
            1 => ServiceKind::Headless,
            2 => ServiceKind::ExternalName,
            _ => ServiceKind::ClusterIp,
        };
        let ips = reader.addresses();
        Self { namespace, name, kind, ips, rest: reader }
    }

    pub fn headless(&self) -> bool {
        self.kind == ServiceKind::Headless
    }

    pub fn ports(&self) -> Ports<'a> {
        self.rest.clone().ports()
    }

    /// The target of an `ExternalName` Service, as text.
    pub fn external_name(&self) -> &'a [u8] {
        let mut reader = self.rest;
        reader.ports();
        reader.text()
    }

    /// The addresses and names under which it is reached from outside.
    pub fn external(&self) -> impl Iterator<Item = External<'a>> + Clone + use<'a> {
        let mut reader = self.rest;
        reader.ports();
        reader.text();
        let mut left = reader.count();
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let ahead = reader;
            Some(reader.address().map_or_else(
                || {
                    reader = ahead;
                    reader.octet();
                    External::Hostname(reader.text())
                },
                External::Ip,
            ))
        })
    }
}

/// An external address in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External<'a> {
    Ip(IpAddr),
    Hostname(&'a [u8]),
}

/// An `EndpointSlice`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceView<'a> {
    pub namespace: &'a [u8],
    pub service: &'a [u8],
    pub name: &'a [u8],
    pub cluster: &'a [u8],
    pub ports: Ports<'a>,
    has_zones: bool,
    endpoints: Reader<'a>,
    count: usize,
}

impl<'a> SliceView<'a> {
    pub fn new(record: &'a [u8]) -> Self {
        let mut reader = Reader(record);
        let namespace = reader.text();
        let service = reader.text();
        let name = reader.text();
        let cluster = reader.text();
        let has_zones = reader.octet() & HAS_ZONES != 0;
        let ports = reader.ports();
        let count = reader.count();
        Self { namespace, service, name, cluster, ports, has_zones, endpoints: reader, count }
    }

    /// The number of endpoints.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn endpoints(&self) -> impl Iterator<Item = EndpointView<'a>> + Clone + use<'a> {
        let (mut reader, mut left, has_zones) = (self.endpoints, self.count, self.has_zones);
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let ip = reader.address()?;
            let label = reader.text();
            let zone = if has_zones { reader.text() } else { &[] };
            Some(EndpointView { ip, label, zone })
        })
    }
}

/// A ready endpoint's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointView<'a> {
    pub ip: IpAddr,
    /// Its label, empty where the address gives it: see [`Self::write_label`].
    label: &'a [u8],
    /// Its topology zone in lower case, or empty.
    pub zone: &'a [u8],
}

/// What an endpoint's name starts with: a label, or several where a pod's name has dots.
#[derive(Clone, Copy)]
pub(crate) struct EndpointLabel {
    /// Labels in wire form: as long as the text, and one octet more.
    octets: [u8; 64],
    len: usize,
}

impl EndpointLabel {
    /// The labels in wire form, without a final zero.
    pub fn wire(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// The text of the first label.
    fn first(&self) -> &[u8] {
        &self.octets[1..=usize::from(self.octets[0])]
    }

    /// A label, or labels with dots between, of at most 63 octets together.
    fn from_text(text: &[u8]) -> Self {
        let mut label = Self { octets: [0; 64], len: 0 };
        for part in text.split(|&octet| octet == b'.') {
            label.push_label(part);
        }
        label
    }

    fn push_label(&mut self, part: &[u8]) {
        let start = self.len + 1;
        if let Some(place) = self.octets.get_mut(start..start + part.len()) {
            place.copy_from_slice(part);
            self.octets[self.len] = part.len() as u8;
            self.len = start + part.len();
        }
    }

    /// Appends to the only label.
    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.len.max(1)) {
            *place = octet;
            self.octets[0] += 1;
            self.len = self.len.max(1) + 1;
        }
    }
}

impl EndpointView<'_> {
    /// The endpoint's hostname, else its pod's name, else its address with dashes (CoreDNS's `endpointHostname`).
    pub fn label(&self) -> EndpointLabel {
        if !self.label.is_empty() {
            return EndpointLabel::from_text(self.label);
        }
        let mut label = EndpointLabel { octets: [0; 64], len: 0 };
        write_dashed(self.ip, &mut label);
        label
    }

    /// Whether `asked`, in lower case, is this endpoint's label. `asked_ip` is the address that `asked` spells.
    pub fn is_called(&self, asked: &[u8], asked_ip: Option<IpAddr>) -> bool {
        if !self.label.is_empty() {
            // Labels are asked for one by one, so a name of several is never asked for.
            return self.label.eq_ignore_ascii_case(asked) && !asked.contains(&b'.');
        }
        // The spelling has to be the canonical one as well; it is only made when the address is right.
        asked_ip == Some(self.ip) && self.label().first() == asked
    }
}

/// An address as a label: dots and colons become dashes, and a last dash gets a zero to end in.
fn write_dashed(ip: IpAddr, label: &mut EndpointLabel) {
    match ip {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    label.push(b'-');
                }
                if octet >= 100 {
                    label.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    label.push(b'0' + octet / 10 % 10);
                }
                label.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(v6) => {
            use core::fmt::Write;
            struct Dashes<'a>(&'a mut EndpointLabel);
            impl Write for Dashes<'_> {
                fn write_str(&mut self, text: &str) -> core::fmt::Result {
                    for octet in text.bytes() {
                        self.0.push(if octet == b':' { b'-' } else { octet });
                    }
                    Ok(())
                }
            }
            // Writing to a label cannot fail.
            let _ = write!(Dashes(label), "{v6}");
            if label.first().last() == Some(&b'-') {
                label.push(b'0');
            }
        }
    }
}

/// A pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodView<'a> {
    pub namespace: &'a [u8],
    pub name: &'a [u8],
    pub ips: Addresses<'a>,
    labels: Reader<'a>,
}

impl<'a> PodView<'a> {
    pub fn new(record: &'a [u8]) -> Self {
        let mut reader = Reader(record);
        let namespace = reader.text();
        let name = reader.text();
        let ips = reader.addresses();
        Self { namespace, name, ips, labels: reader }
    }

    /// Its labels, if they are kept.
    pub fn labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = self.labels;
        let mut left = reader.count();
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            Some((reader.text(), reader.text()))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::object::{Endpoint, EndpointAddress, Meta};
    use alloc::vec;

    fn port(name: &str, protocol: &str, number: Option<i32>) -> Port {
        Port { name: name.into(), protocol: protocol.into(), number }
    }

    #[test]
    fn a_service_reads_back() {
        let service = Service {
            meta: Meta { name: "web".into(), namespace: "dev".into(), ..Meta::default() },
            kind: ServiceKind::ClusterIp,
            cluster_ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            external_name: "".into(),
            ports: vec![port("http", "TCP", Some(80)), port("", "QUIC", None), port("x", "", Some(-1))],
            external: vec![
                ExternalAddress::Ip("192.0.2.1".parse().unwrap()),
                ExternalAddress::Hostname("lb.example".into()),
                ExternalAddress::Ip("2001:db8::1".parse().unwrap()),
            ],
        };
        let mut encoder = Encoder::default();
        let view = ServiceView::new(encoder.service(&service));
        assert_eq!((view.namespace, view.name, view.kind), (&b"dev"[..], &b"web"[..], ServiceKind::ClusterIp));
        assert_eq!(view.ips.collect::<Vec<_>>(), service.cluster_ips);
        let ports: Vec<_> = view.ports().map(|port| (port.name, port.protocol, port.number)).collect();
        assert_eq!(
            ports,
            [(&b"http"[..], &b"TCP"[..], Some(80)), (&b""[..], &b"QUIC"[..], None), (&b"x"[..], &b""[..], None)]
        );
        let external: Vec<_> = view.external().collect();
        assert_eq!(external[0], External::Ip("192.0.2.1".parse().unwrap()));
        assert_eq!(external[1], External::Hostname(b"lb.example"));
        assert_eq!(external[2], External::Ip("2001:db8::1".parse().unwrap()));
        assert_eq!(external.len(), 3);
    }

    #[test]
    fn endpoints_are_named() {
        let endpoint = |address: &str, hostname: &str, target: &str| Endpoint {
            addresses: vec![EndpointAddress::parse(address).unwrap()],
            hostname: hostname.into(),
            target_name: target.into(),
            zone: "Zone-A".into(),
        };
        let slice = EndpointSlice::new(
            "dev",
            "web-1",
            "web",
            vec![],
            vec![
                endpoint("10.20.130.4", "", ""),
                endpoint("10.0.0.1", "Host", "pod-1"),
                endpoint("10.0.0.2", "", "pod-2"),
                endpoint("fd00::", "", ""),
                endpoint("fd00::1:2", "", ""),
                endpoint("FD00::1", "", ""),
                endpoint("10.0.0.3", &"h".repeat(64), ""),
            ],
        );
        let mut encoder = Encoder::default();
        for (pod_names, third) in [(false, "10-0-0-2"), (true, "pod-2")] {
            let view =
                SliceView::new(encoder.slice(&slice, "web", "", Naming { pod_names, zones: true, longest_zone: 15 }));
            let labels: Vec<Vec<u8>> = view.endpoints().map(|endpoint| endpoint.label().first().to_vec()).collect();
            let expected =
                ["10-20-130-4", "Host", third, "fd00--0", "fd00--1-2", "FD00--1", "10-0-0-3"].map(str::as_bytes);
            assert_eq!(labels, expected);
            assert!(view.endpoints().all(|endpoint| endpoint.zone == b"zone-a"));
        }
        let view = SliceView::new(encoder.slice(
            &slice,
            "web",
            "",
            Naming { pod_names: false, zones: false, longest_zone: 15 },
        ));
        let called = |asked: &str, ip: &str| {
            let ip = ip.parse().ok();
            view.endpoints().filter(|endpoint| endpoint.is_called(asked.as_bytes(), ip)).count()
        };
        assert_eq!(called("host", ""), 1);
        assert_eq!(called("10-20-130-4", "10.20.130.4"), 1);
        assert_eq!(called("10-0-0-1", "10.0.0.1"), 0, "a hostname replaces the address");
        assert_eq!(called("fd00--0", "fd00::"), 1);
        assert_eq!(called("fd00-0-0-0-0-0-0-0", "fd00::"), 0, "not the canonical spelling");
    }

    #[test]
    fn a_damaged_record_reads_as_something() {
        let mut encoder = Encoder::default();
        let service = Service::new("ns", "name", vec!["10.0.0.1".parse().unwrap()], vec![port("p", "TCP", Some(1))]);
        let record = encoder.service(&service).to_vec();
        for len in 0..record.len() {
            for flip in 0..8 {
                let mut damaged = record[..len].to_vec();
                if let Some(last) = damaged.last_mut() {
                    *last ^= 1 << flip;
                }
                let view = ServiceView::new(&damaged);
                let _ = (view.ips.count(), view.ports().take(10).count(), view.external().take(10).count());
                let slice = SliceView::new(&damaged);
                let _ = slice.endpoints().take(10).count();
            }
        }
    }
}
