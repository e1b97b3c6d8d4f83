//! What a name asks for: the labels left of the zone, read from the right.

use crate::wire::QName;

/// The meaning of a name in a zone (CoreDNS's `parseRequest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// The zone itself, `svc.ZONE` or `pod.ZONE`: they exist and hold nothing.
    Apex,
    /// Nothing that the schema knows.
    Invalid,
    /// `NAMESPACE.svc.ZONE` or below.
    Service(ServiceRequest<'a>),
    /// `NAMESPACE.pod.ZONE` or below; `service` is the address with dashes. The labels left of it are of no
    /// consequence, in CoreDNS either.
    Pod(ServiceRequest<'a>),
}

/// A name below `svc.ZONE`. Labels that are not there are empty, which every port and endpoint matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceRequest<'a> {
    pub namespace: &'a [u8],
    /// Empty for the bare namespace.
    pub service: &'a [u8],
    pub port: &'a [u8],
    pub protocol: &'a [u8],
    pub endpoint: &'a [u8],
    /// The cluster of an endpoint, in a multicluster zone.
    pub cluster: &'a [u8],
    pub zonal: Option<Zonal<'a>>,
}

/// The part of a zone-scoped name: `TOPOLOGYZONE.pin|prefer._zone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zonal<'a> {
    /// Labels of the topology zone in wire form, without a final zero: the value may have dots.
    labels: &'a [u8],
    /// A zone without endpoints falls back to all of them.
    pub prefer: bool,
}

impl Zonal<'_> {
    /// Whether `zone`, in lower case, is the one named.
    pub fn is(&self, zone: &[u8]) -> bool {
        let mut labels = crate::name::labels(self.labels);
        !zone.is_empty()
            && zone.split(|&octet| octet == b'.').all(|part| labels.next() == Some(part))
            && labels.next().is_none()
    }

    /// The topology zone as text.
    pub fn text(&self) -> alloc::vec::Vec<u8> {
        let labels: alloc::vec::Vec<&[u8]> = crate::name::labels(self.labels).collect();
        labels.join(&b'.')
    }
}

/// Reads the first `count` labels of `name`: those left of the zone.
pub(crate) fn parse(name: &QName, count: usize, multicluster: bool, zonal: bool) -> Request<'_> {
    // Labels counted from the zone: 0 is next to it. Empty past the first label of the name.
    let label = |from_zone: usize| if from_zone < count { name.label(count - 1 - from_zone) } else { &[] };
    let service = match label(0) {
        b"" => return Request::Apex,
        b"svc" => true,
        b"pod" => false,
        _ => return Request::Invalid,
    };
    if count == 1 {
        return Request::Apex;
    }
    // A dot inside of a label is no separator: no object has such a name, but one could look like it.
    // One look at all of them first: a length may look like a dot (46 octets), and then each is looked at.
    let dotted = name.folded()[..name.label_start(count)].contains(&b'.');
    // Labels left of a pod's do not matter at all.
    let named = if service { 1..4 } else { 1..3 };
    if dotted && named.into_iter().any(|index| label(index).contains(&b'.')) {
        return Request::Invalid;
    }
    let mut request = ServiceRequest { namespace: label(1), service: label(2), ..ServiceRequest::default() };
    match count {
        ..=3 => {}
        4 => request.endpoint = label(3),
        5 => {
            let (right, left) = (label(3), label(4));
            if !multicluster || right.starts_with(b"_") || left.starts_with(b"_") {
                request.protocol = strip_underscore(right);
                request.port = strip_underscore(left);
            } else {
                request.cluster = right;
                request.endpoint = left;
            }
        }
        _ => {
            let prefer = match label(4) {
                b"pin" => false,
                b"prefer" => true,
                _ => return Request::Invalid,
            };
            if !zonal || multicluster || !service || label(3) != b"_zone" {
                return Request::Invalid;
            }
            let labels = &name.folded()[..name.label_start(count - 5)];
            request.zonal = Some(Zonal { labels, prefer });
        }
    }
    if service { Request::Service(request) } else { Request::Pod(request) }
}

pub(crate) fn strip_underscore(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::name::from_text;

    fn service<'a>(namespace: &'a [u8], service: &'a [u8]) -> ServiceRequest<'a> {
        ServiceRequest { namespace, service, ..ServiceRequest::default() }
    }

    #[test]
    fn names_are_read_from_the_right() {
        let base = service(b"ns", b"svc1");
        let cases: &[(&str, bool, Request<'_>)] = &[
            ("", false, Request::Apex),
            ("svc", false, Request::Apex),
            ("POD", false, Request::Apex),
            ("other", false, Request::Invalid),
            ("ns.other", false, Request::Invalid),
            ("ns.svc", false, Request::Service(service(b"ns", b""))),
            ("Svc1.NS.svc", false, Request::Service(base)),
            ("ep.svc1.ns.svc", false, Request::Service(ServiceRequest { endpoint: b"ep", ..base })),
            ("_h._tcp.svc1.ns.svc", false, Request::Service(ServiceRequest { port: b"h", protocol: b"tcp", ..base })),
            ("h.tcp.svc1.ns.svc", false, Request::Service(ServiceRequest { port: b"h", protocol: b"tcp", ..base })),
            ("ep.c1.svc1.ns.svc", true, Request::Service(ServiceRequest { endpoint: b"ep", cluster: b"c1", ..base })),
            ("_h._tcp.svc1.ns.svc", true, Request::Service(ServiceRequest { port: b"h", protocol: b"tcp", ..base })),
            ("_h.tcp.svc1.ns.svc", true, Request::Service(ServiceRequest { port: b"h", protocol: b"tcp", ..base })),
            ("_._.svc1.ns.svc", false, Request::Service(base)),
            ("a.b.c.svc1.ns.svc", false, Request::Invalid),
            ("z.pin._zone.svc1.ns.pod", false, Request::Invalid),
            ("z.pin._zone.svc1.ns.svc", true, Request::Invalid),
            ("z.nope._zone.svc1.ns.svc", false, Request::Invalid),
            (
                "pin._zone.svc1.ns.svc",
                false,
                Request::Service(ServiceRequest { port: b"pin", protocol: b"zone", ..base }),
            ),
            ("ns.pod", false, Request::Pod(service(b"ns", b""))),
            ("1-2-3-4.ns.pod", false, Request::Pod(service(b"ns", b"1-2-3-4"))),
            ("x.1-2-3-4.ns.pod", false, Request::Pod(ServiceRequest { endpoint: b"x", ..service(b"ns", b"1-2-3-4") })),
        ];
        for (text, multicluster, expected) in cases {
            let mut name = QName::default();
            let qname = alloc::format!("{text}.cluster.local");
            name.read(&from_text(qname.trim_start_matches('.')).unwrap(), 0).unwrap();
            assert_eq!(parse(&name, name.label_count() - 2, *multicluster, true), *expected, "{text}");
        }
    }

    #[test]
    fn a_topology_zone_may_have_dots() {
        let mut name = QName::default();
        name.read(&from_text("eu.West-1.prefer._zone.s.n.svc.c").unwrap(), 0).unwrap();
        let Request::Service(ServiceRequest { zonal: Some(zonal), .. }) = parse(&name, 7, false, true) else {
            panic!("not a zone-scoped name");
        };
        assert!(zonal.prefer);
        for (zone, expected) in [("eu.west-1", true), ("eu", false), ("", false), ("eu.west-1.x", false)] {
            assert_eq!(zonal.is(zone.as_bytes()), expected, "{zone}");
        }
        assert_eq!(parse(&name, 7, false, false), Request::Invalid, "without the option");
    }
}
