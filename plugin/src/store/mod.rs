//! What the engine knows of the cluster, indexed for the questions that it answers.
//!
//! | table | keyed by | holds |
//! | --- | --- | --- |
//! | `namespaces` | name | the exposed namespaces |
//! | `services` | namespace, name | Services |
//! | `slices` | namespace, *Service* | `EndpointSlice`s: one look-up gives all slices of a Service |
//! | `slice_keys` | namespace, slice name | where in `slices` it is |
//! | `pods` | namespace, name | running pods, in mode `verified` |
//! | `cluster_ips`, `external_ips` | address | where in `services` it is |
//! | `endpoint_ips` | address | where in `slices` it is |
//! | `pod_ips` | address | where in `pods` it is |
//! | `imports`, `import_slices`, `import_slice_keys` | as above | the Multi-Cluster Services API |
//!
//! "Where" is the hash under which the record lies: the reader looks there and compares.

pub(crate) mod record;
mod trie;

use crate::config::{PodMode, Settings};
use crate::object::{EndpointSlice, Event, Kind, Namespace, Object, Pod, Service, ServiceImport};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use record::{Encoder, External, PodView, ServiceView, SliceView, has_key};
pub(crate) use trie::Trie;

/// Times of the last changes, in seconds since 1970: the serials of SOA records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Serials {
    /// Anything that the zones of the cluster answer.
    pub internal: u32,
    /// External addresses of Services.
    pub external: u32,
    /// `ServiceImport`s and their slices.
    pub multicluster: u32,
}

/// Numbers about what is held and what was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exposed namespaces.
    pub namespaces: usize,
    /// Services.
    pub services: usize,
    /// `EndpointSlice`s of Services.
    pub endpoint_slices: usize,
    /// Addresses of ready endpoints, of Services and `ServiceImport`s.
    pub endpoints: usize,
    /// Pods.
    pub pods: usize,
    /// `ServiceImport`s.
    pub service_imports: usize,
    /// Events applied since the start, whether or not they changed anything.
    pub events: u64,
}

/// The tables. A clone is a snapshot and costs a few reference counts.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub settings: Arc<Settings>,
    pub namespaces: Trie,
    pub services: Trie,
    pub cluster_ips: Trie,
    pub external_ips: Trie,
    pub slices: SliceTables,
    pub endpoint_ips: Trie,
    pub pods: Trie,
    pub pod_ips: Trie,
    pub imports: Trie,
    pub import_slices: SliceTables,
    pub serials: Serials,
    endpoints: usize,
    events: u64,
    synced: [bool; Kind::ALL.len()],
}

/// Slices by the Service that they belong to, and by their own name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SliceTables {
    pub by_service: Trie,
    keys: Trie,
}

/// What only the writer needs.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    encoder: Encoder,
    old: Vec<u8>,
    /// For each kind that is being listed anew: the identities seen so far.
    relists: [Option<Vec<u64>>; Kind::ALL.len()],
}

