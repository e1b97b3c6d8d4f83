//! The engine behind the checks of a server, in the order of CoreDNS's `Server.ServeDNS`.

use super::model::Up;
use super::name::Name;
use super::reply::upstream_message;
use rustk8s::wire::{CLASS_IN, Query, Rcode, Reject, Transport};
use rustk8s::{Client, Outcome, Scratch, Snapshot, Upstream};
use std::net::{IpAddr, Ipv4Addr};

/// A server of one server block for all names, without other plugins. What it keeps is used again from query to query.
#[derive(Default)]
pub struct Server {
    query: Query,
    scratch: Scratch,
    out: Vec<u8>,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    Silence,
    /// The server's own word: a reject, REFUSED, BADVERS, SERVFAIL.
    Error(Vec<u8>),
    /// The engine's.
    Answer(Vec<u8>),
}

impl Served {
    /// The reply.
    pub fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Silence => None,
            Self::Error(octets) | Self::Answer(octets) => Some(octets),
        }
    }
}

impl Server {
    /// Serves a packet. `up` is what any look-up of an upstream gives.
    pub fn serve(&mut self, snapshot: &Snapshot, packet: &[u8], transport: Transport, up: &Up) -> Served {
        // A buffer that was used before: what is left in it must not matter.
        self.out.extend_from_slice(b"left from the query before");
        match self.query.read(packet) {
            Err(Reject::Silence) => return Served::Silence,
            Err(Reject::Reply(_)) => {
                self.query.write_reject(&mut self.out);
                return Served::Error(self.out.clone());
            }
            Ok(()) => {}
        }
        if self.query.qclass() != CLASS_IN {
            return self.error(Rcode::REFUSED);
        }
        if self.query.bad_version() {
            self.query.write_bad_version(&mut self.out);
            return Served::Error(self.out.clone());
        }
        let client = Client { addr: IpAddr::V4(Ipv4Addr::LOCALHOST), transport };
        let mut outcome = snapshot.resolve(&self.query, &client, Upstream::NotAsked, &mut self.scratch, &mut self.out);
        if let Outcome::NeedUpstream { qtype } = outcome {
            assert_eq!(qtype, self.query.qtype());
            let target = labels(self.scratch.target());
            let message;
            let upstream = match up {
                Up::NotAsked => panic!("the look-up of {target:?} was not expected"),
                Up::Failed => Upstream::Failed,
                Up::Answer { truncated, records } => {
                    message = upstream_message(&target, qtype, *truncated, records);
                    Upstream::Answer(&message)
                }
            };
            outcome = snapshot.resolve(&self.query, &client, upstream, &mut self.scratch, &mut self.out);
        }
        match outcome {
            Outcome::Answer(_) => Served::Answer(self.out.clone()),
            Outcome::NotMine | Outcome::Transfer => self.error(Rcode::REFUSED),
            Outcome::Fallthrough => self.error(Rcode::SERVER_FAILURE),
            Outcome::NeedUpstream { .. } => panic!("asked for the upstream twice"),
        }
    }

    /// The name of the last look-up.
    pub fn target(&self) -> Name {
        labels(self.scratch.target())
    }

    fn error(&mut self, rcode: Rcode) -> Served {
        self.query.write_error(rcode, &mut self.out);
        Served::Error(self.out.clone())
    }
}

/// The name that a wire form spells.
pub fn labels(mut wire: &[u8]) -> Name {
    let mut labels = Vec::new();
    while let Some((&len, rest)) = wire.split_first()
        && len != 0
    {
        let (label, rest) = rest.split_at(usize::from(len));
        labels.push(label.to_vec());
        wire = rest;
    }
    assert_eq!(wire, [0], "a wire name ends in its only zero");
    Name(labels)
}
