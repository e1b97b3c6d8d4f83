//! From a packet to its reply: the checks of CoreDNS's `Server.ServeDNS`, in its order.

use super::zones::ZoneTable;
use crate::access_log::Exchange;
use crate::autopath::Walk;
use crate::chain::{Chain, Served};
use rustk8s::transfer::Transfer;
use rustk8s::wire::{CLASS_IN, Query, Rcode, Reject, Transport};
use rustk8s::{Client, Scratch, Snapshot, Upstream};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Look-ups of alias targets within look-ups. CoreDNS sets no bound; an alias to an alias across zones needs two.
const MAX_DEPTH: usize = 8;
/// Look-ups of alias targets for one query in all. CoreDNS sets no bound; a load balancer's Service has a name or two.
const MAX_LOOKUPS: usize = 64;

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client's address, an IPv4 address never in IPv6 form.
    pub client: SocketAddr,
    /// The address that the socket is bound to.
    pub local: IpAddr,
    /// How the query came.
    pub transport: Transport,
}

impl Asker {
    fn as_client(&self) -> Client {
        Client { addr: self.client.ip(), transport: self.transport }
    }
}

/// Buffers of one thread or task, used for query after query.
#[derive(Default)]
pub struct Work {
    query: Query,
    scratch: Scratch,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The reply is written; nothing is to be sent if it is empty.
    Reply,
    /// Someone must be asked first: hand the packet to [`Listener::answer_slowly`].
    Later,
    /// A zone is to be transferred, over TCP: hand the packet to [`Listener::begin_transfer`].
    Transfer,
}

/// What one address serves.
pub struct Listener {
    zones: ZoneTable,
    logs: bool,
}

impl Listener {
    /// Serves these zones.
    pub fn new(zones: ZoneTable) -> Self {
        let logs = zones.logs();
        Self { zones, logs }
    }

    /// Answers a packet, if that can be done at once. `out` is overwritten.
    ///
    /// A panic, which would be a mistake of ours, is logged and answered by SERVFAIL, as in CoreDNS.
    pub fn answer(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) -> Verdict {
        let answered = catch_unwind(AssertUnwindSafe(|| self.try_answer(packet, asker, work, out)));
        answered.unwrap_or_else(|_| {
            recover(packet, work, out);
            Verdict::Reply
        })
    }

    fn try_answer(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) -> Verdict {
        let started = self.logs.then(Instant::now);
        let Some(chain) = self.chain_for(packet, &mut work.query, out) else { return Verdict::Reply };
        let served = chain.serve(&work.query, &asker.as_client(), &mut work.scratch, out);
        match served {
            Served::NeedsLookup { .. } => return Verdict::Later,
            Served::Transfer => return Verdict::Transfer,
            Served::Reply | Served::Failure { .. } => {}
        }
        finish(chain, &served, &work.query, asker, packet.len(), started, out);
        Verdict::Reply
    }

    /// Answers a packet, and asks whoever must be asked. `out` is overwritten.
    pub async fn answer_slowly(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) {
        let started = self.logs.then(Instant::now);
        let Some(chain) = self.chain_for(packet, &mut work.query, out) else { return };
        let lookups = Lookups { depth: 0, made: &AtomicUsize::new(0) };
        self.run_chain(chain, asker, packet.len(), started, work, out, lookups).await;
    }

    /// Begins the transfer that a packet asks for. `None` where `out` has the reply: the zone cannot be transferred now.
    pub fn begin_transfer(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) -> Option<Transfer> {
        let started = self.logs.then(Instant::now);
        let chain = self.chain_for(packet, &mut work.query, out)?;
        let transfer = chain.begin_transfer(&work.query);
        if transfer.is_none() {
            let served = Served::failed("plugin/transfer: the cluster is not known yet");
            finish(chain, &served, &work.query, asker, packet.len(), started, out);
        }
        transfer
    }

    /// Answers SERVFAIL to a packet whose transfer has no room.
    pub fn refuse_transfer(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) {
        let started = self.logs.then(Instant::now);
        let Some(chain) = self.chain_for(packet, &mut work.query, out) else { return };
        let served = Served::failed("plugin/transfer: too many transfers at once");
        finish(chain, &served, &work.query, asker, packet.len(), started, out);
    }

    /// Logs a transfer whose last message is `last`, and all of whose messages have `octets`.
    pub fn log_transfer(
        &self,
        packet: &[u8],
        asker: &Asker,
        work: &mut Work,
        last: &[u8],
        octets: usize,
        started: Instant,
    ) {
        if let Some(chain) = self.chain_for(packet, &mut work.query, &mut Vec::new()) {
            let (query, query_len) = (&work.query, packet.len());
            chain.log_query(&Exchange { query, asker, query_len, reply: last, reply_len: octets, started });
        }
    }

    /// Reads a packet and finds who answers it. `None` where `out` holds all that is to be said.
    fn chain_for(&self, packet: &[u8], query: &mut Query, out: &mut Vec<u8>) -> Option<&Chain> {
        out.clear();
        match query.read(packet) {
            Ok(()) => {}
            Err(Reject::Silence) => return None,
            Err(Reject::Reply(_)) => {
                query.write_reject(out);
                return None;
            }
        }
        if query.qclass() != CLASS_IN {
            query.write_error(Rcode::REFUSED, out);
        } else if query.bad_version() {
            query.write_bad_version(out);
        } else if let Some(chain) = self.zones.find(query.qname(), query.qtype()).filter(|chain| !chain.is_empty()) {
            return Some(chain);
        } else {
            // No server block, or one without plugins.
            query.write_error(Rcode::REFUSED, out);
        }
        None
    }

