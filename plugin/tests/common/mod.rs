//! What the integration tests of the engine share.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`name`] | names as lists of labels, and the text that Go code sees of them |
//! | [`ask`] | queries, as octets |
//! | [`reply`] | replies, read by hickory-proto |
//! | [`cluster`] | clusters as plain data, and an engine that knows them |
//! | [`model`] | what a cluster answers: the rules of CoreDNS in slow, plain code |
//! | [`miekg`] | how miekg/dns judges packets and cuts replies |
//! | [`serve`] | the engine behind the checks of a server |
//! | [`random`] | clusters and queries for property tests |

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod ask;
pub mod cluster;
pub mod miekg;
pub mod model;
pub mod name;
pub mod random;
pub mod reply;
pub mod serve;
