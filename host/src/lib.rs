//! The standalone DNS server: reads a Corefile, watches the Kubernetes API or reads manifests, answers from the engine.
//!
//! From the outside in: [`run`] is the process, [`app`] puts the server together from a Corefile ([`corefile`],
//! [`directives`]), [`server`] takes queries, [`chain`] runs them through the plugins of a server block; [`watch`] and
//! [`manifests`] feed the engine.
#![deny(unsafe_code)]

pub mod access_log;
pub mod app;
pub mod autopath;
pub mod chain;
pub mod cli;
pub mod corefile;
pub mod demo;
pub mod directives;
pub mod dns_text;
pub mod error_log;
pub mod http;
pub mod interfaces;
pub mod logging;
pub mod manifests;
pub mod metadata;
mod random;
pub mod run;
pub mod server;
mod shutdown;
pub mod transfer;
pub mod watch;
