//! What the end to end tests of the demo (`tests/tests/demo.rs`) share: the built binary, a running server,
//! `dig` as a client, and a directory of their own.
//!
//! Everything here drives real programs over real sockets on loopback. A tool that is missing is a failure that says
//! which package brings it, never a test that passes without having looked.

pub mod binary;
pub mod dig;
pub mod directory;
pub mod ports;
pub mod server;
pub mod tools;
