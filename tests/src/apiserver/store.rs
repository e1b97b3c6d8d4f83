//! The objects and their history.
//!
//! One resourceVersion counts the changes of all kinds, as in etcd. Each kind keeps its last events in a ring: watches
//! read it at their own pace, each with a cursor, so that nothing is buffered per watch and one that is slower than the
//! ring is long is found out ([`Batch::Lagged`]). The ring also tells what the state was at an earlier resourceVersion.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use super::{
    object::{Draft, Stored},
    resource::{RESOURCES, Resource},
};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub change: Change,
    /// The new state; for [`Change::Deleted`] the last one, with the resourceVersion of the deletion.
    pub object: Arc<Stored>,
    pub previous: Option<Arc<Stored>>,
}

/// How much history a kind keeps: whichever limit is reached first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryLimit {
    pub events: usize,
    pub bytes: usize,
}

/// The history does not reach back to the resourceVersion that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The oldest resourceVersion that could be asked for.
    pub oldest: u64,
}

/// The state of one kind at a resourceVersion, in the order of the keys.
pub(crate) struct Snapshot {
    pub version: u64,
    pub objects: Vec<Arc<Stored>>,
}

/// The next events of a watch.
pub(crate) enum Batch {
    /// At most as many as asked for; empty when the watch has seen all up to `version`.
    Events { events: Vec<Arc<Event>>, version: u64 },
    /// The ring has lost events that this watch has not read.
    Lagged,
}

/// Why a conditional write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteConflict {
    /// It exists, and should not.
    Exists,
    /// It does not exist, and should.
    Missing,
    /// Its resourceVersion or uid is not the expected one.
    Changed,
}

/// What a write asks of the present state.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Precondition {
    /// Create or update.
    None,
    /// Create.
    Absent,
    /// Update, and only from the resourceVersion that the object names, if it names one.
    Present,
}

pub(crate) struct Store {
    version: u64,
    compacted: u64,
    collections: Vec<Collection>,
    limit: HistoryLimit,
}

#[derive(Default)]
struct Collection {
    objects: BTreeMap<String, Arc<Stored>>,
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    /// Sequence number of the first event in `history`.
    first: u64,
    /// resourceVersion of the last event that left `history`.
    evicted: u64,
    /// resourceVersion of the last event.
    last: u64,
}

impl Store {
    pub fn new(limit: HistoryLimit) -> Self {
        let collections = RESOURCES.iter().map(|_| Collection::default()).collect();
        Self { version: 1, compacted: 0, collections, limit }
    }

