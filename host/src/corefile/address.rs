//! The keys of server blocks: zones, ports, schemes and address ranges, as CoreDNS reads them
//! (`core/dnsserver/register.go`, `core/dnsserver/address.go`, `plugin/normalize.go`).

use std::collections::HashMap;
use std::fmt;

use super::cidr::Cidr;
use super::domain_name;
use super::error::Shown;
use super::number::parse_integer;
use super::token::Location;

/// How queries reach a server block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Plain DNS over UDP and TCP: `dns://`, the default.
    Dns,
    /// DNS over TLS (RFC 7858): `tls://`.
    Tls,
    /// DNS over QUIC (RFC 9250): `quic://`.
    Quic,
    /// DNS over gRPC: `grpc://`.
    Grpc,
    /// DNS over HTTPS (RFC 8484): `https://`.
    Https,
    /// DNS over HTTP/3: `https3://`.
    Https3,
}

impl Transport {
    const ALL: [Self; 6] = [Self::Tls, Self::Dns, Self::Quic, Self::Grpc, Self::Https3, Self::Https];

    /// The scheme, without `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Https3 => "https3",
        }
    }

    /// The port where a key names none.
    fn default_port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Tls | Self::Quic => 853,
            Self::Grpc | Self::Https | Self::Https3 => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// What a server block serves and where: one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneAddr {
    /// The zone: lower case, fully qualified, with its trailing dot.
    pub zone: String,
    /// The port to listen on; 0 leaves the choice to the system.
    pub port: u16,
    /// How queries come.
    pub transport: Transport,
    /// Where the key stands.
    pub at: Location,
}

impl fmt::Display for ZoneAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.transport, self.zone, self.port)
    }
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `example.org:` or nothing at all.
    #[error("key {} ends where a zone or a port should follow", Shown(.0))]
    Incomplete(String),
    /// More than 255 bytes.
    #[error("the zone is too long: {0} bytes, more than 255")]
    TooLong(usize),
    /// Not a domain name.
    #[error("key {} names no zone: {} is not a domain name", Shown(.0), Shown(.1))]
    NotADomainName(String, String),
    /// An IPv6 range that starts with zeros, which CoreDNS refuses because it could be a port.
    #[error("the range {} starts with zeros, which CoreDNS refuses", Shown(.0))]
    ZeroRange(String),
    /// The port does not fit.
    #[error("port {0} does not exist")]
    Port(i64),
    /// `unix://`, which CoreDNS takes and then serves nowhere.
    #[error("server blocks cannot listen on unix sockets")]
    Unix,
}

/// What a key may be, for messages.
pub const ACCEPTED: &str = "accepted: [dns://|tls://|https://|https3://|grpc://|quic://]ZONE[:PORT], ZONE being a domain name or ADDRESS/PREFIX";

/// The zones of the key `key` of a server block, of which there are several when it is an address range that does not
/// end where reverse zones are cut. `dns_port` takes the place of the port of plain DNS that the key names, or does not
/// name; the other transports keep theirs.
pub fn expand_key(key: &str, dns_port: Option<u16>, at: &Location) -> Result<Vec<ZoneAddr>, AddressError> {
    let (transport, rest) = split_transport(key);
    let transport = transport.ok_or(AddressError::Unix)?;
    let (zones, port) = split_zones_and_port(rest)?;
    for zone in &zones {
        // A name may be valid without its last dot and too long with it.
        split_zones_and_port(&domain_name::fully_qualified(zone))?;
    }
    let named = port.map(|port| u16::try_from(port).map_err(|_| AddressError::Port(port))).transpose()?;
    let port = match dns_port {
        Some(port) if transport == Transport::Dns => port,
        _ => named.unwrap_or(transport.default_port()),
    };
    let zone_addr = |zone: &String| ZoneAddr { zone: domain_name::normalized(zone), port, transport, at: at.clone() };
    Ok(zones.iter().map(zone_addr).collect())
}

/// The zones that a plugin serves: those of its arguments if it has any, else those of the server block. An argument
/// may carry a scheme and a port, which do not matter, or be an address range; one that is no zone is left out, as in
/// CoreDNS (`OriginsFromArgsOrServerBlock`).
pub fn zones_from_arguments_or_keys(arguments: &[&str], keys: &[ZoneAddr]) -> Vec<String> {
    if arguments.is_empty() {
        return keys.iter().map(|key| key.zone.clone()).collect();
    }
    zones_from_arguments(arguments)
}

/// The zones named by arguments of a plugin; one that is no zone is left out, as in CoreDNS (`NormalizeExact`).
pub fn zones_from_arguments(arguments: &[&str]) -> Vec<String> {
    let zones = arguments.iter().filter_map(|argument| split_zones_and_port(split_transport(argument).1).ok());
    zones.flat_map(|(zones, _)| zones).map(|zone| domain_name::normalized(&zone)).collect()
}

