//! The plugin `transfer`: which queries of type AXFR and IXFR become transfers of a zone (CoreDNS's plugin/transfer).
//!
//! It only decides; [`rustk8s::transfer`] makes the messages, and the server's TCP connections send them.

use crate::directives::{TransferClient, TransferRule};
use rustk8s::Client;
use rustk8s::name::{self, NameError};
use rustk8s::wire::{Query, Rcode, Transport, rtype};

/// The rules of a server block.
pub struct TransferRules {
    rules: Vec<Rule>,
}

struct Rule {
    /// In wire form and lower case.
    zones: Vec<Box<[u8]>>,
    to: Vec<TransferClient>,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is no transfer, or of a zone without rule: the next plugin's turn.
    Next,
    /// An error.
    Refuse(Rcode),
    /// This client may transfer this name, if it is a zone.
    Allow,
}

impl TransferRules {
    /// Prepares the rules of a server block.
    ///
    /// # Errors
    /// A zone that is no domain name.
    pub fn new(rules: &[TransferRule]) -> Result<Self, NameError> {
        let rule = |rule: &TransferRule| {
            let zones = rule.zones.iter().map(|zone| {
                let mut zone = name::from_text(zone)?;
                zone.make_ascii_lowercase();
                Ok(zone)
            });
            Ok(Rule { zones: zones.collect::<Result<_, _>>()?, to: rule.to.clone() })
        };
        Ok(Self { rules: rules.iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// Decides by type, transport, zone and client, in the order of CoreDNS.
    pub fn decide(&self, query: &Query, client: &Client) -> Decision {
        if !matches!(query.qtype(), rtype::AXFR | rtype::IXFR) {
            return Decision::Next;
        }
        if client.transport != Transport::Tcp {
            return Decision::Refuse(Rcode::REFUSED);
        }
        let Some(rule) = self.rule_for(query.qname()) else { return Decision::Next };
        let address = client.addr.to_canonical();
        let allowed = rule.to.iter().any(|to| match to {
            TransferClient::Any => true,
            TransferClient::Address(ip) => *ip == address,
        });
        if !allowed {
            return Decision::Refuse(Rcode::REFUSED);
        }
        // An IXFR says in its authority section what its client has (RFC 1995 section 3).
        if query.qtype() == rtype::IXFR && query.ixfr_serial().is_none() {
            return Decision::Refuse(Rcode::SERVER_FAILURE);
        }
        Decision::Allow
    }

    /// The rule with the longest zone that `qname` ends in; of two with the same zone the first.
    fn rule_for(&self, qname: &[u8]) -> Option<&Rule> {
        let mut found: Option<(usize, &Rule)> = None;
        for rule in &self.rules {
            let longest = rule.zones.iter().filter(|zone| name::is_subdomain(zone, qname)).map(|zone| zone.len()).max();
            if let Some(len) = longest
                && found.is_none_or(|(other, _)| len > other)
            {
                found = Some((len, rule));
            }
        }
        found.map(|(_, rule)| rule)
    }
}

/// Whether a name is one of the zones of the directive `kubernetes`, which are in wire form and lower case.
pub fn is_apex(zones: &[Box<[u8]>], query: &Query) -> bool {
    zones.iter().any(|zone| **zone == *query.qname())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::corefile::Location;

    fn rule(zones: &[&str], to: &[TransferClient]) -> TransferRule {
        TransferRule {
            zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
            to: to.to_vec(),
            source: None,
            at: Location::start_of("Corefile"),
        }
    }

    #[test]
    fn the_rule_with_the_longest_zone_decides() {
        let one = TransferClient::Address("192.0.2.1".parse().unwrap());
        let rules = TransferRules::new(&[
            rule(&["example.org.", "a.b.example.org."], &[TransferClient::Any]),
            rule(&["B.Example.org."], &[one]),
            rule(&["b.example.org."], &[TransferClient::Any]),
        ])
        .unwrap();
        let decide = |qname: &str, qtype: u16, client: &str, transport: Transport| {
            let query = Query::ask(0, &name::from_text(qname).unwrap(), qtype).unwrap();
            rules.decide(&query, &Client { addr: client.parse().unwrap(), transport })
        };
        let refused = Decision::Refuse(Rcode::REFUSED);
        let table = [
            ("example.org", rtype::AXFR, "192.0.2.2", Transport::Tcp, Decision::Allow),
            ("example.org", rtype::AXFR, "192.0.2.2", Transport::Udp, refused),
            ("example.com", rtype::AXFR, "192.0.2.2", Transport::Udp, refused),
            ("example.com", rtype::AXFR, "192.0.2.2", Transport::Tcp, Decision::Next),
            ("example.org", rtype::A, "192.0.2.2", Transport::Tcp, Decision::Next),
            ("b.example.org", rtype::AXFR, "192.0.2.2", Transport::Tcp, refused),
            ("b.example.org", rtype::AXFR, "192.0.2.1", Transport::Tcp, Decision::Allow),
            ("b.example.org", rtype::AXFR, "::ffff:192.0.2.1", Transport::Tcp, Decision::Allow),
            ("a.b.example.org", rtype::AXFR, "192.0.2.2", Transport::Tcp, Decision::Allow),
            // Without the client's serial.
            ("example.org", rtype::IXFR, "192.0.2.2", Transport::Tcp, Decision::Refuse(Rcode::SERVER_FAILURE)),
            ("b.example.org", rtype::IXFR, "192.0.2.2", Transport::Tcp, refused),
        ];
        for (qname, qtype, client, transport, expected) in table {
            assert_eq!(decide(qname, qtype, client, transport), expected, "{qname} {qtype} {client} {transport:?}");
        }
    }
}
