//! Which of many records have been written already.

use alloc::vec::Vec;

/// Few are compared one by one; more are found by their hash.
const LINEAR: usize = 24;

/// A map from 64-bit hashes to small values, emptied and used again for each reply.
///
/// Hashes are seeded and 64 bits wide, so that two that are equal stand for equal records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    entries: Vec<(u64, u32)>,
    /// Open addressing over `entries`, as index + 1; empty while there are few. Its length is a power of two.
    places: Vec<u32>,
}

impl Seen {
    pub fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    /// The value of a hash.
    pub fn get(&self, hash: u64) -> Option<u32> {
        if self.places.is_empty() {
            return self.entries.iter().find(|entry| entry.0 == hash).map(|entry| entry.1);
        }
        let index = self.places[self.place(hash)];
        (index != 0).then(|| self.entries[index as usize - 1].1)
    }

    /// Adds a hash. Returns whether it is new.
    pub fn insert(&mut self, hash: u64, value: u32) -> bool {
        if self.get(hash).is_some() {
            return false;
        }
        self.entries.push((hash, value));
        if self.places.is_empty() && self.entries.len() <= LINEAR {
            return true;
        }
        if self.entries.len() * 2 > self.places.len() {
            let size = (self.entries.len() * 4).next_power_of_two();
            self.places.clear();
            self.places.resize(size, 0);
            for index in 0..self.entries.len() {
                let place = self.place(self.entries[index].0);
                self.places[place] = index as u32 + 1;
            }
        } else {
            let place = self.place(hash);
            self.places[place] = self.entries.len() as u32;
        }
        true
    }

    /// Where a hash is, or where it would go.
    fn place(&self, hash: u64) -> usize {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        while self.places[place] != 0 && self.entries[self.places[place] as usize - 1].0 != hash {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_is_new_once() {
        let mut seen = Seen::default();
        for round in 0..2 {
            for value in 0..1000u32 {
                // All in a few places of the table.
                assert!(seen.insert(u64::from(value) << 40, value), "round {round}");
                assert!(!seen.insert(u64::from(value) << 40, 0));
                assert_eq!(seen.get(u64::from(value) << 40), Some(value));
            }
            assert_eq!(seen.get(1), None);
            seen.clear();
        }
    }
}