/// Cuts the scheme off; `None` for the scheme `unix://`.
fn split_transport(text: &str) -> (Option<Transport>, &str) {
    for transport in Transport::ALL {
        if let Some(rest) = text.strip_prefix(transport.scheme()).and_then(|rest| rest.strip_prefix("://")) {
            return (Some(transport), rest);
        }
    }
    match text.strip_prefix("unix://") {
        Some(rest) => (None, rest),
        None => (Some(Transport::Dns), text),
    }
}

/// Cuts the port off, which is what follows the last colon if that is a number, and splits address ranges.
fn split_zones_and_port(text: &str) -> Result<(Vec<String>, Option<i64>), AddressError> {
    if text.is_empty() || text.ends_with(':') {
        return Err(AddressError::Incomplete(text.to_owned()));
    }
    let (zone, port) = match text.rsplit_once(':').map(|(zone, port)| (zone, parse_integer(port))) {
        Some((zone, Ok(port))) => (zone, Some(port)),
        _ => (text, None),
    };
    if zone.len() > 255 {
        return Err(AddressError::TooLong(zone.len()));
    }
    if !domain_name::is_valid(zone) {
        return Err(AddressError::NotADomainName(text.to_owned(), zone.to_owned()));
    }
    let Some(range) = Cidr::parse(zone) else { return Ok((vec![zone.to_owned()], port)) };
    if zone.starts_with(':') || zone.starts_with('0') && zone.contains(':') {
        return Err(AddressError::ZeroRange(zone.to_owned()));
    }
    Ok((range.reverse_zones(), port))
}

/// Finds server blocks that serve the same zone on the same port and address. A block without `bind` listens on every
/// address.
#[derive(Debug, Default)]
pub struct OverlapCheck<'k> {
    /// Zones with the address that they are bound to, or `None` for all.
    registered: HashMap<(&'k str, u16, Transport, Option<&'k str>), &'k Location>,
    /// The last address registered for a zone.
    last_address: HashMap<(&'k str, u16, Transport), Option<&'k str>>,
}

/// Two server blocks overlap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overlap {
    /// The very same zone, port and address.
    #[error("cannot serve {0}, which {1} serves already")]
    Same(String, Location),
    /// One is bound to an address, the other to all of them.
    #[error("cannot serve {0}, which overlaps with {1} of {2}: one has a bind address, the other listens on all")]
    Address(String, String, Location),
}

