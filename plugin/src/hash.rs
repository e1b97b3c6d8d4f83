//! Seeded hashes of the keys that tenants choose.
//!
//! Names of Services and Pods come from whoever may create them, so the seed is the process's own
//! ([`Config::hash_seed`](crate::config::Config::hash_seed)) and an outsider cannot aim for collisions.

use core::fmt;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;
use foldhash::quality::FixedState;

/// Hashes keys to the 32 bits that the tables use.
#[derive(Clone)]
pub(crate) struct KeyHasher(FixedState);

impl fmt::Debug for KeyHasher {
    /// Keeps the seed out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher")
    }
}

impl KeyHasher {
    pub fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    /// The hash of a namespaced object: its namespace and its name.
    pub fn object(&self, namespace: &[u8], name: &[u8]) -> u32 {
        fold(self.identity(namespace, name))
    }

    /// All 64 bits: wide enough to stand for the object while a list is compared with what is held.
    pub fn identity(&self, namespace: &[u8], name: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(namespace);
        // Separates ("a", "bc") from ("ab", "c"): no name holds this byte.
        hasher.write_u8(0xff);
        hasher.write(name);
        hasher.finish()
    }

    /// An address under a label.
    pub fn endpoint(&self, address: IpAddr, label: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        write_address(&mut hasher, address);
        hasher.write(label);
        hasher.finish()
    }

    /// The hash of an object without a namespace.
    pub fn name(&self, name: &[u8]) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write(name);
        fold(hasher.finish())
    }

    /// The hash of an address; an IPv4 address and its IPv4-mapped IPv6 form differ.
    pub fn address(&self, address: IpAddr) -> u32 {
        let mut hasher = self.0.build_hasher();
        write_address(&mut hasher, address);
        fold(hasher.finish())
    }
}

fn write_address(hasher: &mut impl Hasher, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => hasher.write_u32(v4.to_bits()),
        IpAddr::V6(v6) => hasher.write_u128(v6.to_bits()),
    }
}

fn fold(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}
