//! From a name to what holds its records.

use super::request::{Request, ServiceRequest, Zonal, parse};
use crate::config::PodMode;
use crate::object::{ServiceKind, parse_address};
use crate::store::Store;
use crate::store::record::{EndpointView, PortView, ServiceView, SliceView};
use crate::wire::QName;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Located<'a> {
    /// The name does not exist.
    Nothing,
    /// The name exists and has no records of its own.
    Empty,
    /// `ns.dns.ZONE`: the addresses of the name server.
    NameServer,
    /// A Service's own addresses; at least one of its ports is asked for.
    ClusterIp(ServiceView<'a>, PortFilter<'a>),
    /// Endpoints of a Service. The name exists if one matches, or if it is zone-scoped.
    Endpoints(Endpoints<'a>),
    /// An alias to this text.
    Alias(&'a [u8]),
    /// The address of pods, under its dashed label.
    Pod {
        namespace: &'a [u8],
        label: &'a [u8],
        ip: IpAddr,
        /// How many pods have it, for the weight of SRV records; 1 where nobody looks.
        pods: usize,
    },
}

/// The ports that a name asks for; an empty part asks for any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortFilter<'a> {
    pub name: &'a [u8],
    pub protocol: &'a [u8],
}

impl PortFilter<'_> {
    /// Whether every port is asked for.
    fn is_any(&self) -> bool {
        self.name.is_empty() && self.protocol.is_empty()
    }

    /// Asks for nothing in particular.
    pub const ANY: Self = Self { name: &[], protocol: &[] };

    pub fn matches(&self, port: &PortView<'_>) -> bool {
        (self.name.is_empty() || self.name.eq_ignore_ascii_case(port.name))
            && (self.protocol.is_empty() || self.protocol.eq_ignore_ascii_case(port.protocol))
    }
}

/// The endpoints of a Service that a name asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints<'a> {
    store: &'a Store,
    pub namespace: &'a [u8],
    pub service: &'a [u8],
    pub multicluster: bool,
    /// The label asked for, in lower case, or empty for all.
    label: &'a [u8],
    /// The address that the label spells.
    label_ip: Option<IpAddr>,
    cluster: &'a [u8],
    pub ports: PortFilter<'a>,
    /// Only endpoints of this topology zone.
    zonal: Option<Zonal<'a>>,
    /// A zone-scoped name exists even without endpoints.
    exists: bool,
}

impl<'a> Endpoints<'a> {
    /// The slices with a port that is asked for.
    fn slices(&self) -> impl Iterator<Item = SliceView<'a>> + Clone + use<'a> {
        let ports = self.ports;
        let tables = if self.multicluster { &self.store.import_slices } else { &self.store.slices };
        let hash = self.store.settings.hasher.object(self.namespace, self.service);
        tables.of(hash, self.namespace, self.service).filter(move |slice| {
            // Nothing asked, nothing to compare: the common case.
            (ports.name.is_empty() && ports.protocol.is_empty())
                || slice.ports.or_sentinel().any(|port| ports.matches(&port))
        })
    }

    /// The endpoints asked for, with their slices.
    pub fn iter(&self) -> impl Iterator<Item = (SliceView<'a>, EndpointView<'a>)> + Clone + use<'a> {
        let wanted = *self;
        self.slices().flat_map(move |slice| {
            let named =
                wanted.label.is_empty() || !wanted.multicluster || wanted.cluster.eq_ignore_ascii_case(slice.cluster);
            let endpoints = slice.endpoints().filter(move |endpoint| {
                named
                    && (wanted.label.is_empty() || endpoint.is_called(wanted.label, wanted.label_ip))
                    && wanted.zonal.is_none_or(|zonal| zonal.is(endpoint.zone))
            });
            endpoints.map(move |endpoint| (slice, endpoint))
        })
    }

    /// The number of SRV records that they make: one for each port of each that is asked for, -1 and duplicates too.
    pub fn record_count(&self) -> usize {
        let ports = |slice: &SliceView<'_>| slice.ports.or_sentinel().filter(|port| self.ports.matches(port)).count();
        if self.label.is_empty() && self.zonal.is_none() {
            self.slices().map(|slice| slice.len() * ports(&slice)).sum()
        } else {
            self.iter().map(|(slice, _)| ports(&slice)).sum()
        }
    }

    pub fn exists(&self) -> bool {
        self.exists || self.iter().next().is_some()
    }

    /// The name is zone-scoped, and so exists even without endpoints.
    pub fn is_zonal(&self) -> bool {
        self.exists
    }

    /// `prefer`: without endpoints in the zone, all of them.
    fn widened(mut self) -> Self {
        if self.zonal.is_some_and(|zonal| zonal.prefer) && self.iter().next().is_none() {
            self.zonal = None;
        }
        self
    }
}

