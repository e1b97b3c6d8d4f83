//! A copy-on-write table of small records, the one data structure under all of the engine's tables.
//!
//! A trie over 32-bit hashes, three bits a level, whose leaves are *pages*: up to [`SPLIT`] records packed into one
//! allocation. Several records may have one hash (several slices of a Service, several pods of an address), so a
//! lookup gives candidates and the caller compares keys.
//!
//! * Memory: a record costs its octets and about 16 more, with no allocation of its own.
//! * Snapshots: a clone is one reference count. A change copies one page and the few branches above it when a snapshot
//!   still holds them, and nothing else, whatever the size of the table; without snapshots (WASM) it happens in place.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

/// Bits of the hash that one branch looks at.
const BITS: u32 = 3;
const FANOUT: usize = 1 << BITS;
/// A page of more records splits.
const SPLIT: usize = 40;
/// Pages under one branch that hold fewer records together become one.
const MERGE: usize = SPLIT / 2;
/// Levels after which the bits of the hash are used up: pages there do not split.
const DEPTH: u32 = 32 / BITS;

/// A multimap from hashes to records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trie {
    root: Node,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Page(Arc<Page>),
    Branch(Arc<[Node; FANOUT]>),
}

/// Records in one buffer, in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Page {
    slots: Box<[Slot]>,
    bytes: Box<[u8]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// Where the record ends in `bytes`; it starts where the one before it ends.
    end: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self::Page(Arc::default())
    }
}

/// The branch's child for a hash at a level.
fn place(hash: u32, level: u32) -> usize {
    (hash >> (level * BITS)) as usize & (FANOUT - 1)
}

impl Trie {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The records with this hash, and with no other.
    pub fn find(&self, hash: u32) -> Candidates<'_> {
        let mut node = &self.root;
        let mut level = 0;
        loop {
            match node {
                Node::Branch(children) => {
                    node = &children[place(hash, level)];
                    level += 1;
                }
                Node::Page(page) => return Candidates { page, hash, index: 0 },
            }
        }
    }

    /// All records, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.entries().map(|(_, record)| record)
    }

    /// All records with their hashes, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut pending = alloc::vec![&self.root];
        let mut page: Option<(&Page, usize)> = None;
        core::iter::from_fn(move || {
            loop {
                if let Some((current, index)) = page {
                    if let Some(slot) = current.slots.get(index) {
                        page = Some((current, index + 1));
                        return Some((slot.hash, current.record(index)));
                    }
                    page = None;
                }
                match pending.pop()? {
                    Node::Branch(children) => pending.extend(children.iter()),
                    Node::Page(next) => page = Some((next, 0)),
                }
            }
        })
    }

    /// Adds a record beside those that have the same hash.
    pub fn insert(&mut self, hash: u32, record: &[u8]) {
        self.len += 1;
        self.root.insert(hash, record, 0);
    }

    /// Puts `record` in the place of the first that has this hash and is `same`, or adds it.
    pub fn put(&mut self, hash: u32, same: impl Fn(&[u8]) -> bool, record: &[u8]) {
        self.remove(hash, same);
        self.insert(hash, record);
    }

    /// Takes out the first record that has this hash and is `same`. Returns whether there was one.
    pub fn remove(&mut self, hash: u32, same: impl Fn(&[u8]) -> bool) -> bool {
        // Looks before it copies: most removals of nothing cost nothing.
        if !self.find(hash).any(&same) {
            return false;
        }
        self.len -= 1;
        self.root.remove(hash, &same, 0);
        true
    }
}

impl Node {
    fn insert(&mut self, hash: u32, record: &[u8], level: u32) {
        match self {
            Self::Branch(children) => Arc::make_mut(children)[place(hash, level)].insert(hash, record, level + 1),
            Self::Page(page) => {
                if page.slots.len() < SPLIT || level >= DEPTH {
                    *page = Arc::new(page.with(hash, record));
                } else {
                    let mut branch = Self::Branch(Arc::new(page.split(level)));
                    branch.insert(hash, record, level);
                    *self = branch;
                }
            }
        }
    }

    fn remove(&mut self, hash: u32, same: &impl Fn(&[u8]) -> bool, level: u32) {
        match self {
            Self::Branch(children) => {
                Arc::make_mut(children)[place(hash, level)].remove(hash, same, level + 1);
                if let Some(page) = merged(children) {
                    *self = Self::Page(Arc::new(page));
                }
            }
            Self::Page(page) => {
                let found =
                    (0..page.slots.len()).find(|&index| page.slots[index].hash == hash && same(page.record(index)));
                if let Some(index) = found {
                    *page = Arc::new(page.without(index));
                }
            }
        }
    }
}

/// One page in the place of a branch whose pages have become small.
fn merged(children: &[Node; FANOUT]) -> Option<Page> {
    let mut total = 0;
    for child in children {
        match child {
            Node::Branch(_) => return None,
            Node::Page(page) => total += page.slots.len(),
        }
    }
    if total > MERGE {
        return None;
    }
    let mut builder = PageBuilder::default();
    for child in children {
        if let Node::Page(page) = child {
            for (index, slot) in page.slots.iter().enumerate() {
                builder.push(slot.hash, page.record(index));
            }
        }
    }
    Some(builder.build())
}

