//! One option set on one cluster: the reference and the server under test beside each other, asked
//! the same questions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;

use super::compare::{Reply, same, same_but_for_case, truncated_wrongly, udp_limit, what_differs};
use super::differences::{DIFFERENCES, Ours, same_but_for_marked};
use super::exchange::{Client, Transport};
use super::options::OptionSet;
use super::question::Query;
use super::server::Program;
use super::wire::Message;
use super::world::{World, WorldError};

/// How the answers to one question compare.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// They are the same; `varied` when the reference had to be asked again, because it varies.
    Agree {
        /// Whether the reference gave other answers too.
        varied: bool,
    },
    /// A decided difference, by its name in `tests/DIFFERENCES.md`.
    Accepted(&'static str),
    /// The reference fails (silence, or a panic that it turns into SERVFAIL) and ours does not: a difference to decide on.
    ReferenceFault(Case),
    /// They differ.
    Differ(Case),
}

/// A question whose answers are not the same.
#[derive(Debug, Clone)]
pub struct Case {
    /// The question.
    pub query: Query,
    /// What differs, in words.
    pub what: String,
    /// The distinct answers of the reference.
    pub reference: Vec<Reply>,
    /// Our answer.
    pub subject: Reply,
}

/// What a set's questions came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Questions asked.
    pub questions: usize,
    /// Those answered alike.
    pub agree: usize,
    /// Those among them for which the reference varies.
    pub varied: usize,
    /// Those among them that neither answers.
    pub silent: Vec<Query>,
    /// Decided differences: how many of each, and one example.
    pub accepted: BTreeMap<&'static str, (usize, Query)>,
    /// Faults of the reference.
    pub faults: Vec<Case>,
    /// Differences.
    pub differ: Vec<Case>,
    /// Differences that were not looked at, because there were too many.
    pub unsettled: usize,
}

/// What became of a case that was to be made small.
#[derive(Debug, Clone)]
pub enum Shrunk {
    /// It does not show when the servers are started anew on the same cluster.
    NotAgain,
    /// A smaller cluster.
    To {
        /// Its objects.
        objects: Vec<Value>,
        /// The case on it.
        case: Box<Case>,
        /// Whether it shows only when larger clusters were there before, not from the start.
        only_after_changes: bool,
    },
}

/// Two servers on one cluster.
pub struct Session<'a> {
    /// The fixture, the reference (0) and the server under test (1).
    pub world: World,
    /// The cluster's objects, sentinels aside.
    pub objects: Vec<Value>,
    counterfactual: Mutex<BTreeMap<&'static str, World>>,
    runtime: &'a Handle,
    reference: &'a Program,
    subject: &'a Program,
    upstream: String,
}

/// The reference and the server under test, as clients of one thread.
struct Clients {
    ports: [u16; 2],
    plain: [Client; 2],
    from: BTreeMap<Ipv4Addr, [Client; 2]>,
}

/// In the first pass nothing is concluded from silence, so little time is given.
const FIRST_PATIENCE: Duration = Duration::from_millis(200);
/// Time in which a server that answers another question within [`PROMPT`] would have answered this one.
const PATIENCE: Duration = Duration::from_millis(200);
/// How fast an idle server on the loopback interface answers; a slower one is given more time.
const PROMPT: Duration = Duration::from_millis(50);
/// Questions asked at once.
const THREADS: usize = 8;
/// Differences looked at in a set; beyond, they are only counted.
const SETTLED_AT_MOST: usize = 1000;
/// How often the reference is asked before a difference is believed. Go begins to walk a small map at one of eight
/// places, so the rarer of two orders comes once in eight times: that it stays away a hundred times is one in 600,000.
const ATTEMPTS: usize = 100;
/// How many of these one silence counts for: it takes long, and is the same the third time.
const SILENCE_COUNTS: usize = 34;

const REFERENCE: usize = 0;
const SUBJECT: usize = 1;

impl Clients {
    fn new(world: &World) -> Self {
        let ports = [world.servers[REFERENCE].dns_port, world.servers[SUBJECT].dns_port];
        Self { ports, plain: ports.map(Client::new), from: BTreeMap::new() }
    }

