//! Following aliases: Services of type `ExternalName`.

use super::locate::{Located, locate};
use super::{Negative, Outcome, Resolver, Scratch, Upstream};
use crate::name;
use crate::wire::{Owner, QName, Rcode, Section, UpstreamRecord, read_answers, rtype};
use alloc::vec::Vec;

/// An alias may be reached through this many others (CoreDNS's `maxCnameChainLength`).
const MAX_LINKS: usize = 10;

/// One CNAME of a chain.
#[derive(Clone, Debug)]
pub(super) struct Link {
    owner: Vec<u8>,
    target: Vec<u8>,
}

/// Where a chain ends.
enum End {
    /// At a name of ours, which is in `Scratch::alias`.
    Here,
    /// Outside, at the last link's target.
    Outside(Vec<UpstreamRecord>, bool),
}

impl Resolver<'_> {
    /// Answers A or AAAA for an alias: the chain and what it leads to. A chain that leads nowhere is NODATA.
    pub(super) fn chase(
        &self,
        alias: &[u8],
        v6: bool,
        upstream: Upstream<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let mut links = core::mem::take(&mut scratch.links);
        let mut current = core::mem::take(&mut scratch.alias);
        links.clear();
        let end = self.follow(alias, upstream, &mut links, &mut current, &mut scratch.target);
        let outcome = match end {
            Ok(None) => Outcome::NeedUpstream { qtype: self.query.qtype() },
            Ok(Some(end)) => self.write_chain(&links, &end, &current, v6, scratch, out),
            Err(negative) => self.negative(&negative, scratch, out),
        };
        scratch.links = links;
        scratch.alias = current;
        outcome
    }

    /// Walks the chain. `Ok(None)`: the caller has to ask upstream for `target`.
    fn follow(
        &self,
        alias: &[u8],
        upstream: Upstream<'_>,
        links: &mut Vec<Link>,
        current: &mut QName,
        target: &mut Vec<u8>,
    ) -> Result<Option<End>, Negative> {
        let mut owner = self.query.raw_qname().to_vec();
        let mut alias = alias.to_vec();
        loop {
            if !alias_name(&alias, target) || links.len() > MAX_LINKS {
                return Err(Negative::NoData);
            }
            // A name that leads to itself, or below itself, is a loop (CoreDNS's comment: "x CNAME x").
            let to_itself = name::is_subdomain(&owner, target);
            if to_itself || links.iter().any(|link| link.target == *target) {
                return Err(Negative::NoData);
            }
            links.push(Link { owner: owner.clone(), target: target.clone() });
            if !name::is_subdomain(&self.zone.zone.wire, target) {
                return match upstream {
                    Upstream::NotAsked => Ok(None),
                    Upstream::Failed => Err(Negative::NoData),
                    Upstream::Answer(message) => match read_answers(message) {
                        Ok((records, truncated)) => Ok(Some(End::Outside(records, truncated))),
                        Err(_) => Err(Negative::NoData),
                    },
                };
            }
            if current.read(target, 0).is_err() {
                return Err(Negative::NoData);
            }
            let left = current.label_count() - self.zone.zone.labels;
            match locate(&self.snapshot.store, current, left, self.zone.zone.multicluster) {
                Located::Alias(next) => {
                    owner.clone_from(target);
                    alias = next.to_vec();
                }
                _ => return Ok(Some(End::Here)),
            }
        }
    }

    fn write_chain(
        &self,
        links: &[Link],
        end: &End,
        current: &QName,
        v6: bool,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let mut reply = self.reply(&mut scratch.names, out);
        reply.remember_qname();
        for link in links {
            reply.name(Section::Answer, Owner::Name(&link.owner), rtype::CNAME, self.ttl(), &link.target);
        }
        let answered = match end {
            End::Here => {
                let left = current.label_count() - self.zone.zone.labels;
                let located = locate(&self.snapshot.store, current, left, self.zone.zone.multicluster);
                let owner = Owner::Name(current.raw());
                self.write_addresses(&located, v6, owner, &mut scratch.seen, &mut reply) == Some(true)
            }
            End::Outside(records, truncated) => {
                for record in records {
                    reply.copied(Section::Answer, record);
                }
                if *truncated {
                    reply.set_truncated();
                }
                true
            }
        };
        if !answered {
            return self.negative(&Negative::NoData, scratch, out);
        }
        reply.finish();
        Outcome::Answer(Rcode::NO_ERROR)
    }
}

/// The wire form of an `externalName` into `out`. Returns false for a text that is not a domain name.
pub(crate) fn alias_name(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let Ok(text) = core::str::from_utf8(text) else { return false };
    let valid = name::push_text(out, text).is_ok();
    out.push(0);
    valid
}
