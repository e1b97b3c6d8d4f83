//! What the tests of the whole share: the API server fixture, the conformance suite, and running the demo.
#![forbid(unsafe_code)]

pub mod apiserver;
pub mod conformance;
pub mod demo;