impl Store {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            namespaces: Trie::default(),
            services: Trie::default(),
            cluster_ips: Trie::default(),
            external_ips: Trie::default(),
            slices: SliceTables::default(),
            endpoint_ips: Trie::default(),
            pods: Trie::default(),
            pod_ips: Trie::default(),
            imports: Trie::default(),
            import_slices: SliceTables::default(),
            serials: Serials::default(),
            endpoints: 0,
            events: 0,
            synced: [false; Kind::ALL.len()],
        }
    }

    /// Whether this configuration answers from objects of this kind.
    pub fn uses(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace | Kind::Service => true,
            // CoreDNS watches the slices of imports even with `noendpoints`.
            Kind::EndpointSlice => !self.settings.noendpoints || self.settings.multicluster,
            Kind::Pod => self.settings.pods == PodMode::Verified,
            Kind::ServiceImport => self.settings.multicluster,
        }
    }

    pub fn kind_synced(&self, kind: Kind) -> bool {
        self.synced[kind as usize]
    }

    pub fn synced(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| !self.uses(kind) || self.kind_synced(kind))
    }

    pub fn counters(&self) -> Counters {
        Counters {
            namespaces: self.namespaces.len(),
            services: self.services.len(),
            endpoint_slices: self.slices.by_service.len(),
            endpoints: self.endpoints,
            pods: self.pods.len(),
            service_imports: self.imports.len(),
            events: self.events,
        }
    }

    /// A namespace that exists and passes `namespaces` or `namespace_labels`.
    pub fn namespace_exposed(&self, name: &[u8]) -> bool {
        let hash = self.settings.hasher.name(name);
        self.namespaces.find(hash).any(|record| record::namespace_name(record) == name)
            && self.settings.namespace_configured(name)
    }

    /// The Service of this name.
    pub fn service(&self, namespace: &[u8], name: &[u8]) -> Option<ServiceView<'_>> {
        find_service(&self.services, self.settings.hasher.object(namespace, name), namespace, name)
    }

    /// The `ServiceImport` of this name.
    pub fn import(&self, namespace: &[u8], name: &[u8]) -> Option<ServiceView<'_>> {
        find_service(&self.imports, self.settings.hasher.object(namespace, name), namespace, name)
    }

    /// The Services with this cluster IP.
    pub fn services_at(&self, ip: IpAddr) -> impl Iterator<Item = ServiceView<'_>> {
        places(&self.cluster_ips, self.settings.hasher.address(ip))
            .flat_map(|place| self.services.find(place))
            .map(ServiceView::new)
            .filter(move |service| service.ips.into_iter().any(|other| other == ip))
    }

    /// The Services with this external address.
    pub fn services_outside_at(&self, ip: IpAddr) -> impl Iterator<Item = ServiceView<'_>> {
        places(&self.external_ips, self.settings.hasher.address(ip))
            .flat_map(|place| self.services.find(place))
            .map(ServiceView::new)
            .filter(move |service| service.external().any(|other| other == External::Ip(ip)))
    }

    /// The slices with an endpoint of this address; one may come more than once.
    pub fn slices_at(&self, ip: IpAddr) -> impl Iterator<Item = SliceView<'_>> {
        places(&self.endpoint_ips, self.settings.hasher.address(ip))
            .flat_map(|place| self.slices.by_service.find(place))
            .map(SliceView::new)
            .filter(move |slice| slice.endpoints().any(|endpoint| endpoint.ip == ip))
    }

    /// The pods with this address.
    pub fn pods_at(&self, ip: IpAddr) -> impl Iterator<Item = PodView<'_>> {
        places(&self.pod_ips, self.settings.hasher.address(ip))
            .flat_map(|place| self.pods.find(place))
            .map(PodView::new)
            .filter(move |pod| pod.ips.into_iter().any(|other| other == ip))
    }

    /// Applies a change that happened at `now`.
    pub fn apply(&mut self, event: Event, now: u32, work: &mut Workspace) {
        self.events += 1;
        if let Event::Upsert(object) = &event {
            self.keep(object.kind(), &object.meta().namespace, &object.meta().name, work);
        }
        match event {
            Event::Upsert(Object::Namespace(namespace)) => self.upsert_namespace(&namespace, work),
            Event::Upsert(Object::Service(service)) => self.upsert_service(&service, now, work),
            Event::Upsert(Object::EndpointSlice(slice)) => self.upsert_slice(&slice, now, work),
            Event::Upsert(Object::Pod(pod)) => self.upsert_pod(&pod, now, work),
            Event::Upsert(Object::ServiceImport(import)) => self.upsert_import(&import, now, work),
            Event::Delete(object) => {
                let meta = object.meta();
                self.delete(object.kind(), meta.namespace.as_bytes(), meta.name.as_bytes(), now, work);
            }
        }
    }

    /// A relist of a kind begins. What is held stays until [`end_replace`](Self::end_replace).
    pub fn begin_replace(kind: Kind, work: &mut Workspace) {
        work.relists[kind as usize] = Some(Vec::new());
    }

    /// The relist names this object: it is not gone.
    pub fn keep(&self, kind: Kind, namespace: &str, name: &str, work: &mut Workspace) {
        if let Some(seen) = &mut work.relists[kind as usize] {
            seen.push(self.settings.hasher.identity(namespace.as_bytes(), name.as_bytes()));
        }
    }

    /// The relist is complete: what it did not name is gone.
    pub fn end_replace(&mut self, kind: Kind, now: u32, work: &mut Workspace) {
        if let Some(mut seen) = work.relists[kind as usize].take() {
            seen.sort_unstable();
            for (namespace, name) in self.unseen(kind, &seen) {
                self.delete(kind, &namespace, &name, now, work);
            }
        }
        self.synced[kind as usize] = true;
    }

    /// Namespace and name of the objects of a kind that are not among `seen`.
    fn unseen(&self, kind: Kind, seen: &[u64]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let hasher = &self.settings.hasher;
        let gone = |&(namespace, name): &(&[u8], &[u8])| {
            let identity = hasher.identity(namespace, name);
            seen.binary_search(&identity).is_err()
        };
        let owned = |(namespace, name): (&[u8], &[u8])| (namespace.to_vec(), name.to_vec());
        match kind {
            Kind::Namespace => {
                let names = self.namespaces.iter().map(|record| (&b""[..], record::namespace_name(record)));
                names.filter(gone).map(owned).collect()
            }
            Kind::Service | Kind::ServiceImport => {
                let table = if kind == Kind::Service { &self.services } else { &self.imports };
                let services = table.iter().map(ServiceView::new).map(|service| (service.namespace, service.name));
                services.filter(gone).map(owned).collect()
            }
            Kind::EndpointSlice => {
                let all = self.slices.by_service.iter().chain(self.import_slices.by_service.iter());
                let slices = all.map(SliceView::new).map(|slice| (slice.namespace, slice.name));
                slices.filter(gone).map(owned).collect()
            }
            Kind::Pod => {
                let pods = self.pods.iter().map(PodView::new).map(|pod| (pod.namespace, pod.name));
                pods.filter(gone).map(owned).collect()
            }
        }
    }

    fn delete(&mut self, kind: Kind, namespace: &[u8], name: &[u8], now: u32, work: &mut Workspace) {
        match kind {
            Kind::Namespace => self.delete_namespace(name),
            Kind::Service => self.delete_service(namespace, name, now, work),
            Kind::EndpointSlice => self.delete_slice(namespace, name, now, work),
            Kind::Pod => self.delete_pod(namespace, name, now, work),
            Kind::ServiceImport => self.delete_import(namespace, name, now),
        }
    }

    fn upsert_namespace(&mut self, namespace: &Namespace, work: &mut Workspace) {
        let name = namespace.meta.name.as_bytes();
        if !self.settings.namespace_selector.matches(&namespace.meta.labels) {
            return self.delete_namespace(name);
        }
        let hash = self.settings.hasher.name(name);
        if !self.namespaces.find(hash).any(|record| record::namespace_name(record) == name) {
            self.namespaces.insert(hash, work.encoder.namespace(&namespace.meta.name));
        }
    }

    fn delete_namespace(&mut self, name: &[u8]) {
        let hash = self.settings.hasher.name(name);
        self.namespaces.remove(hash, |record| record::namespace_name(record) == name);
    }

    fn upsert_service(&mut self, service: &Service, now: u32, work: &mut Workspace) {
        let (namespace, name) = (service.meta.namespace.as_bytes(), service.meta.name.as_bytes());
        if !self.settings.selector.matches(&service.meta.labels) {
            return self.delete_service(namespace, name, now, work);
        }
        let hash = self.settings.hasher.object(namespace, name);
        let record = work.encoder.service(service);
        if !take_old(&self.services, hash, |old| has_key(old, namespace, name), &mut work.old) {
            self.services.insert(hash, record);
        } else if work.old == record {
            return;
        } else {
            self.services.put(hash, |old| has_key(old, namespace, name), record);
        }
        let (old, new) = (service_or_none(&work.old), ServiceView::new(record));
        self.service_changed(hash, old, Some(new), now);
    }

    fn delete_service(&mut self, namespace: &[u8], name: &[u8], now: u32, work: &mut Workspace) {
        let hash = self.settings.hasher.object(namespace, name);
        let same = |old: &[u8]| has_key(old, namespace, name);
        if take_old(&self.services, hash, same, &mut work.old) {
            self.services.remove(hash, same);
            self.service_changed(hash, service_or_none(&work.old), None, now);
        }
    }

    /// Brings the address tables and serials in line with a change of a Service.
    fn service_changed(&mut self, hash: u32, old: Option<ServiceView<'_>>, new: Option<ServiceView<'_>>, now: u32) {
        self.serials.internal = now;
        let ips = |service: Option<ServiceView<'_>>| service.map(|service| service.ips).into_iter().flatten().collect();
        self.move_addresses(AddressTable::Cluster, hash, ips(old), ips(new));
        let external = |service: Option<ServiceView<'_>>| -> Vec<IpAddr> {
            let all = service.map(|service| service.external()).into_iter().flatten();
            all.filter_map(|external| if let External::Ip(ip) = external { Some(ip) } else { None }).collect()
        };
        let hostnames =
            |service: Option<ServiceView<'_>>| service.is_some_and(|service| service.external().next().is_some());
        let (before, after) = (external(old), external(new));
        if before != after || hostnames(old) || hostnames(new) {
            self.serials.external = now;
        }
        self.move_addresses(AddressTable::External, hash, before, after);
    }

    fn upsert_slice(&mut self, slice: &EndpointSlice, now: u32, work: &mut Workspace) {
        if !self.settings.selector.matches(&slice.meta.labels) {
            let (namespace, name) = (slice.meta.namespace.as_bytes(), slice.meta.name.as_bytes());
            return self.delete_slice(namespace, name, now, work);
        }
        // A slice without the label belongs to no Service; CoreDNS makes PTR records of it that no client can read.
        let service = Some(slice.service()).filter(|service| !service.is_empty() && !self.settings.noendpoints);
        self.put_slice(SliceKind::Local, slice, service, now, work);
        if self.settings.multicluster {
            self.put_slice(SliceKind::Imported, slice, slice.imported_service(), now, work);
        }
    }

    fn delete_slice(&mut self, namespace: &[u8], name: &[u8], now: u32, work: &mut Workspace) {
        for kind in [SliceKind::Local, SliceKind::Imported] {
            self.drop_slice(kind, namespace, name, now, work);
        }
    }

    fn put_slice(
        &mut self,
        kind: SliceKind,
        slice: &EndpointSlice,
        service: Option<&str>,
        now: u32,
        work: &mut Workspace,
    ) {
        let settings = Arc::clone(&self.settings);
        let (namespace, name) = (slice.meta.namespace.as_bytes(), slice.meta.name.as_bytes());
        let Some(service) = service else { return self.drop_slice(kind, namespace, name, now, work) };
        let cluster = if kind == SliceKind::Imported { slice.source_cluster() } else { "" };
        let record = work.encoder.slice(slice, service, cluster, settings.naming());
        let hash = settings.hasher.object(namespace, service.as_bytes());
        let key = settings.hasher.object(namespace, name);
        let tables = kind.tables(self);
        let old_hash = tables.take_old(key, namespace, name, &mut work.old);
        match old_hash {
            Some(_) if work.old == record => return,
            Some(old_hash) if old_hash == hash => {
                tables.by_service.put(hash, |old| is_slice(old, namespace, name), record);
            }
            _ => {
                if let Some(old_hash) = old_hash {
                    tables.remove(key, old_hash, namespace, name);
                }
                tables.by_service.insert(hash, record);
                tables.keys.insert(key, &hash.to_le_bytes());
            }
        }
        let old = old_hash.map(|old_hash| (old_hash, SliceView::new(&work.old)));
        self.slice_changed(kind, old, Some((hash, SliceView::new(record))), now);
    }

    fn drop_slice(&mut self, kind: SliceKind, namespace: &[u8], name: &[u8], now: u32, work: &mut Workspace) {
        let key = self.settings.hasher.object(namespace, name);
        let tables = kind.tables(self);
        if let Some(hash) = tables.take_old(key, namespace, name, &mut work.old) {
            tables.remove(key, hash, namespace, name);
            self.slice_changed(kind, Some((hash, SliceView::new(&work.old))), None, now);
        }
    }

    /// Brings the address table, the count of endpoints and the serial in line with a change of a slice.
    fn slice_changed(
        &mut self,
        kind: SliceKind,
        old: Option<(u32, SliceView<'_>)>,
        new: Option<(u32, SliceView<'_>)>,
        now: u32,
    ) {
        self.endpoints -= old.map_or(0, |(_, slice)| slice.len());
        self.endpoints += new.map_or(0, |(_, slice)| slice.len());
        match kind {
            SliceKind::Local => self.serials.internal = now,
            SliceKind::Imported => {
                self.serials.multicluster = now;
                return;
            }
        }
        let ips = |slice: Option<(u32, SliceView<'_>)>| -> Vec<IpAddr> {
            let Some((_, slice)) = slice else { return Vec::new() };
            let mut ips = Vec::with_capacity(slice.len());
            ips.extend(slice.endpoints().map(|endpoint| endpoint.ip));
            ips
        };
        let (before, after) = (ips(old), ips(new));
        match (old, new) {
            (Some((old, _)), Some((new, _))) if old != new => {
                self.move_addresses(AddressTable::Endpoint, old, before, Vec::new());
                self.move_addresses(AddressTable::Endpoint, new, Vec::new(), after);
            }
            (Some((hash, _)), _) | (None, Some((hash, _))) => {
                self.move_addresses(AddressTable::Endpoint, hash, before, after);
            }
            (None, None) => {}
        }
    }

    fn upsert_pod(&mut self, pod: &Pod, now: u32, work: &mut Workspace) {
        if self.settings.pods != PodMode::Verified {
            return;
        }
        let (namespace, name) = (pod.meta.namespace.as_bytes(), pod.meta.name.as_bytes());
        if pod.finished || !self.settings.selector.matches(&pod.meta.labels) {
            return self.delete_pod(namespace, name, now, work);
        }
        // A pod that is on its way out keeps what it had until it is gone (CoreDNS's errPodTerminating).
        if pod.meta.deleting {
            return;
        }
        let hash = self.settings.hasher.object(namespace, name);
        let record = work.encoder.pod(pod, self.settings.pod_labels);
        if !take_old(&self.pods, hash, |old| has_key(old, namespace, name), &mut work.old) {
            self.pods.insert(hash, record);
        } else if work.old == record {
            return;
        } else {
            self.pods.put(hash, |old| has_key(old, namespace, name), record);
        }
        let before = if work.old.is_empty() { Vec::new() } else { PodView::new(&work.old).ips.collect() };
        self.pod_changed(hash, before, pod.ips.clone(), now);
    }

    fn delete_pod(&mut self, namespace: &[u8], name: &[u8], now: u32, work: &mut Workspace) {
        let hash = self.settings.hasher.object(namespace, name);
        let same = |old: &[u8]| has_key(old, namespace, name);
        if take_old(&self.pods, hash, same, &mut work.old) {
            self.pods.remove(hash, same);
            self.pod_changed(hash, PodView::new(&work.old).ips.collect(), Vec::new(), now);
        }
    }

    fn pod_changed(&mut self, hash: u32, before: Vec<IpAddr>, after: Vec<IpAddr>, now: u32) {
        if before != after {
            self.serials.internal = now;
        }
        self.move_addresses(AddressTable::Pod, hash, before, after);
    }

    fn upsert_import(&mut self, import: &ServiceImport, now: u32, work: &mut Workspace) {
        if !self.settings.multicluster {
            return;
        }
        let (namespace, name) = (import.meta.namespace.as_bytes(), import.meta.name.as_bytes());
        // CoreDNS selects imports by the selector of namespaces.
        if !self.settings.namespace_selector.matches(&import.meta.labels) {
            return self.delete_import(namespace, name, now);
        }
        let hash = self.settings.hasher.object(namespace, name);
        let record = work.encoder.import(import);
        if take_old(&self.imports, hash, |old| has_key(old, namespace, name), &mut work.old) && work.old == record {
            return;
        }
        self.imports.put(hash, |old| has_key(old, namespace, name), record);
        self.serials.multicluster = now;
    }

    fn delete_import(&mut self, namespace: &[u8], name: &[u8], now: u32) {
        let hash = self.settings.hasher.object(namespace, name);
        if self.imports.remove(hash, |old| has_key(old, namespace, name)) {
            self.serials.multicluster = now;
        }
    }

    /// Takes the addresses of `before` that are not in `after` out of a table, and puts the new ones in.
    fn move_addresses(&mut self, table: AddressTable, place: u32, before: Vec<IpAddr>, after: Vec<IpAddr>) {
        let settings = Arc::clone(&self.settings);
        let table = table.of(self);
        let place = place.to_le_bytes();
        let (gone, new) = differences(before, after);
        for ip in gone {
            table.remove(settings.hasher.address(ip), |other| other == place);
        }
        for ip in new {
            table.insert(settings.hasher.address(ip), &place);
        }
    }
}

/// The addresses that are in `before` alone and those that are in `after` alone, each once.
///
/// A change is mostly one of many addresses: what both begin and end with is not sorted.
fn differences(mut before: Vec<IpAddr>, mut after: Vec<IpAddr>) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let suffix = before.iter().rev().zip(after.iter().rev()).take_while(|(old, new)| old == new).count();
    let last = before.split_off(before.len() - suffix);
    after.truncate(after.len() - suffix);
    let prefix = before.iter().zip(&after).take_while(|(old, new)| old == new).count();
    let (first, old) = before.split_at_mut(prefix);
    let new = &mut after[prefix..];
    old.sort_unstable();
    new.sort_unstable();
    let only = |these: &[IpAddr], others: &[IpAddr]| -> Vec<IpAddr> {
        let gone = |ip: &&IpAddr| others.binary_search(ip).is_err() && !first.contains(ip) && !last.contains(ip);
        let mut only: Vec<IpAddr> = these.iter().filter(gone).copied().collect();
        only.dedup();
        only
    };
    (only(old, new), only(new, old))
}

