//! From a packet to its reply: the checks of CoreDNS's `Server.ServeDNS`, in its order.

use super::zones::ZoneTable;
use crate::chain::{Chain, Served};
use rustk8s::wire::{CLASS_IN, Query, Rcode, Reject, Transport};
use rustk8s::{Client, Scratch, Upstream};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Instant;

/// Look-ups of alias targets within look-ups. CoreDNS sets no bound; an alias to an alias across zones needs two.
const MAX_DEPTH: usize = 8;

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
        let served = chain.serve(&work.query, &asker.as_client(), Upstream::NotAsked, &mut work.scratch, out);
        if let Served::NeedsLookup { .. } = served {
            return Verdict::Later;
        }
        finish(chain, served, &work.query, asker, packet.len(), started, out);
        Verdict::Reply
    }

    /// Answers a packet, and asks whoever must be asked. `out` is overwritten.
    pub async fn answer_slowly(&self, packet: &[u8], asker: &Asker, work: &mut Work, out: &mut Vec<u8>) {
        let started = self.logs.then(Instant::now);
        let Some(chain) = self.chain_for(packet, &mut work.query, out) else { return };
        self.run_chain(chain, asker, packet.len(), started, work, out, 0).await;
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
        depth: usize,
    ) {
        let client = asker.as_client();
        let mut served = chain.serve(&work.query, &client, Upstream::NotAsked, &mut work.scratch, out);
        if let Served::NeedsLookup { qtype } = served {
            let target = work.scratch.target().to_vec();
            let found = self.look_up(&target, qtype, asker, depth + 1).await;
            let upstream = found.as_deref().map_or(Upstream::Failed, Upstream::Answer);
            served = chain.serve(&work.query, &client, upstream, &mut work.scratch, out);
        }
        finish(chain, served, &work.query, asker, query_len, started, out);
    }

    /// Asks ourselves, as CoreDNS's `pkg/upstream` does: the answer of whichever server block has the name. `None`
    /// where look-ups have led to look-ups too often.
    fn look_up<'a>(
        &'a self,
        qname: &'a [u8],
        qtype: u16,
        asker: &'a Asker,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send + 'a>> {
        Box::pin(async move {
            if depth > MAX_DEPTH {
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
            self.run_chain(chain, &asker, query_len, started, &mut work, &mut out, depth).await;
            Some(out)
        })
    }
}

/// Writes the error that a chain ended in, if it did, and logs.
fn finish(
    chain: &Chain,
    served: Served,
    query: &Query,
    asker: &Asker,
    query_len: usize,
    started: Option<Instant>,
    out: &mut Vec<u8>,
) {
    let failure = match served {
        Served::Reply => None,
        Served::Failure { rcode, problem } => {
            query.write_error(rcode, out);
            problem.map(|problem| (rcode, problem))
        }
        // The chain was told what the look-up gave, and asks again: that would never end.
        Served::NeedsLookup { .. } => {
            query.write_error(Rcode::SERVER_FAILURE, out);
            Some((Rcode::SERVER_FAILURE, "plugin/kubernetes: an alias cannot be followed"))
        }
    };
    if let Some(started) = started {
        chain.log_query(query, asker, query_len, out, started);
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
