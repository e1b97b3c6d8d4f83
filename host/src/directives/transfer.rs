//! `transfer [ZONES...] { to ADDRESS...; source ADDRESS }`: who may transfer a zone.
//!
//! Accepted and refused as in CoreDNS's `plugin/transfer/setup.go`.

use std::net::IpAddr;

use crate::corefile::address::zones_from_arguments_or_keys;
use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Dispenser, Location, ZoneAddr};

/// Who may transfer some zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRule {
    /// The zones: lower case, fully qualified, with a trailing dot.
    pub zones: Vec<String>,
    /// The clients that may. Never empty.
    pub to: Vec<TransferClient>,
    /// Where NOTIFY messages would come from. The zones of a cluster send none, in CoreDNS neither.
    pub source: Option<IpAddr>,
    /// Where it stands.
    pub at: Location,
}

/// A client that may transfer a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferClient {
    /// Everyone: `*`.
    Any,
    /// The client with this address, whatever its port.
    Address(IpAddr),
}

const TO: &str = "to ADDRESS...|*";
const SOURCE: &str = "source ADDRESS";

/// Reads the directive, which may stand in a server block several times. `keys` are those of the server block, whose
/// zones are meant if none is named.
pub fn parse(directive: &Directive, keys: &[ZoneAddr]) -> Result<Vec<TransferRule>, CorefileError> {
    let mut rules = Vec::new();
    let mut words = directive.dispenser();
    while words.next_token() {
        let at = words.location();
        let zones = zones_from_arguments_or_keys(&words.remaining_arguments(), keys);
        let mut rule = TransferRule { zones, to: Vec::new(), source: None, at };
        while words.next_option() {
            rule.parse_option(&mut words)?;
        }
        if rule.to.is_empty() {
            return Err(words.refuse("'to' is required: nobody could transfer the zone", format!("accepted: {TO}")));
        }
        rules.push(rule);
    }
    Ok(rules)
}

impl TransferRule {
    fn parse_option(&mut self, words: &mut Dispenser<'_>) -> Result<(), CorefileError> {
        let option = words.value();
        let arguments = words.remaining_arguments();
        match option {
            "to" if arguments.is_empty() => return Err(words.wrong_arguments(option, &arguments, TO)),
            "to" => {
                for text in arguments {
                    self.to.push(client(text).ok_or_else(|| {
                        let problem = format!("option 'to': {} is not an IP address", Shown(text));
                        words.refuse(problem, "accepted: *, or ADDRESS[:PORT] as in 192.0.2.1 or [2001:db8::1]:53")
                    })?);
                }
            }
            "source" => {
                let [text] = arguments[..] else { return Err(words.wrong_arguments(option, &arguments, SOURCE)) };
                if self.source.is_some() {
                    return Err(
                        words.refuse("option 'source': it is given already", format!("accepted once: {SOURCE}"))
                    );
                }
                let source = text.parse().map_err(|_| {
                    let problem = format!("option 'source': {} is not an IP address", Shown(text));
                    words.refuse(problem, format!("accepted: {SOURCE}"))
                })?;
                self.source = Some(source);
            }
            other => {
                let problem = format!("unknown option {}", Shown(other));
                return Err(words.refuse(problem, "accepted: source, to"));
            }
        }
        Ok(())
    }
}

/// Reads `*` or an address with or without a port and an IPv6 zone, neither of which is looked at (`parse.HostPort`).
fn client(text: &str) -> Option<TransferClient> {
    if text == "*" {
        return Some(TransferClient::Any);
    }
    let bracketed = text.strip_prefix('[').and_then(|inner| inner.split_once(']'));
    let host = match bracketed {
        Some((host, rest)) if rest.starts_with(':') && !rest[1..].contains([':', '[', ']']) => host,
        Some(_) => return None,
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => text,
        },
    };
    let without_zone = host.rsplit_once('%').map_or(host, |(address, _)| address);
    without_zone.parse().ok().map(|ip: IpAddr| TransferClient::Address(ip.to_canonical()))
}