    /// The resourceVersion of the last change of any kind.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The resourceVersion of the last change of this kind; 0 without any.
    pub fn last_change(&self, resource: &Resource) -> u64 {
        self.collections[resource.index].last
    }

    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        self.collections[resource.index].objects.get(&resource.key(namespace, name)).cloned()
    }

    /// How many objects of this kind there are.
    pub fn count(&self, resource: &Resource) -> usize {
        self.collections[resource.index].objects.len()
    }

    /// Creates or updates. An update that changes nothing is no event and leaves the resourceVersion, as in Kubernetes.
    pub fn write(&mut self, draft: Draft, precondition: Precondition) -> Result<Arc<Stored>, WriteConflict> {
        let collection = &mut self.collections[draft.resource.index];
        let key = draft.resource.key(&draft.namespace, &draft.name);
        let before = collection.objects.get(&key).cloned();
        match (precondition, &before) {
            (Precondition::Absent, Some(_)) => return Err(WriteConflict::Exists),
            (Precondition::Present, None) => return Err(WriteConflict::Missing),
            (Precondition::Present, Some(before))
                if draft.expected_version.as_ref().is_some_and(|v| *v != before.version.to_string()) =>
            {
                return Err(WriteConflict::Changed);
            }
            _ => {}
        }
        let version = self.version + 1;
        let object = Arc::new(draft.store(version, before.as_deref()));
        if let Some(before) = &before
            && before.same_content(&object)
        {
            return Ok(Arc::clone(before));
        }
        self.version = version;
        collection.objects.insert(key, Arc::clone(&object));
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        collection.record(Event { change, object: Arc::clone(&object), previous: before }, self.limit);
        Ok(object)
    }

    /// Deletes, and gives the last state with the resourceVersion of the deletion.
    pub fn delete(&mut self, resource: &Resource, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        let key = resource.key(namespace, name);
        self.delete_key(resource.index, &key)
    }

    fn delete_key(&mut self, index: usize, key: &str) -> Option<Arc<Stored>> {
        let collection = &mut self.collections[index];
        let before = collection.objects.remove(key)?;
        self.version += 1;
        let object = Arc::new(before.at(self.version));
        let event = Event { change: Change::Deleted, object: Arc::clone(&object), previous: Some(before) };
        collection.record(event, self.limit);
        Some(object)
    }

    /// Makes `drafts` the whole content: deletes what is not among them, then creates and updates. Of two drafts of one
    /// object the last counts.
    pub fn replace_all(&mut self, drafts: Vec<Draft>) {
        let mut wanted: Vec<HashSet<String>> = vec![HashSet::new(); RESOURCES.len()];
        let mut last: HashMap<(usize, String), usize> = HashMap::new();
        for (place, draft) in drafts.iter().enumerate() {
            let key = draft.resource.key(&draft.namespace, &draft.name);
            wanted[draft.resource.index].insert(key.clone());
            last.insert((draft.resource.index, key), place);
        }
        for (index, wanted) in wanted.iter().enumerate() {
            let gone: Vec<String> =
                self.collections[index].objects.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
            for key in gone {
                self.delete_key(index, &key);
            }
        }
        for (place, draft) in drafts.into_iter().enumerate() {
            let key = draft.resource.key(&draft.namespace, &draft.name);
            if last.get(&(draft.resource.index, key)) == Some(&place) {
                // Without a precondition no write is refused.
                let _ = self.write(draft, Precondition::None);
            }
        }
    }

    /// Forgets the history for those who ask from now on. Open watches keep reading what they have not read yet.
    pub fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// The oldest resourceVersion from which a watch of this kind can start.
    fn oldest(&self, index: usize) -> u64 {
        self.compacted.max(self.collections[index].evicted)
    }

    /// The present state of this kind, in one namespace or (empty) in all.
    pub fn snapshot(&self, resource: &Resource, namespace: &str) -> Snapshot {
        let objects = &self.collections[resource.index].objects;
        let objects = if namespace.is_empty() || !resource.namespaced {
            objects.values().cloned().collect()
        } else {
            let prefix = format!("{namespace}/");
            let range = (Bound::Included(prefix.as_str()), Bound::Unbounded);
            objects
                .range::<str, _>(range)
                .take_while(|(key, _)| key.starts_with(&prefix))
                .map(|(_, o)| o.clone())
                .collect()
        };
        Snapshot { version: self.version, objects }
    }

    /// The state of this kind at an earlier resourceVersion: the present one with the events since then undone.
    pub fn snapshot_at(&self, resource: &Resource, namespace: &str, version: u64) -> Result<Snapshot, Expired> {
        let mut now = self.snapshot(resource, namespace);
        now.version = version;
        let collection = &self.collections[resource.index];
        let oldest = self.oldest(resource.index);
        if version < oldest {
            return Err(Expired { oldest });
        }
        if version >= collection.last {
            return Ok(now);
        }
        let mut objects: BTreeMap<String, Arc<Stored>> =
            now.objects.into_iter().map(|o| (resource.key(&o.namespace, &o.name), o)).collect();
        for event in collection.history.iter().rev().take_while(|event| event.object.version > version) {
            let object = &event.object;
            if !namespace.is_empty() && resource.namespaced && object.namespace != namespace {
                continue;
            }
            let key = resource.key(&object.namespace, &object.name);
            match &event.previous {
                Some(previous) => objects.insert(key, Arc::clone(previous)),
                None => objects.remove(&key),
            };
        }
        Ok(Snapshot { version, objects: objects.into_values().collect() })
    }

    /// The cursor of a watch that sees every event after the present state.
    pub fn cursor_now(&self, resource: &Resource) -> u64 {
        let collection = &self.collections[resource.index];
        collection.first + collection.history.len() as u64
    }

    /// The cursor of a watch that sees every event after `version`.
    pub fn cursor_after(&self, resource: &Resource, version: u64) -> Result<u64, Expired> {
        let oldest = self.oldest(resource.index);
        if version < oldest {
            return Err(Expired { oldest });
        }
        let collection = &self.collections[resource.index];
        let place = collection.history.partition_point(|event| event.object.version <= version);
        Ok(collection.first + place as u64)
    }

    /// At most `most` events from `cursor` on.
    pub fn read(&self, resource: &Resource, cursor: u64, most: usize) -> Batch {
        let collection = &self.collections[resource.index];
        let Some(skip) = cursor.checked_sub(collection.first) else { return Batch::Lagged };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(collection.history.len());
        let events = collection.history.range(skip..).take(most).cloned().collect();
        Batch::Events { events, version: self.version }
    }

    /// Whether events from `cursor` on have left the ring.
    pub fn lagged(&self, resource: &Resource, cursor: u64) -> bool {
        cursor < self.collections[resource.index].first
    }
}

