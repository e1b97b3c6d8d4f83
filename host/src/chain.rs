//! The plugins of a server block, in the order in which CoreDNS runs them: metadata, errors, log, autopath,
//! transfer, `k8s_external`, kubernetes.

use crate::access_log::{AccessLog, Exchange};
use crate::autopath::{Autopath, Walk};
use crate::error_log::ErrorLog;
use crate::metadata::{Facts, Metadata};
use crate::transfer::{self, Decision, TransferRules};
use rustk8s::external::ExternalView;
use rustk8s::shared::SharedEngine;
use rustk8s::transfer::Transfer;
use rustk8s::wire::{Query, Rcode};
use rustk8s::{Client, Outcome, Scratch, Snapshot, Upstream};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// The plugins of a server block.
#[derive(Default)]
pub struct Chain {
    metadata: Option<Metadata>,
    errors: Option<ErrorLog>,
    log: Option<AccessLog>,
    autopath: Option<Autopath>,
    transfer: Option<TransferRules>,
    external: Option<ExternalView>,
    /// The zones of `kubernetes`, in wire form and lower case.
    zones: Vec<Box<[u8]>>,
    kubernetes: Option<Arc<SharedEngine>>,
}

/// What a chain made of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The reply is written.
    Reply,
    /// The server is to write this error.
    Failure {
        /// The rcode.
        rcode: Rcode,
        /// What the plugin `errors` logs, if it is worth a line.
        problem: Option<Cow<'static, str>>,
    },
    /// An alias leads elsewhere: look [`Scratch::target`] up and serve again with the result.
    NeedsLookup {
        /// The type to ask for.
        qtype: u16,
    },
    /// The zone is to be transferred: see [`Chain::begin_transfer`].
    Transfer,
}

impl Served {
    /// SERVFAIL, and what `errors` logs.
    pub fn failed(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Failure { rcode: Rcode::SERVER_FAILURE, problem: Some(problem.into()) }
    }

    /// An rcode that is an answer like another.
    fn rcode(rcode: Rcode) -> Self {
        Self::Failure { rcode, problem: None }
    }
}

impl Chain {
    /// A chain of these plugins.
    pub fn new(errors: Option<ErrorLog>, log: Option<AccessLog>, kubernetes: Option<Arc<SharedEngine>>) -> Self {
        Self { errors, log, kubernetes, ..Self::default() }
    }

    /// Adds `k8s_external`, which answers from the objects of `kubernetes`.
    #[must_use]
    pub fn with_external(self, external: ExternalView) -> Self {
        Self { external: Some(external), ..self }
    }