/// A table from addresses, by whose they are.
#[derive(Clone, Copy)]
enum AddressTable {
    Cluster,
    External,
    Endpoint,
    Pod,
}

impl AddressTable {
    fn of(self, store: &mut Store) -> &mut Trie {
        match self {
            Self::Cluster => &mut store.cluster_ips,
            Self::External => &mut store.external_ips,
            Self::Endpoint => &mut store.endpoint_ips,
            Self::Pod => &mut store.pod_ips,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SliceKind {
    Local,
    Imported,
}

impl SliceKind {
    fn tables(self, store: &mut Store) -> &mut SliceTables {
        match self {
            Self::Local => &mut store.slices,
            Self::Imported => &mut store.import_slices,
        }
    }
}

impl SliceTables {
    pub fn of<'a>(
        &'a self,
        hash: u32,
        namespace: &'a [u8],
        service: &'a [u8],
    ) -> impl Iterator<Item = SliceView<'a>> + Clone {
        self.by_service.find(hash).filter(move |record| has_key(record, namespace, service)).map(SliceView::new)
    }

    /// Copies the record of a slice into `old`, which is empty if there is none; returns where it lies.
    fn take_old(&self, key: u32, namespace: &[u8], name: &[u8], old: &mut Vec<u8>) -> Option<u32> {
        old.clear();
        places(&self.keys, key)
            .find(|&place| take_old(&self.by_service, place, |record| is_slice(record, namespace, name), old))
    }

    fn remove(&mut self, key: u32, hash: u32, namespace: &[u8], name: &[u8]) {
        self.by_service.remove(hash, |record| is_slice(record, namespace, name));
        self.keys.remove(key, |place| place == hash.to_le_bytes());
    }
}

fn is_slice(record: &[u8], namespace: &[u8], name: &[u8]) -> bool {
    let slice = SliceView::new(record);
    slice.namespace == namespace && slice.name == name
}

fn service_or_none(record: &[u8]) -> Option<ServiceView<'_>> {
    (!record.is_empty()).then(|| ServiceView::new(record))
}