    fn ask(&mut self, which: usize, query: &Query, patience: Duration) -> io::Result<Reply> {
        let ports = self.ports;
        let client = match query.source {
            None => &mut self.plain[which],
            Some(source) => {
                &mut self.from.entry(source).or_insert_with(|| ports.map(|port| Client::from_address(port, source)))
                    [which]
            }
        };
        Ok(Reply::from_bytes(client.ask(&query.wire, query.transport, patience)?))
    }

    /// Asks, and believes silence only from a server that answers other questions at once.
    fn ask_for_sure(&mut self, which: usize, query: &Query) -> Reply {
        for _ in 0..10 {
            // A socket's error is silence too: the query was sent to a server that runs, which is looked after.
            let reply = self.ask(which, query, PATIENCE).unwrap_or(Reply::Silence);
            if reply != Reply::Silence || is_prompt(&mut self.plain[which]).unwrap_or(false) {
                return reply;
            }
        }
        Reply::Silence
    }
}

/// Whether the server answers a question of which every server can say something, and at once.
fn is_prompt(client: &mut Client) -> io::Result<bool> {
    let question = Query::simple("are.you.there.test", super::wire::rtype::A);
    let start = Instant::now();
    let reply = client.ask(&question.wire, question.transport, Duration::from_secs(5))?;
    Ok(reply.is_some() && start.elapsed() < PROMPT)
}

impl<'a> Session<'a> {
    /// Starts the reference and the program on a cluster of these objects.
    pub fn start(
        runtime: &'a Handle,
        set: &'static OptionSet,
        reference: &'a Program,
        subject: &'a Program,
        objects: Vec<Value>,
        upstream: &str,
    ) -> Result<Self, WorldError> {
        let world = World::start(runtime, set, &[reference, subject], &objects, upstream)?;
        Ok(Self {
            world,
            objects,
            counterfactual: Mutex::default(),
            runtime,
            reference,
            subject,
            upstream: upstream.to_owned(),
        })
    }