impl Located<'_> {
    /// Whether the name exists.
    pub fn exists(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Endpoints(endpoints) => endpoints.exists(),
            _ => true,
        }
    }
}

/// Finds what `name` stands for. `left` is the number of its labels left of the zone.
pub(crate) fn locate<'a>(store: &'a Store, name: &'a QName, left: usize, multicluster: bool) -> Located<'a> {
    if left == 2 && name.label(0) == b"ns" && name.label(1) == b"dns" {
        return Located::NameServer;
    }
    match parse(name, left, multicluster, store.settings.zonal) {
        Request::Apex => Located::Empty,
        Request::Invalid => Located::Nothing,
        // Nothing of the schema lives in a reverse zone but its own apex.
        _ if is_reverse(name.folded()) => Located::Nothing,
        Request::Pod(request) => locate_pod(store, request.namespace, request.service),
        Request::Service(request) => locate_service(store, request, multicluster),
    }
}

/// The name ends in `.in-addr.arpa.` or `.ip6.arpa.` (CoreDNS's `dnsutil.IsReverse`).
pub(crate) fn is_reverse(name: &[u8]) -> bool {
    name.ends_with(b"\x07in-addr\x04arpa\x00") && name.len() > 14
        || name.ends_with(b"\x03ip6\x04arpa\x00") && name.len() > 10
}

fn locate_service<'a>(store: &'a Store, request: ServiceRequest<'a>, multicluster: bool) -> Located<'a> {
    let ServiceRequest { namespace, service: name, endpoint, zonal, .. } = request;
    if !store.namespace_exposed(namespace) {
        return Located::Nothing;
    }
    if name.is_empty() {
        return Located::Empty;
    }
    let found = if multicluster { store.import(namespace, name) } else { store.service(namespace, name) };
    let Some(service) = found else { return Located::Nothing };
    if store.settings.ignore_empty_service
        && service.kind == ServiceKind::ClusterIp
        && !has_endpoints(store, namespace, name, multicluster)
    {
        return Located::Nothing;
    }
    // A virtual IP has no topology zone: a pinned name of it would be a promise broken.
    if zonal.is_some() && !service.headless() {
        return Located::Nothing;
    }
    let ports = PortFilter { name: request.port, protocol: request.protocol };
    if service.kind == ServiceKind::ExternalName {
        let alias = service.external_name();
        let plain = endpoint.is_empty() && ports.name.is_empty() && ports.protocol.is_empty();
        return if plain && !is_address(alias) { Located::Alias(alias) } else { Located::Nothing };
    }
    if service.headless() || !endpoint.is_empty() {
        let endpoints = Endpoints {
            store,
            namespace,
            service: name,
            multicluster,
            label: endpoint,
            label_ip: dashed_address(endpoint),
            cluster: request.cluster,
            ports,
            zonal,
            exists: zonal.is_some(),
        };
        return Located::Endpoints(endpoints.widened());
    }
    // Nothing asked, nothing to compare: the common case.
    if ports.is_any() && !multicluster {
        return Located::ClusterIp(service, ports);
    }
    // An import without ports is not answered; a Service without ports is.
    let asked = |port: PortView<'_>| ports.matches(&port);
    let any = if multicluster { service.ports().any(asked) } else { service.ports().or_sentinel().any(asked) };
    if any { Located::ClusterIp(service, ports) } else { Located::Nothing }
}

fn has_endpoints(store: &Store, namespace: &[u8], name: &[u8], multicluster: bool) -> bool {
    let tables = if multicluster { &store.import_slices } else { &store.slices };
    let hash = store.settings.hasher.object(namespace, name);
    tables.of(hash, namespace, name).any(|slice| slice.len() > 0)
}

