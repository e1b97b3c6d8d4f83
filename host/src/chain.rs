//! The plugins of a server block, in the order in which CoreDNS runs them: errors, log, kubernetes.

use crate::access_log::AccessLog;
use crate::error_log::ErrorLog;
use crate::server::Asker;
use rustk8s::shared::SharedEngine;
use rustk8s::wire::{Query, Rcode};
use rustk8s::{Client, Outcome, Scratch, Upstream};
use std::sync::Arc;
use std::time::Instant;

/// What CoreDNS's `plugin.NextOrFailure` says when the last plugin hands a query on.
const NO_NEXT: &str = "plugin/kubernetes: no next plugin found";

/// The plugins of a server block.
#[derive(Default)]
pub struct Chain {
    errors: Option<ErrorLog>,
    log: Option<AccessLog>,
    kubernetes: Option<Arc<SharedEngine>>,
}

/// What a chain made of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The reply is written.
    Reply,
    /// The server is to write this error.
    Failure {
        /// The rcode.
        rcode: Rcode,
        /// What the plugin `errors` logs, if it is worth a line.
        problem: Option<&'static str>,
    },
    /// An alias leads elsewhere: look [`Scratch::target`] up and serve again with the result.
    NeedsLookup {
        /// The type to ask for.
        qtype: u16,
    },
}

impl Chain {
    /// A chain of these plugins.
    pub fn new(errors: Option<ErrorLog>, log: Option<AccessLog>, kubernetes: Option<Arc<SharedEngine>>) -> Self {
        Self { errors, log, kubernetes }
    }

    /// No plugin at all: CoreDNS refuses what such a block is asked.
    pub fn is_empty(&self) -> bool {
        self.errors.is_none() && self.log.is_none() && self.kubernetes.is_none()
    }

    /// Whether queries are logged.
    pub fn logs(&self) -> bool {
        self.log.is_some()
    }

    /// Runs a query through the chain. `upstream` is [`Upstream::NotAsked`] the first time.
    pub fn serve(
        &self,
        query: &Query,
        client: &Client,
        upstream: Upstream<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Served {
        let Some(engine) = &self.kubernetes else {
            let last = if self.log.is_some() {
                "plugin/log: no next plugin found"
            } else {
                "plugin/errors: no next plugin found"
            };
            return Served::Failure { rcode: Rcode::SERVER_FAILURE, problem: Some(last) };
        };
        match engine.load().resolve(query, client, upstream, scratch, out) {
            Outcome::Answer(_) => Served::Reply,
            Outcome::NeedUpstream { qtype } => Served::NeedsLookup { qtype },
            Outcome::NotMine | Outcome::Fallthrough => {
                Served::Failure { rcode: Rcode::SERVER_FAILURE, problem: Some(NO_NEXT) }
            }
            Outcome::Transfer => Served::Failure { rcode: Rcode::REFUSED, problem: None },
        }
    }

    /// Logs a query and its reply, if this block logs such queries.
    pub fn log_query(&self, query: &Query, asker: &Asker, query_len: usize, reply: &[u8], started: Instant) {
        if let Some(log) = &self.log {
            log.log(query, asker, query_len, reply, started);
        }
    }

    /// Logs why a query failed, if this block logs errors.
    pub fn log_failure(&self, query: &Query, rcode: Rcode, problem: &str) {
        if let Some(errors) = &self.errors {
            errors.log(query, rcode, problem);
        }
    }

    /// Whether errors are counted over a time.
    pub fn consolidates(&self) -> bool {
        self.errors.as_ref().is_some_and(ErrorLog::consolidates)
    }

    /// Logs the errors that were counted, where their time is over.
    pub fn report_failures(&self, now: Instant) {
        if let Some(errors) = &self.errors {
            errors.report(now);
        }
    }
}
