//! The engine: events in, answers out.

use crate::config::{Config, ConfigError, Settings};
use crate::object::{Event, Kind};
use crate::store::{Counters, Store, Workspace};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Deref;

/// The state of the cluster at one moment, ready to answer. A clone costs a few reference counts.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) store: Store,
    /// The addresses that this server is reached at, but for loopback.
    pub(crate) local_ips: Arc<[IpAddr]>,
}

impl Snapshot {
    /// Every kind that the configuration needs has been listed in full once.
    pub fn synced(&self) -> bool {
        self.store.synced()
    }

    /// This kind has been listed in full once.
    pub fn kind_synced(&self, kind: Kind) -> bool {
        self.store.kind_synced(kind)
    }

    /// The kinds that the configuration needs watched.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        Kind::ALL.into_iter().filter(|&kind| self.store.uses(kind))
    }

    /// Numbers about what is held and what was applied.
    pub fn counters(&self) -> Counters {
        self.store.counters()
    }
}

/// The engine with a single owner: `&self` to answer, `&mut self` to apply events.
///
/// It dereferences to its present [`Snapshot`], which has all that reads. For many threads see
/// `SharedEngine` (feature `std`).
#[derive(Debug)]
pub struct Engine {
    snapshot: Snapshot,
    work: Workspace,
}

impl Deref for Engine {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Engine {
    /// An engine that knows no object yet.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let settings = Arc::new(Settings::new(config)?);
        let snapshot = Snapshot { store: Store::new(settings), local_ips: Arc::from([]) };
        Ok(Self { snapshot, work: Workspace::default() })
    }

    /// Applies a change. `now`, in seconds since 1970, becomes the serial if the change matters to answers.
    ///
    /// The cost is that of the change: one record and the addresses that differ.
    pub fn apply(&mut self, event: Event, now: u32) {
        self.snapshot.store.apply(event, now, &mut self.work);
    }

    /// Begins a new list of a kind. What is held is served on; the following upserts of the kind are taken down.
    pub fn begin_replace(&mut self, kind: Kind) {
        Store::begin_replace(kind, &mut self.work);
    }

    /// During a list: an object that the list names stays as it is held, though it could not be read.
    pub fn keep(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.snapshot.store.keep(kind, namespace, name, &mut self.work);
    }

    /// Ends a list: objects of the kind that were not in it are gone, and the kind is synced.
    pub fn end_replace(&mut self, kind: Kind, now: u32) {
        self.snapshot.store.end_replace(kind, now, &mut self.work);
    }

    /// Tells the addresses that this server is reached at; loopback addresses are left out. They decide the NS records
    /// (CoreDNS's `boundIPs`).
    pub fn set_local_ips(&mut self, ips: &[IpAddr]) {
        let ips: Vec<IpAddr> =
            ips.iter().map(|&ip| crate::object::canonical(ip)).filter(|ip| !ip.is_loopback()).collect();
        self.snapshot.local_ips = ips.into();
    }

    /// The state now, to be kept or handed to another thread.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }
}