impl Page {
    fn record(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.slots[index - 1].end as usize };
        &self.bytes[start..self.slots[index].end as usize]
    }

    fn with(&self, hash: u32, record: &[u8]) -> Self {
        let mut slots = Vec::with_capacity(self.slots.len() + 1);
        let mut bytes = Vec::with_capacity(self.bytes.len() + record.len());
        slots.extend_from_slice(&self.slots);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(record);
        slots.push(Slot { hash, end: bytes.len() as u32 });
        Self { slots: slots.into_boxed_slice(), bytes: bytes.into_boxed_slice() }
    }

    fn without(&self, index: usize) -> Self {
        let end = self.slots[index].end;
        let start = if index == 0 { 0 } else { self.slots[index - 1].end };
        let mut bytes = Vec::with_capacity(self.bytes.len() - (end - start) as usize);
        bytes.extend_from_slice(&self.bytes[..start as usize]);
        bytes.extend_from_slice(&self.bytes[end as usize..]);
        let mut slots = Vec::with_capacity(self.slots.len() - 1);
        slots.extend_from_slice(&self.slots[..index]);
        slots.extend(self.slots[index + 1..].iter().map(|slot| Slot { end: slot.end - (end - start), ..*slot }));
        Self { slots: slots.into_boxed_slice(), bytes: bytes.into_boxed_slice() }
    }

    fn split(&self, level: u32) -> [Node; FANOUT] {
        let mut builders: [PageBuilder; FANOUT] = Default::default();
        for (index, slot) in self.slots.iter().enumerate() {
            builders[place(slot.hash, level)].push(slot.hash, self.record(index));
        }
        builders.map(|builder| Node::Page(Arc::new(builder.build())))
    }
}

#[derive(Default)]
struct PageBuilder {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

impl PageBuilder {
    fn push(&mut self, hash: u32, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.slots.push(Slot { hash, end: self.bytes.len() as u32 });
    }

    fn build(mut self) -> Page {
        Page {
            slots: mem::take(&mut self.slots).into_boxed_slice(),
            bytes: mem::take(&mut self.bytes).into_boxed_slice(),
        }
    }
}

/// The records of one hash.
#[derive(Clone)]
pub(crate) struct Candidates<'a> {
    page: &'a Page,
    hash: u32,
    index: usize,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.page.slots[self.index.min(self.page.slots.len())..];
        let skipped = rest.iter().position(|slot| slot.hash == self.hash)?;
        let found = self.index + skipped;
        self.index = found + 1;
        Some(self.page.record(found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u8),
        Remove(u32, u8),
        Snapshot,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few hashes, some of which differ only in their last bits, so that pages split, merge and overflow.
        let hash = prop_oneof![0..4u32, (0..200u32).prop_map(|hash| hash << 20), any::<u32>()];
        let step = prop_oneof![
            6 => (hash.clone(), any::<u8>()).prop_map(|(hash, value)| Step::Insert(hash, value)),
            4 => (hash, any::<u8>()).prop_map(|(hash, value)| Step::Remove(hash, value)),
            1 => Just(Step::Snapshot),
        ];
        proptest::collection::vec(step, 0..600)
    }

    fn contents(trie: &Trie) -> BTreeMap<(u32, Vec<u8>), usize> {
        let mut all = BTreeMap::new();
        for (hash, record) in trie.entries() {
            *all.entry((hash, record.to_vec())).or_default() += 1;
        }
        all
    }

    proptest! {
        #[test]
        fn behaves_as_a_multimap_and_snapshots_stay(steps in steps()) {
            let mut trie = Trie::default();
            let mut model: BTreeMap<(u32, Vec<u8>), usize> = BTreeMap::new();
            let mut snapshots = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(hash, value) => {
                        let record = alloc::vec![value; usize::from(value % 7)];
                        trie.insert(hash, &record);
                        *model.entry((hash, record)).or_default() += 1;
                    }
                    Step::Remove(hash, value) => {
                        let record = alloc::vec![value; usize::from(value % 7)];
                        let removed = trie.remove(hash, |other| other == record);
                        let key = (hash, record);
                        prop_assert_eq!(removed, model.contains_key(&key));
                        if let Some(count) = model.get_mut(&key) {
                            *count -= 1;
                            if *count == 0 {
                                model.remove(&key);
                            }
                        }
                    }
                    Step::Snapshot => snapshots.push((trie.clone(), model.clone())),
                }
                prop_assert_eq!(trie.len(), model.values().sum::<usize>());
            }
            snapshots.push((trie, model));
            for (trie, model) in &snapshots {
                prop_assert_eq!(&contents(trie), model);
                for (hash, record) in model.keys() {
                    prop_assert!(trie.find(*hash).any(|found| found == record));
                }
            }
        }
    }

    #[test]
    fn many_records_of_one_hash() {
        let mut trie = Trie::default();
        for value in 0..1000u32 {
            trie.insert(7, &value.to_be_bytes());
        }
        assert_eq!(trie.find(7).count(), 1000);
        assert_eq!(trie.find(8).count(), 0);
        for value in 0..1000u32 {
            assert!(trie.remove(7, |record| record == value.to_be_bytes()));
        }
        assert_eq!(trie.len(), 0);
        assert!(matches!(trie.root, Node::Page(_)), "an emptied table is one page again");
    }
}