impl<'k> OverlapCheck<'k> {
    /// Adds a zone that is served on `address`, or on every one.
    pub fn register(&mut self, key: &'k ZoneAddr, address: Option<&'k str>) -> Result<(), Overlap> {
        let zone = (key.zone.as_str(), key.port, key.transport);
        let with_address = |address| (zone.0, zone.1, zone.2, address);
        let shown = |address: Option<&str>| match address {
            Some(address) => format!("{key} on {address}"),
            None => key.to_string(),
        };
        if let Some(at) = self.registered.get(&with_address(address)) {
            return Err(Overlap::Same(shown(address), (*at).clone()));
        }
        // Either this one listens everywhere and another is bound, or the other way round.
        let other = match address {
            None => self.last_address.get(&zone).copied(),
            Some(_) => self.registered.contains_key(&with_address(None)).then_some(None),
        };
        if let Some(other) = other
            && let Some(at) = self.registered.get(&with_address(other))
        {
            return Err(Overlap::Address(shown(address), shown(other), (*at).clone()));
        }
        self.registered.insert(with_address(address), &key.at);
        self.last_address.insert(zone, address);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn expand(key: &str) -> Result<Vec<String>, AddressError> {
        let at = Location::start_of("Corefile");
        expand_key(key, None, &at).map(|zones| zones.iter().map(ToString::to_string).collect())
    }

    /// With the cases of the reference's `TestInspectServerBlocks`.
    #[test]
    fn keys() {
        let table: &[(&str, &[&str])] = &[
            (".", &["dns://.:53"]),
            ("example.org", &["dns://example.org.:53"]),
            ("EXAMPLE.ORG", &["dns://example.org.:53"]),
            ("example.org:1053", &["dns://example.org.:1053"]),
            ("example.org.:0053", &["dns://example.org.:53"]),
            ("example.org:+53", &["dns://example.org.:53"]),
            ("dns://example.org", &["dns://example.org.:53"]),
            ("tls://example.org", &["tls://example.org.:853"]),
            ("quic://example.org", &["quic://example.org.:853"]),
            ("grpc://example.org", &["grpc://example.org.:443"]),
            ("https://example.org.", &["https://example.org.:443"]),
            ("https3://.", &["https3://.:443"]),
            ("tls://.:8853", &["tls://.:8853"]),
            ("example.org,example.com:1053", &["dns://example.org,example.com.:1053"]),
            ("10.0.0.0/15:54", &["dns://0.10.in-addr.arpa.:54", "dns://1.10.in-addr.arpa.:54"]),
            ("2001:db8::/31", &["dns://8.b.d.0.1.0.0.2.ip6.arpa.:53", "dns://9.b.d.0.1.0.0.2.ip6.arpa.:53"]),
            // Schemes that do not exist belong to the name.
            ("udp://example.org", &["dns://udp://example.org.:53"]),
            // What follows the colon is no number, and so part of the name.
            ("example.org:dns", &["dns://example.org:dns.:53"]),
            ("example.org:99999999999999999999", &["dns://example.org:99999999999999999999.:53"]),
            ("10.0.0.0/33", &["dns://10.0.0.0/33.:53"]),
        ];
        for (key, expected) in table {
            assert_eq!(expand(key).unwrap(), *expected, "{key}");
        }
    }

    #[test]
    fn a_given_port_takes_the_place_of_any_other_of_plain_dns() {
        let at = Location::start_of("Corefile");
        for (key, expected) in [
            (".", "dns://.:1053"),
            (".:53", "dns://.:1053"),
            ("dns://example.org:0", "dns://example.org.:1053"),
            ("tls://.", "tls://.:853"),
            ("tls://.:8853", "tls://.:8853"),
        ] {
            assert_eq!(expand_key(key, Some(1053), &at).unwrap()[0].to_string(), expected);
        }
        // A mistake stays one.
        assert_eq!(expand_key(".:65536", Some(1053), &at), Err(AddressError::Port(65536)));
    }

    #[test]
    fn keys_that_are_refused() {
        let label = "a".repeat(63);
        let too_long_with_dot = format!("{}.{}", [label.as_str(); 3].join("."), "a".repeat(63));
        for key in [
            "",
            ":",
            ":53",
            "example.org:",
            "dns://",
            "tls://:853",
            "..",
            ".example.org",
            "a..b",
            &format!("{label}a.org"),
            &too_long_with_dot,
            "::1/64",
            "0:1::/64",
            "example.org:65536",
            "example.org:-1",
            "unix:///tmp/socket",
        ] {
            assert!(expand(key).is_err(), "{key}");
        }
    }

    /// The cases of the reference's `TestOriginsFromArgsOrServerBlock`.
    #[test]
    fn zones_of_plugins() {
        let key = |text: &str| expand_key(text, None, &Location::start_of("Corefile")).unwrap().remove(0);
        let zones = |arguments: &[&str], keys: &[ZoneAddr]| zones_from_arguments_or_keys(arguments, keys);
        assert_eq!(zones(&["example.org"], &[key("ignored.local")]), ["example.org."]);
        assert_eq!(zones(&["10.0.0.0/15"], &[]), ["0.10.in-addr.arpa.", "1.10.in-addr.arpa."]);
        assert_eq!(zones(&[], &[key("Example.org"), key("tls://b:1")]), ["example.org.", "b."]);
        assert_eq!(zones(&["a..b", "\n:", "dns://Example.org:53"], &[key("ignored.local")]), ["example.org."]);
        assert_eq!(zones(&["a..b"], &[key("ignored.local")]), [""; 0]);
    }

    /// The cases of the reference's `TestOverlapAddressChecker`.
    #[test]
    fn overlaps() {
        const ROOT: &str = ".:53";
        const COM: &str = "com:53";
        const OTHER: &str = ".:54";
        type Step = (&'static str, Option<&'static str>, Option<&'static str>);
        let table: &[&[Step]] = &[
            &[(ROOT, None, None), (ROOT, None, Some("cannot serve dns://.:53, which"))],
            &[
                (ROOT, None, None),
                (OTHER, None, None),
                (ROOT, Some("127.0.0.1"), Some("on 127.0.0.1, which overlaps with dns://.:53 of")),
            ],
            &[
                (ROOT, Some("127.0.0.1"), None),
                (OTHER, None, None),
                (ROOT, Some("127.0.0.1"), Some("cannot serve dns://.:53 on 127.0.0.1, which")),
            ],
            &[
                (ROOT, Some("127.0.0.1"), None),
                (OTHER, None, None),
                (ROOT, Some("128.0.0.1"), None),
                (ROOT, Some("129.0.0.1"), None),
                (ROOT, None, Some("overlaps with dns://.:53 on 129.0.0.1")),
            ],
            &[
                (ROOT, Some("127.0.0.1"), None),
                (COM, Some("127.0.0.1"), None),
                (COM, None, Some("overlaps with dns://com.:53 on 127.0.0.1")),
            ],
            &[(ROOT, None, None), ("tls://.:53", None, None), ("https://.:53", None, None)],
        ];
        for steps in table {
            let keys: Vec<_> = steps
                .iter()
                .map(|(key, _, _)| expand_key(key, None, &Location::start_of("Corefile")).unwrap().remove(0))
                .collect();
            let mut check = OverlapCheck::default();
            for (key, (_, address, expected)) in keys.iter().zip(*steps) {
                let message = check.register(key, *address).err().map(|overlap| overlap.to_string());
                match (expected, &message) {
                    (None, None) => {}
                    (Some(expected), Some(message)) => assert!(message.contains(expected), "{message}"),
                    _ => panic!("{key}: {message:?}, not {expected:?}"),
                }
            }
        }
    }
}