fn find_service<'a>(table: &'a Trie, hash: u32, namespace: &[u8], name: &[u8]) -> Option<ServiceView<'a>> {
    table.find(hash).find(|record| has_key(record, namespace, name)).map(ServiceView::new)
}

/// Copies the first record that is `same` into `old`, or leaves `old` empty. Returns whether there is one.
fn take_old(table: &Trie, hash: u32, same: impl Fn(&[u8]) -> bool, old: &mut Vec<u8>) -> bool {
    old.clear();
    let found = table.find(hash).find(|record| same(record));
    old.extend_from_slice(found.unwrap_or_default());
    found.is_some()
}

/// The hashes that an address or a name of a slice points to.
fn places(table: &Trie, hash: u32) -> impl Iterator<Item = u32> {
    table.find(hash).filter_map(|place| place.try_into().ok().map(u32::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::differences;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use core::net::IpAddr;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn differences_are_those_of_the_sets(before in proptest::collection::vec(0..6u8, 0..9),
                                             after in proptest::collection::vec(0..6u8, 0..9)) {
            let ips = |all: &[u8]| -> Vec<IpAddr> { all.iter().map(|&octet| IpAddr::from([10, 0, 0, octet])).collect() };
            let set = |ips: &[IpAddr]| -> BTreeSet<IpAddr> { ips.iter().copied().collect() };
            let (before, after) = (ips(&before), ips(&after));
            let (gone, new) = differences(before.clone(), after.clone());
            let (old_set, new_set) = (set(&before), set(&after));
            prop_assert_eq!(gone.len(), set(&gone).len());
            prop_assert_eq!(new.len(), set(&new).len());
            prop_assert_eq!(set(&gone), &old_set - &new_set);
            prop_assert_eq!(set(&new), &new_set - &old_set);
        }
    }
}