    /// Asks all questions of both servers and judges the answers.
    pub fn run(&mut self, queries: &[Query]) -> Result<Tally, WorldError> {
        let suspects = Mutex::new(Vec::new());
        let silent = Mutex::new(Vec::new());
        let world = &self.world;
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (suspects, silent) = (&suspects, &silent);
                scope.spawn(move || {
                    let mut clients = Clients::new(world);
                    for query in queries.iter().skip(thread).step_by(THREADS) {
                        let pair = clients
                            .ask(REFERENCE, query, FIRST_PATIENCE)
                            .and_then(|reference| Ok((reference, clients.ask(SUBJECT, query, FIRST_PATIENCE)?)));
                        // A socket's error is a reason to look closer, not to stop.
                        let agree = pair.is_ok_and(|(reference, subject)| {
                            if subject == Reply::Silence && reference == Reply::Silence {
                                silent.lock().unwrap_or_else(PoisonError::into_inner).push(query.clone());
                            }
                            acceptable(query, &reference, &subject)
                        });
                        if !agree {
                            suspects.lock().unwrap_or_else(PoisonError::into_inner).push(query);
                        }
                    }
                });
            }
        });
        let mut suspects = suspects.into_inner().unwrap_or_else(PoisonError::into_inner);
        suspects.sort(); // the threads' order is not the seed's
        let mut tally = Tally {
            questions: queries.len(),
            agree: queries.len() - suspects.len(),
            silent: silent.into_inner().unwrap_or_else(PoisonError::into_inner),
            unsettled: suspects.len().saturating_sub(SETTLED_AT_MOST),
            ..Tally::default()
        };
        suspects.truncate(SETTLED_AT_MOST);
        for (query, verdict) in self.settle_all(&suspects)? {
            match verdict {
                Verdict::Agree { varied } => {
                    tally.agree += 1;
                    tally.varied += usize::from(varied);
                }
                Verdict::Accepted(name) => {
                    tally.accepted.entry(name).or_insert_with(|| (0, query.clone())).0 += 1;
                }
                Verdict::ReferenceFault(case) => tally.faults.push(case),
                Verdict::Differ(case) => tally.differ.push(case),
            }
        }
        Ok(tally)
    }

    /// Judges all the questions, several at once, and returns them in their order.
    fn settle_all<'q>(&mut self, queries: &[&'q Query]) -> Result<Vec<(&'q Query, Verdict)>, WorldError> {
        self.world.check_running()?;
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(Vec::new());
        let session = &*self;
        let (next, out) = (&next, &verdicts);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(move || {
                    let mut clients = Clients::new(&session.world);
                    while let Some(query) = queries.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let verdict = session.settle_with(&mut clients, query);
                        out.lock().unwrap_or_else(PoisonError::into_inner).push((*query, verdict));
                    }
                });
            }
        });
        self.world.check_running()?;
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|(query, _)| *query);
        verdicts.into_iter().map(|(query, verdict)| Ok((query, verdict?))).collect()
    }

    /// Judges one question, asking as often as it takes.
    pub fn settle(&mut self, query: &Query) -> Result<Verdict, WorldError> {
        let mut clients = Clients::new(&self.world);
        let verdict = self.settle_with(&mut clients, query);
        self.world.check_running()?;
        verdict
    }

    fn settle_with(&self, clients: &mut Clients, query: &Query) -> Result<Verdict, WorldError> {
        let panics = self.reference_panics();
        let subject = clients.ask_for_sure(SUBJECT, query);
        let mut seen: Vec<Reply> = Vec::new();
        let mut attempt = 0;
        // A record that cannot be packed silences the reference, unless it falls victim to truncation: that varies.
        let truncated = subject.message().is_some_and(Message::truncated);
        let silence_counts = if truncated { SILENCE_COUNTS / 5 } else { SILENCE_COUNTS };
        while attempt < ATTEMPTS {
            let reply = clients.ask_for_sure(REFERENCE, query);
            if acceptable(query, &reply, &subject) {
                return Ok(Verdict::Agree { varied: !seen.is_empty() });
            }
            attempt += if reply == Reply::Silence { silence_counts } else { 1 };
            if !seen.iter().any(|other| same(other, &reply)) {
                seen.push(reply);
            }
        }
        let mut what = seen.first().map(|first| what_differs(first, &subject)).unwrap_or_default();
        let cut: Vec<&Message> = seen.iter().filter_map(Reply::message).filter(|m| m.truncated()).collect();
        if let Some(message) = subject.message().filter(|m| m.truncated() && !cut.is_empty()) {
            let mut by_tcp = query.clone();
            by_tcp.transport = Transport::Tcp4;
            let whole = clients.ask_for_sure(REFERENCE, &by_tcp);
            let whole = whole.message().filter(|m| !m.truncated());
            let limit = match (query.transport.is_tcp(), Message::parse(&query.wire)) {
                (false, Ok(question)) => udp_limit(&question),
                _ => 65_535,
            };
            match truncated_wrongly(message, &cut, whole, limit) {
                None => return Ok(Verdict::Agree { varied: true }),
                Some(reason) => what = format!("truncated answer: {reason}"),
            }
        }
        for difference in DIFFERENCES {
            if seen.iter().any(|reply| (difference.applies)(query, reply))
                && self.explains(clients, difference.name, &difference.ours, query, &subject)?
            {
                return Ok(Verdict::Accepted(difference.name));
            }
        }
        let silent = seen.iter().all(|reply| *reply == Reply::Silence);
        let fault = (silent && subject != Reply::Silence) || self.reference_panics() > panics;
        let case = Case { query: query.clone(), what, reference: seen, subject };
        Ok(if fault { Verdict::ReferenceFault(case) } else { Verdict::Differ(case) })
    }

    /// Whether the reference gives our answer where the difference says that it does.
    fn explains(
        &self,
        clients: &mut Clients,
        name: &'static str,
        ours: &Ours,
        query: &Query,
        subject: &Reply,
    ) -> Result<bool, WorldError> {
        match ours {
            Ours::ToQuestion(rewrite) => {
                let Some(other) = rewrite(query, self.world.set) else { return Ok(false) };
                for _ in 0..ATTEMPTS {
                    if same_but_for_case(&clients.ask_for_sure(REFERENCE, &other), subject) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Ours::Elsewhere { object, corefile, question } => {
                let objects: Vec<Value> = self.objects.iter().filter_map(|o| object(o, self.world.set)).collect();
                let corefile = corefile(self.world.set.corefile);
                if objects == self.objects && corefile == self.world.set.corefile {
                    return Ok(false);
                }
                let port = self.counterfactual_port(name, &objects, corefile)?;
                let mut client = Client::new(port);
                let there = question(query);
                for _ in 0..ATTEMPTS {
                    let reply = client.ask(&there.wire, query.transport, PATIENCE).unwrap_or_default();
                    let reply = Reply::from_bytes(reply);
                    if acceptable(query, &reply, subject) || same_but_for_marked(&reply, subject) {
                        return Ok(true);
                    }
                    if reply == Reply::Silence {
                        return Ok(false);
                    }
                }
                Ok(false)
            }
        }
    }

    /// The port of the reference on the cluster that the difference of that name speaks of.
    fn counterfactual_port(&self, name: &'static str, objects: &[Value], corefile: String) -> Result<u16, WorldError> {
        let mut worlds = self.counterfactual.lock().unwrap_or_else(PoisonError::into_inner);
        let world = match worlds.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                // Option sets are static; these few hundred bytes stay until the process ends.
                let corefile = Box::leak(corefile.into_boxed_str());
                let set = Box::leak(Box::new(OptionSet { corefile, ..*self.world.set }));
                entry.insert(World::start(self.runtime, set, &[self.reference], objects, &self.upstream)?)
            }
        };
        Ok(world.servers[0].dns_port)
    }

    fn reference_panics(&self) -> usize {
        self.world.servers[REFERENCE].output().matches("Recovered from panic").count()
    }

    /// Makes the cluster consist of these objects, for both servers and all counterfactual ones.
    pub fn set_objects(&mut self, objects: Vec<Value>) -> Result<(), WorldError> {
        self.world.set_objects(&objects)?;
        let worlds = self.counterfactual.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (name, world) in worlds {
            if let Some(Ours::Elsewhere { object, .. }) = super::differences::find(name).map(|d| &d.ours) {
                let changed: Vec<Value> = objects.iter().filter_map(|o| object(o, self.world.set)).collect();
                world.set_objects(&changed)?;
            }
        }
        self.objects = objects;
        Ok(())
    }

    /// Starts everything anew on these objects.
    pub fn restart(&mut self, objects: Vec<Value>) -> Result<(), WorldError> {
        self.counterfactual = Mutex::default();
        let programs = [self.reference, self.subject];
        self.world = World::start(self.runtime, self.world.set, &programs, &objects, &self.upstream)?;
        self.objects = objects;
        Ok(())
    }

    /// The smallest cluster on which the question still gets answers that differ in the same way. At most
    /// `limit` clusters are tried, without starting the servers anew each time.
    pub fn shrink(&mut self, query: &Query, limit: usize) -> Result<Shrunk, WorldError> {
        self.restart(self.objects.clone())?;
        let whole = self.objects.clone();
        let Some(first) = self.difference_of(query)? else { return Ok(Shrunk::NotAgain) };
        let mut error = None;
        let small = super::shrink::shrink(whole.clone(), limit, |objects| {
            if error.is_some() {
                return false;
            }
            let tried = self.set_objects(objects.to_vec()).and_then(|()| self.difference_of(query));
            match tried {
                Ok(case) => case.is_some_and(|case| case.what == first.what),
                Err(e) => {
                    error = Some(e);
                    false
                }
            }
        });
        if let Some(error) = error {
            return Err(error);
        }
        self.restart(small.clone())?;
        let fresh = self.difference_of(query)?;
        let changed = fresh.is_none();
        let case = match fresh {
            Some(case) => case,
            None => first,
        };
        self.objects = whole;
        Ok(Shrunk::To { objects: small, case: Box::new(case), only_after_changes: changed })
    }

    fn difference_of(&mut self, query: &Query) -> Result<Option<Case>, WorldError> {
        Ok(match self.settle(query)? {
            Verdict::Differ(case) | Verdict::ReferenceFault(case) => Some(case),
            Verdict::Agree { .. } | Verdict::Accepted(_) => None,
        })
    }
}

/// Whether the subject's reply is as the reference's, and within the size that the client can take.
fn acceptable(query: &Query, reference: &Reply, subject: &Reply) -> bool {
    if !same(reference, subject) {
        return false;
    }
    let (Some(message), false) = (subject.message(), query.transport.is_tcp()) else { return true };
    match Message::parse(&query.wire) {
        Ok(question) => message.len <= udp_limit(&question),
        Err(_) => message.len <= 512,
    }
}