    /// Adds `metadata`.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata: Some(metadata), ..self }
    }

    /// Adds `autopath`.
    #[must_use]
    pub fn with_autopath(self, autopath: Autopath) -> Self {
        Self { autopath: Some(autopath), ..self }
    }

    /// Adds `transfer`. `zones` are those of `kubernetes`, in wire form and lower case.
    #[must_use]
    pub fn with_transfer(self, transfer: TransferRules, zones: Vec<Box<[u8]>>) -> Self {
        Self { transfer: Some(transfer), zones, ..self }
    }

    /// No plugin at all: CoreDNS refuses what such a block is asked.
    pub fn is_empty(&self) -> bool {
        self.no_next_of_last().is_none()
    }

    /// Whether queries are logged.
    pub fn logs(&self) -> bool {
        self.log.is_some()
    }

    /// The state of the cluster now, for a query that is answered in several steps.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.kubernetes.as_ref().map(|engine| Arc::clone(&engine.load()))
    }

    /// Runs a query through the chain, as far as that needs no look-up.
    pub fn serve(&self, query: &Query, client: &Client, scratch: &mut Scratch, out: &mut Vec<u8>) -> Served {
        let state = self.kubernetes.as_ref().map(|engine| engine.load());
        let state = state.as_deref().map(|state| &**state);
        let Some(mut walk) = self.search(state, query, client) else {
            return self.serve_from(state, query, client, &[], scratch, out);
        };
        let client = Walk::client(client);
        loop {
            let served = match walk.ask() {
                Ok(Some(query)) => self.serve_from(state, &query, &client, &[], scratch, out),
                Ok(None) => return walk.finish(out),
                Err(served) => return served,
            };
            if let Some(served) = walk.take(served, out) {
                return served;
            }
        }
    }

    /// The walk along the client's search path that `autopath` makes of a query. `None`: it is answered as it is.
    pub fn search(&self, state: Option<&Snapshot>, query: &Query, client: &Client) -> Option<Walk> {
        self.autopath.as_ref()?.begin(state, query, client)
    }

    /// Runs a query through the plugins behind `autopath`. `upstream` has the results of the look-ups asked for so far, in their order;
    /// `state` is then the same as before, so that they belong to the same names.
    pub fn serve_from(
        &self,
        state: Option<&Snapshot>,
        query: &Query,
        client: &Client,
        upstream: &[Upstream<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Served {
        if let Some(transfer) = &self.transfer {
            match transfer.decide(query, client) {
                Decision::Allow if transfer::is_apex(&self.zones, query) => return Served::Transfer,
                Decision::Refuse(rcode) => return Served::rcode(rcode),
                // A name that is no zone is for the next plugin, as CoreDNS has it.
                Decision::Allow | Decision::Next => {}
            }
        }
        let Some(state) = state else { return self.no_next() };
        if let Some(external) = &self.external {
            match state.resolve_external(external, query, client, upstream, scratch, out) {
                Outcome::Answer(_) => return Served::Reply,
                Outcome::NeedUpstream { qtype } => return Served::NeedsLookup { qtype },
                Outcome::Transfer => return Served::rcode(Rcode::REFUSED),
                Outcome::NotMine | Outcome::Fallthrough => {}
            }
        }
        let upstream = upstream.first().copied().unwrap_or(Upstream::NotAsked);
        match state.resolve(query, client, upstream, scratch, out) {
            Outcome::Answer(_) => Served::Reply,
            Outcome::NeedUpstream { qtype } => Served::NeedsLookup { qtype },
            Outcome::NotMine | Outcome::Fallthrough => self.no_next(),
            Outcome::Transfer => Served::rcode(Rcode::REFUSED),
        }
    }

    /// Begins the transfer that [`Served::Transfer`] allows. `None` until the cluster is known: half a zone would be taken
    /// for all of it.
    pub fn begin_transfer(&self, query: &Query) -> Option<Transfer> {
        let state = self.kubernetes.as_ref()?.load();
        if state.synced() { state.transfer(query) } else { None }
    }

    /// What CoreDNS's `plugin.NextOrFailure` says when the last plugin hands a query on.
    fn no_next(&self) -> Served {
        Served::failed(self.no_next_of_last().unwrap_or("no next plugin found"))
    }

    /// The words of the plugin that has no other behind it.
    fn no_next_of_last(&self) -> Option<&'static str> {
        let plugins = [
            ("plugin/kubernetes: no next plugin found", self.kubernetes.is_some()),
            ("plugin/k8s_external: no next plugin found", self.external.is_some()),
            ("plugin/transfer: no next plugin found", self.transfer.is_some()),
            ("plugin/autopath: no next plugin found", self.autopath.is_some()),
            ("plugin/log: no next plugin found", self.log.is_some()),
            ("plugin/errors: no next plugin found", self.errors.is_some()),
            ("plugin/metadata: no next plugin found", self.metadata.is_some()),
        ];
        plugins.iter().find(|(_, present)| *present).map(|(words, _)| *words)
    }

    /// Logs a query and its reply, if this block logs such queries.
    pub fn log_query(&self, exchange: &Exchange<'_>) {
        if let Some(log) = &self.log {
            let state = self.kubernetes.as_ref().map(|engine| engine.load());
            let facts = self.metadata.as_ref().map(|metadata| {
                Facts::new(metadata, state.as_deref().map(|state| &**state), exchange.query, exchange.asker)
            });
            log.log(exchange, facts.as_ref());
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