impl Collection {
    fn record(&mut self, event: Event, limit: HistoryLimit) {
        self.last = event.object.version;
        self.history_bytes += event.object.size();
        self.history.push_back(Arc::new(event));
        while self.history.len() > limit.events.max(1) || (self.history_bytes > limit.bytes && self.history.len() > 1) {
            let Some(old) = self.history.pop_front() else { break };
            self.history_bytes -= old.object.size();
            self.evicted = old.object.version;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    const BIG: HistoryLimit = HistoryLimit { events: 1000, bytes: 1 << 20 };

    fn service(name: &str, address: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"clusterIP": address}})
    }

    fn put(store: &mut Store, object: Value) -> u64 {
        store.write(Draft::parse(object).unwrap(), Precondition::None).unwrap().version
    }

    fn services() -> &'static Resource {
        Resource::by_kind("Service").unwrap()
    }

    fn names(snapshot: &Snapshot) -> Vec<String> {
        snapshot.objects.iter().map(|o| format!("{}@{}", o.name, o.version)).collect()
    }

    #[test]
    fn an_equal_update_is_no_event() {
        let mut store = Store::new(BIG);
        let first = put(&mut store, service("a", "10.0.0.1"));
        assert_eq!(put(&mut store, service("a", "10.0.0.1")), first);
        assert_eq!(store.version(), first);
        assert!(put(&mut store, service("a", "10.0.0.2")) > first);
    }

    #[test]
    fn earlier_states() {
        let mut store = Store::new(BIG);
        put(&mut store, service("a", "10.0.0.1")); // 2
        put(&mut store, service("b", "10.0.0.1")); // 3
        put(&mut store, service("a", "10.0.0.2")); // 4
        store.delete(services(), "default", "b").unwrap(); // 5
        put(&mut store, service("c", "10.0.0.3")); // 6
        for (version, expected) in [
            (1, vec![]),
            (2, vec!["a@2"]),
            (3, vec!["a@2", "b@3"]),
            (4, vec!["a@4", "b@3"]),
            (5, vec!["a@4"]),
            (6, vec!["a@4", "c@6"]),
        ] {
            assert_eq!(names(&store.snapshot_at(services(), "", version).unwrap()), expected, "{version}");
            assert_eq!(names(&store.snapshot_at(services(), "default", version).unwrap()), expected, "{version}");
            assert!(store.snapshot_at(services(), "other", version).unwrap().objects.is_empty());
        }
        store.compact();
        assert_eq!(store.snapshot_at(services(), "", 5).err(), Some(Expired { oldest: 6 }));
        assert_eq!(names(&store.snapshot_at(services(), "", 6).unwrap()), ["a@4", "c@6"]);
    }

    #[test]
    fn the_ring_forgets_by_count_and_by_bytes() {
        for limit in [HistoryLimit { events: 2, bytes: 1 << 20 }, HistoryLimit { events: 100, bytes: 900 }] {
            let mut store = Store::new(limit);
            let start = store.cursor_now(services());
            for i in 0..20 {
                put(&mut store, service("a", &format!("10.0.0.{i}")));
            }
            assert!(matches!(store.read(services(), start, 10), Batch::Lagged));
            assert!(store.lagged(services(), start));
            let oldest = store.cursor_after(services(), 2).err().unwrap().oldest;
            let cursor = store.cursor_after(services(), oldest).unwrap();
            let Batch::Events { events, version } = store.read(services(), cursor, 10) else { panic!("lagged") };
            assert_eq!(events.first().unwrap().object.version, oldest + 1);
            assert_eq!(events.last().unwrap().object.version, version);
        }
    }

    #[test]
    fn compaction_leaves_open_cursors() {
        let mut store = Store::new(BIG);
        let cursor = store.cursor_now(services());
        put(&mut store, service("a", "10.0.0.1"));
        store.compact();
        assert!(store.cursor_after(services(), 1).is_err());
        let Batch::Events { events, .. } = store.read(services(), cursor, 10) else { panic!("lagged") };
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn replace_all_is_a_diff() {
        let mut store = Store::new(BIG);
        put(&mut store, service("a", "10.0.0.1"));
        put(&mut store, service("b", "10.0.0.2"));
        let before = store.version();
        let drafts = [service("b", "10.0.0.2"), service("c", "1"), service("c", "10.0.0.3")];
        store.replace_all(drafts.into_iter().map(|o| Draft::parse(o).unwrap()).collect());
        let cursor = store.cursor_after(services(), before).unwrap();
        let Batch::Events { events, .. } = store.read(services(), cursor, 10) else { panic!("lagged") };
        let seen: Vec<_> = events.iter().map(|e| (e.change, e.object.name.as_str())).collect();
        assert_eq!(seen, [(Change::Deleted, "a"), (Change::Added, "c")]);
        assert_eq!(store.count(services()), 2);
    }

    #[test]
    fn preconditions() {
        let mut store = Store::new(BIG);
        let mut write =
            |object: Value, precondition| store.write(Draft::parse(object).unwrap(), precondition).map(|o| o.version);
        assert_eq!(write(service("a", "1"), Precondition::Present), Err(WriteConflict::Missing));
        assert_eq!(write(service("a", "1"), Precondition::Absent), Ok(2));
        assert_eq!(write(service("a", "2"), Precondition::Absent), Err(WriteConflict::Exists));
        let mut stale = service("a", "2");
        stale["metadata"]["resourceVersion"] = json!("1");
        assert_eq!(write(stale.clone(), Precondition::Present), Err(WriteConflict::Changed));
        stale["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(write(stale, Precondition::Present), Ok(3));
    }
}
