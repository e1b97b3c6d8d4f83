//! x

pub mod apiserver;
pub mod conformance;
pub mod demo;
