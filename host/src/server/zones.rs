//! Which server block answers a name: the longest zone that ends it, as CoreDNS's `Server.ServeDNS` finds it.

use crate::chain::Chain;
use rustk8s::wire::rtype;
use std::collections::HashMap;
use std::sync::Arc;

/// The zones of a listener, each with the plugins of its server block.
#[derive(Default)]
pub struct ZoneTable {
    /// By wire name in lower case, the root apart.
    zones: HashMap<Box<[u8]>, Arc<Chain>>,
    /// Labels of the longest zone: no more of a name need be looked up.
    most_labels: usize,
    root: Option<Arc<Chain>>,
}

impl ZoneTable {
    /// Adds a zone, in wire form and lower case.
    pub fn insert(&mut self, zone: Box<[u8]>, chain: Arc<Chain>) {
        let labels = rustk8s::name::labels(&zone).count();
        if labels == 0 {
            self.root = Some(chain);
        } else {
            self.most_labels = self.most_labels.max(labels);
            self.zones.insert(zone, chain);
        }
    }

    /// The plugins that answer `qname`, which is in wire form and lower case.
    ///
    /// A question for DS belongs to the parent of the zone, where the parent is served too. As in CoreDNS, any zone
    /// above takes it, but for the root, which is asked only if no other zone was found.
    pub fn find(&self, qname: &[u8], qtype: u16) -> Option<&Arc<Chain>> {
        let mut found = None;
        if !self.zones.is_empty() {
            let labels = rustk8s::name::labels(qname).count();
            let mut rest = qname;
            for place in 0..labels {
                if labels - place <= self.most_labels
                    && let Some(chain) = self.zones.get(rest)
                {
                    found = Some(chain);
                    if qtype != rtype::DS {
                        break;
                    }
                }
                // A wire name: each label is its length and as many octets.
                rest = &rest[1 + usize::from(rest[0])..];
            }
        }
        found.or(self.root.as_ref())
    }

    /// Whether a chain of this table logs queries, so that their time must be taken.
    pub fn logs(&self) -> bool {
        self.zones.values().chain(&self.root).any(|chain| chain.logs())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(zones: &[&str]) -> (ZoneTable, Vec<Arc<Chain>>) {
        let mut table = ZoneTable::default();
        let chains: Vec<_> = zones.iter().map(|_| Arc::new(Chain::default())).collect();
        for (zone, chain) in zones.iter().zip(&chains) {
            table.insert(rustk8s::name::from_text(zone).unwrap(), Arc::clone(chain));
        }
        (table, chains)
    }

    fn found(zones: &[&str], qname: &str, qtype: u16) -> Option<String> {
        let (table, chains) = table(zones);
        let qname = rustk8s::name::from_text(qname).unwrap();
        let chain = table.find(&qname, qtype)?;
        let place = chains.iter().position(|other| Arc::ptr_eq(other, chain)).unwrap();
        Some(zones[place].to_owned())
    }

    #[test]
    fn the_longest_zone_answers() {
        let zones = &["local", "cluster.local", "example.org", "."];
        let cases = [
            ("a.svc.cluster.local", "cluster.local"),
            ("cluster.local", "cluster.local"),
            ("xcluster.local", "local"),
            ("local", "local"),
            ("example.org", "example.org"),
            ("org", "."),
            (".", "."),
        ];
        for (qname, zone) in cases {
            assert_eq!(found(zones, qname, rtype::A).as_deref(), Some(zone), "{qname}");
        }
        assert_eq!(found(&["cluster.local"], "example.org", rtype::A), None);
        assert_eq!(found(&["."], "example.org", rtype::A).as_deref(), Some("."));
        assert_eq!(found(&[], "example.org", rtype::A), None);
    }

    #[test]
    fn ds_goes_to_the_parent() {
        let zones = &["cluster.local", "local", "."];
        assert_eq!(found(zones, "a.cluster.local", rtype::DS).as_deref(), Some("local"));
        assert_eq!(found(&["cluster.local", "."], "cluster.local", rtype::DS).as_deref(), Some("cluster.local"));
        assert_eq!(found(zones, "example.org", rtype::DS).as_deref(), Some("."));
    }
}
