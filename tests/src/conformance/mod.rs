//! The conformance suite: proof that a server answers as CoreDNS v1.15.0 does.
//!
//! A reference CoreDNS ([`mod@reference`]) and the server under test ([`server`]) watch one API server
//! fixture with the same Corefile ([`options`]). From a seed come a cluster ([`cluster`]) and questions
//! ([`question`]); both servers are asked ([`session`]) and the answers compared whole ([`compare`]).
//! What differs is a decided difference ([`differences`]), or a failure, which is shown on the smallest cluster that
//! has it ([`shrink`]).
//!
//! `cargo run --release -p rustk8s-tests --bin conformance -- --help` says how to run it.

pub mod cluster;
pub mod compare;
pub mod differences;
pub mod exchange;
pub mod options;
pub mod question;
pub mod reference;
pub mod rng;
pub mod runner;
pub mod sentinel;
pub mod server;
pub mod session;
pub mod shrink;
pub mod upstream;
pub mod wire;
pub mod world;