fn is_address(text: &[u8]) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| parse_address(text).is_ok())
}

fn locate_pod<'a>(store: &'a Store, namespace: &'a [u8], label: &'a [u8]) -> Located<'a> {
    // In CoreDNS even the bare namespace does not exist below `pod` when pods are disabled.
    if store.settings.pods == PodMode::Disabled || !store.namespace_exposed(namespace) {
        return Located::Nothing;
    }
    if label.is_empty() {
        return Located::Empty;
    }
    let Some(ip) = dashed_address(label) else { return Located::Nothing };
    let pods = match store.settings.pods {
        PodMode::Verified if is_canonical(label, ip) => {
            store.pods_at(ip).filter(|pod| pod.namespace == namespace).count()
        }
        PodMode::Verified => 0,
        _ => 1,
    };
    if pods > 0 { Located::Pod { namespace, label, ip, pods } } else { Located::Nothing }
}

/// The address that a label spells with dashes, if it does: three single dashes are an IPv4 address, anything else may
/// be an IPv6 address.
pub(crate) fn dashed_address(label: &[u8]) -> Option<IpAddr> {
    if !label.iter().all(|octet| octet.is_ascii_hexdigit() || *octet == b'-') || label.len() > 39 {
        return None;
    }
    let mut text = [0; 39];
    let text = &mut text[..label.len()];
    text.copy_from_slice(label);
    let v4 = label.split(|&octet| octet == b'-').count() == 4 && !label.windows(2).any(|pair| pair == b"--");
    for octet in text.iter_mut().filter(|octet| **octet == b'-') {
        *octet = if v4 { b'.' } else { b':' };
    }
    let text = core::str::from_utf8(text).ok()?;
    if v4 {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    } else {
        text.parse::<Ipv6Addr>().ok().map(|ip| crate::object::canonical(IpAddr::V6(ip)))
    }
}

/// Whether `label` is `ip` in its canonical spelling: the one under which CoreDNS has pods indexed.
fn is_canonical(label: &[u8], ip: IpAddr) -> bool {
    use core::fmt::Write;
    struct Compare<'a> {
        rest: Option<&'a [u8]>,
    }
    impl Write for Compare<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            for octet in text.bytes() {
                let dashed = if matches!(octet, b':' | b'.') { b'-' } else { octet };
                self.rest = self.rest.and_then(|rest| rest.strip_prefix(&[dashed]));
            }
            Ok(())
        }
    }
    let mut compare = Compare { rest: Some(label) };
    // Comparing cannot fail to be written.
    let _ = write!(compare, "{ip}");
    compare.rest == Some(&[])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_spell_addresses() {
        for (label, expected, canonical) in [
            ("10-0-0-1", Some("10.0.0.1"), true),
            ("10-0-0-01", None, false),
            ("10-0-0", None, false),
            ("fd00--1", Some("fd00::1"), true),
            ("fd00-0-0-0-0-0-0-1", Some("fd00::1"), false),
            ("--1", Some("::1"), true),
            ("fd00--", Some("fd00::"), true),
            ("fd00--0", Some("fd00::"), false),
            ("0-0-0-0-0-ffff-102-304", Some("1.2.3.4"), false),
            ("web", None, false),
            ("", None, false),
            ("1-2-3-4-5-6-7-8-9", None, false),
        ] {
            let ip = dashed_address(label.as_bytes());
            assert_eq!(ip, expected.map(|text| text.parse().unwrap()), "{label}");
            assert_eq!(ip.is_some_and(|ip| is_canonical(label.as_bytes(), ip)), canonical, "{label}");
        }
    }

    #[test]
    fn reverse_names() {
        for (name, expected) in [
            (&b"\x0210\x07in-addr\x04arpa\x00"[..], true),
            (b"\x07in-addr\x04arpa\x00", false),
            (b"\x01a\x03ip6\x04arpa\x00", true),
            (b"\x03ip6\x04arpa\x00", false),
            (b"\x05local\x00", false),
        ] {
            assert_eq!(is_reverse(name), expected);
        }
    }
}
