//! Kubernetes service discovery over DNS: the resolution engine.
//!
//! Watch events go in, DNS messages come out. The engine does no I/O, starts no threads and reads no clock; the time
//! that it needs (for the serial of SOA records) comes with the events. It answers as CoreDNS v1.15.0's `kubernetes`
//! plugin does, after the Kubernetes DNS-Based Service Discovery specification 1.1.0.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod client;
pub mod config;
pub mod engine;
pub mod external;
pub mod feed;
mod hash;
pub mod name;
pub mod object;
pub mod resolve;
pub mod selector;
#[cfg(feature = "std")]
pub mod shared;
mod store;
pub mod transfer;
pub mod wire;

pub use config::Config;
pub use engine::{Engine, Snapshot};
pub use resolve::{Client, Outcome, Scratch, Upstream};
pub use store::Counters;