    #[allow(clippy::too_many_arguments)]
    async fn run_chain(
        &self,
        chain: &Chain,
        asker: &Asker,
        query_len: usize,
        started: Option<Instant>,
        work: &mut Work,
        out: &mut Vec<u8>,
        lookups: Lookups<'_>,
    ) {
        let state = chain.snapshot();
        let (state, Work { query, scratch }) = (state.as_deref(), &mut *work);
        let served = match chain.search(state, query, &asker.as_client()) {
            None => self.run_plugins(chain, state, query, asker, scratch, out, lookups).await,
            Some(walk) => self.run_search(chain, state, walk, asker, scratch, out, lookups).await,
        };
        finish(chain, &served, &work.query, asker, query_len, started, out);
    }

    /// Walks along a search path, and looks up what its names need.
    #[allow(clippy::too_many_arguments)]
    async fn run_search(
        &self,
        chain: &Chain,
        state: Option<&Snapshot>,
        mut walk: Walk,
        asker: &Asker,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        lookups: Lookups<'_>,
    ) -> Served {
        let asker = Asker { transport: Walk::client(&asker.as_client()).transport, ..*asker };
        loop {
            let served = match walk.ask() {
                Ok(Some(query)) => self.run_plugins(chain, state, &query, &asker, scratch, out, lookups).await,
                Ok(None) => return walk.finish(out),
                Err(served) => return served,
            };
            if let Some(served) = walk.take(served, out) {
                return served;
            }
        }
    }

    /// Runs a query through the plugins, and looks up what they ask for.
    #[allow(clippy::too_many_arguments)]
    async fn run_plugins(
        &self,
        chain: &Chain,
        state: Option<&Snapshot>,
        query: &Query,
        asker: &Asker,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        lookups: Lookups<'_>,
    ) -> Served {
        let client = asker.as_client();
        let mut found: Vec<Option<Vec<u8>>> = Vec::new();
        loop {
            let upstream: Vec<_> =
                found.iter().map(|found| found.as_deref().map_or(Upstream::Failed, Upstream::Answer)).collect();
            let served = chain.serve_from(state, query, &client, &upstream, scratch, out);
            match served {
                Served::NeedsLookup { qtype } if found.len() <= MAX_LOOKUPS => {
                    let target = scratch.target().to_vec();
                    found.push(self.look_up(&target, qtype, asker, lookups.deeper()).await);
                }
                Served::NeedsLookup { .. } => return Served::failed("plugin/kubernetes: too many aliases to follow"),
                served => return served,
            }
        }
    }

    /// Asks ourselves, as CoreDNS's `pkg/upstream` does: the answer of whichever server block has the name. `None`
    /// where look-ups have led to look-ups too often.
    fn look_up<'a>(
        &'a self,
        qname: &'a [u8],
        qtype: u16,
        asker: &'a Asker,
        lookups: Lookups<'a>,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + 'a>> {
        Box::pin(async move {
            if lookups.depth > MAX_DEPTH || lookups.made.fetch_add(1, Ordering::Relaxed) >= MAX_LOOKUPS {
                return None;
            }
            let mut work = Work { query: Query::ask(0, qname, qtype)?, ..Work::default() };
            let mut out = Vec::new();
            let Some(chain) = self.zones.find(work.query.qname(), qtype).filter(|chain| !chain.is_empty()) else {
                work.query.write_error(Rcode::REFUSED, &mut out);
                return Some(out);
            };
            // The answer becomes part of another message, which is cut to the client's size: here it need not be.
            let asker = Asker { transport: Transport::Tcp, ..*asker };
            // Header, question without its name.
            let query_len = 16 + qname.len();
            let started = self.logs.then(Instant::now);
            self.run_chain(chain, &asker, query_len, started, &mut work, &mut out, lookups).await;
            Some(out)
        })
    }
}

/// The look-ups that a query has led to.
#[derive(Clone, Copy)]
struct Lookups<'a> {
    /// Of look-ups within look-ups.
    depth: usize,
    /// In all.
    made: &'a AtomicUsize,
}

impl Lookups<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

/// Writes the error that a chain ended in, if it did, and logs.
fn finish(
    chain: &Chain,
    served: &Served,
    query: &Query,
    asker: &Asker,
    query_len: usize,
    started: Option<Instant>,
    out: &mut Vec<u8>,
) {
    let failure = match served {
        Served::Reply => None,
        Served::Failure { rcode, problem } => {
            query.write_error(*rcode, out);
            problem.as_deref().map(|problem| (*rcode, problem))
        }
        // Whoever runs a chain follows its aliases first, and nothing transfers a zone but a TCP connection.
        Served::NeedsLookup { .. } | Served::Transfer => {
            query.write_error(Rcode::SERVER_FAILURE, out);
            Some((Rcode::SERVER_FAILURE, "plugin/kubernetes: the query cannot be answered in this way"))
        }
    };
    if let Some(started) = started {
        chain.log_query(&Exchange { query, asker, query_len, reply: out, reply_len: out.len(), started });
    }
    if let Some((rcode, problem)) = failure {
        chain.log_failure(query, rcode, problem);
    }
}

/// After a panic: fresh buffers, and SERVFAIL for the client.
fn recover(packet: &[u8], work: &mut Work, out: &mut Vec<u8>) {
    tracing::error!("recovered from a panic while answering a query; please report it");
    *work = Work::default();
    out.clear();
    let reread = catch_unwind(AssertUnwindSafe(|| {
        if work.query.read(packet).is_ok() {
            work.query.write_error(Rcode::SERVER_FAILURE, out);
        }
    }));
    if reread.is_err() {
        out.clear();
    }
}
