//! PTR: from an address to names.

use super::locate::Located;
use super::records::push_label;
use super::{Negative, Resolver, Scratch};
use crate::name::MAX_NAME;
use crate::object::canonical;
use crate::store::record::ServiceView;
use crate::wire::{Owner, QName, Section, rtype};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Resolver<'_> {
    /// A cluster IP names its Service; any other address the endpoints that have it (CoreDNS's `serviceRecordForIP`).
    pub(super) fn pointers(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        let Some(ip) = address_of(self.query.name()) else {
            // CoreDNS does not know `ns.dns` by this way.
            return if matches!(self.located(), Located::NameServer) {
                Err(Negative::NameError)
            } else {
                self.existence()
            };
        };
        let store = &self.snapshot.store;
        // CoreDNS looks at the option `namespaces` here and not at `namespace_labels`.
        let filtered = !store.settings.namespaces.is_empty();
        let exposed = |namespace: &[u8]| !filtered || store.namespace_exposed(namespace);
        let mut reply = self.reply(&mut scratch.names, out);
        // The primary zone may end as reverse names do: `home.arpa`.
        reply.remember_qname();
        // Of several Services with one address CoreDNS takes any; the first by name is the same on every replica.
        let by_name = |one: &ServiceView<'_>, other: &ServiceView<'_>| {
            (one.namespace, one.name).cmp(&(other.namespace, other.name))
        };
        let service = store.services_at(ip).filter(|service| exposed(service.namespace)).min_by(by_name);
        if let Some(service) = service {
            self.target(&[], &[service.name, service.namespace], &mut scratch.name);
            if scratch.name.len() > MAX_NAME {
                return Err(Negative::NameError);
            }
            reply.name(Section::Answer, Owner::QNAME, rtype::PTR, self.ttl(), &scratch.name);
            reply.finish();
            return Ok(());
        }
        let seen = &mut scratch.seen;
        seen.clear();
        let mut any = false;
        for slice in store.slices_at(ip).filter(|slice| exposed(slice.namespace)) {
            for endpoint in slice.endpoints().filter(|endpoint| endpoint.ip == ip) {
                self.target(endpoint.label().wire(), &[slice.service, slice.namespace], &mut scratch.name);
                // A name that no message can hold is left out; CoreDNS leaves the whole reply out.
                if scratch.name.len() <= MAX_NAME && seen.insert(store.settings.hasher.identity(&scratch.name, &[]), 0)
                {
                    any = true;
                    reply.name(Section::Answer, Owner::QNAME, rtype::PTR, self.ttl(), &scratch.name);
                }
            }
        }
        if !any {
            return Err(Negative::NameError);
        }
        reply.finish();
        Ok(())
    }

    /// `HOST.PARTS.svc.PRIMARYZONE` in wire form; `host` is in wire form. A part with dots, which the API server lets
    /// into the label that names a slice's Service, becomes several labels, as in CoreDNS.
    fn target(&self, host: &[u8], parts: &[&[u8]], name: &mut Vec<u8>) {
        name.clear();
        name.extend_from_slice(host);
        for label in parts.iter().flat_map(|part| part.split(|&octet| octet == b'.')).filter(|label| !label.is_empty())
        {
            push_label(name, label);
        }
        push_label(name, b"svc");
        name.extend_from_slice(&self.snapshot.store.settings.primary_zone);
    }
}

/// The address that a reverse name spells (RFC 1035 section 3.5, RFC 3596 section 2.5), as CoreDNS's
/// `ExtractAddressFromReverse` reads it.
pub(crate) fn address_of(name: &QName) -> Option<IpAddr> {
    let labels = name.label_count();
    let tail = |index: usize| labels.checked_sub(index).map(|place| name.label(place));
    if tail(1)? != b"arpa" {
        return None;
    }
    match tail(2)? {
        b"in-addr" if labels == 6 => {
            let mut octets = [0; 4];
            for (octet, index) in octets.iter_mut().zip(3..) {
                *octet = decimal(tail(index)?)?;
            }
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        // CoreDNS takes labels four by four from the right and does not look at up to three more.
        b"ip6" if (34..=37).contains(&labels) => {
            let mut bits = 0u128;
            for index in 3..35 {
                let &[digit] = tail(index)? else { return None };
                bits = bits << 4 | u128::from((digit as char).to_digit(16)?);
            }
            Some(canonical(IpAddr::V6(Ipv6Addr::from(bits))))
        }
        _ => None,
    }
}

/// A number below 256 without leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    let text = core::str::from_utf8(label).ok()?;
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || label.first() != Some(&b'0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::name::from_text;

    #[test]
    fn reverse_names_spell_addresses() {
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.F.ip6.arpa";
        let mapped = "4.0.3.0.2.0.1.0.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
        let longer = alloc::format!("a.b.c.{nibbles}");
        let too_long = alloc::format!("x.{longer}");
        for (text, expected) in [
            ("10.0.96.10.in-addr.arpa", Some("10.96.0.10")),
            ("10.0.096.10.in-addr.arpa", None),
            ("256.0.96.10.in-addr.arpa", None),
            ("0.96.10.in-addr.arpa", None),
            ("1.10.0.96.10.in-addr.arpa", None),
            ("+1.0.96.10.in-addr.arpa", None),
            ("in-addr.arpa", None),
            (nibbles, Some("fd00::1")),
            (mapped, Some("1.2.3.4")),
            (&longer, Some("fd00::1")),
            (&too_long, None),
            (&nibbles[2..], None),
            ("g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", None),
            ("a.b", None),
        ] {
            let mut name = QName::default();
            name.read(&from_text(text).unwrap(), 0).unwrap();
            assert_eq!(address_of(&name), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }
}
