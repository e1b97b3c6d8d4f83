//! The command: every option set on every seed, a table, and what differs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Handle;

use super::cluster::{self, Oddity, Shape};
use super::options::{OPTION_SETS, OptionSet};
use super::question::{self, Query};
use super::rng::Rng;
use super::server::{Program, ServerError, ServerKind};
use super::session::{Case, Session, Shrunk, Tally, Verdict};
use super::upstream::Upstream;
use super::wire::{Message, rtype};
use super::world::WorldError;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seeds.
    pub seeds: RangeInclusive<u64>,
    /// The server under test.
    pub server: ServerKind,
    /// Its directive, where it is not `kubernetes`.
    pub directive: Option<String>,
    /// Options added to its directive.
    pub extra_options: Vec<String>,
    /// The option sets.
    pub sets: Vec<&'static OptionSet>,
    /// Questions a set.
    pub questions: usize,
    /// Services in a cluster.
    pub services: usize,
    /// Shapes left out of the clusters.
    pub without: Vec<Oddity>,
    /// Whether failing cases are made small, which takes a while.
    pub shrink: bool,
    /// How many cases of a set are shown.
    pub shown: usize,
    /// Whether well-formed questions that neither server answers are printed.
    pub show_silent: bool,
    /// Whether a skipped set is a failure.
    pub strict: bool,
    /// Option sets at once.
    pub jobs: usize,
    /// Ask only this.
    pub ask: Option<Query>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: 1..=1,
            server: ServerKind::Host,
            directive: None,
            extra_options: Vec::new(),
            sets: OPTION_SETS.iter().collect(),
            questions: 5000,
            services: 40,
            without: cluster::IMPOSSIBLE.to_vec(),
            shrink: true,
            shown: 3,
            show_silent: false,
            strict: false,
            jobs: 2,
            ask: None,
        }
    }
}

/// Why there is no result.
#[derive(Debug, Error)]
pub enum RunError {
    /// A program is missing.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// No runtime for the fixture, no socket for the upstream.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// Clusters tried in making one case small.
const SHRINK_TRIES: usize = 250;
/// The variable that says that this process is in a network of its own.
const NETNS: &str = "RUSTK8S_CONFORMANCE_NETNS";
/// The addresses that this network has beside the loopback ones.
const LOCAL_ADDRESSES: [&str; 2] = ["192.0.2.53", "2001:db8:53::53"];

/// Whether this process is in a network of its own, where a server may be bound to every address.
pub fn in_own_network() -> bool {
    std::env::var_os(NETNS).is_some()
}

/// Runs this program again, with the same arguments, in a network namespace of its own whose loopback
/// interface has two more addresses, and returns its exit status. `None` where the system does not allow that: then
/// the option sets that need it are skipped.
pub fn enter_own_network() -> Option<std::process::ExitStatus> {
    if in_own_network() {
        return None;
    }
    let set_up = "ip link set lo up && ip addr add 192.0.2.53/32 dev lo && \
                  ip addr add 2001:db8:53::53/128 dev lo nodad";
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
        command
    };
    let possible = unshare().arg(set_up).output().is_ok_and(|output| output.status.success());
    if !possible {
        return None;
    }
    // Linux adds a word to the path of a program that was built anew since it started.
    let program = std::env::current_exe().ok()?;
    let program = program.to_str()?.trim_end_matches(" (deleted)").to_owned();
    unshare()
        .arg(format!("{set_up} && exec \"$@\""))
        .arg("sh")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(NETNS, "1")
        .status()
        .ok()
}

/// How a set went.
enum Outcome {
    Ran { tally: Tally, shown: Vec<Shown> },
    Skipped(String),
    Failed(String),
}

/// A difference as it is shown.
struct Shown {
    case: Case,
    alike: usize,
    fault: bool,
    small: Option<Vec<Value>>,
    note: &'static str,
}

/// Runs everything, prints the table and the differences; true when nothing differs.
pub fn run(options: &Options) -> Result<bool, RunError> {
    let reference = Program::find(&ServerKind::CoreDns)?;
    let mut subject = Program::find(&options.server)?;
    if let Some(directive) = &options.directive {
        subject.directive.clone_from(directive);
    }
    subject.extra_options.clone_from(&options.extra_options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let upstream = Upstream::start()?;
    let work: Vec<(u64, &'static OptionSet)> =
        options.seeds.clone().flat_map(|seed| options.sets.iter().map(move |set| (seed, *set))).collect();
    println!(
        "{:>6}  {:<20} {:>9} {:>9} {:>7} {:>7} {:>9} {:>7} {:>7} {:>7}",
        "seed", "option set", "questions", "agree", "varies", "silent", "accepted", "faults", "differ", "seconds"
    );
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some((seed, set)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let outcome = run_set(options, *seed, set, runtime.handle(), &reference, &subject, &upstream);
                    let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    total.add(*seed, set, &outcome, start.elapsed().as_secs_f32(), options);
                }
            });
        }
    });
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(total.print(options))
}

fn run_set(
    options: &Options,
    seed: u64,
    set: &'static OptionSet,
    runtime: &Handle,
    reference: &Program,
    subject: &Program,
    upstream: &Upstream,
) -> Outcome {
    if set.unbound && !in_own_network() {
        return Outcome::Skipped("it needs a network namespace (unshare)".to_owned());
    }
    let shape = Shape {
        zones: set.zones.iter().map(|zone| zone.trim_end_matches('.').to_owned()).collect(),
        multicluster: !set.multicluster.is_empty(),
        local_addresses: if in_own_network() { LOCAL_ADDRESSES.map(str::to_owned).to_vec() } else { Vec::new() },
        services: options.services,
        without: options.without.clone(),
    };
    // A cluster of its own for each set: the seed and the set's name decide.
    let seed = Rng::new(seed, set.name).next_u64();
    let objects = cluster::generate(seed, &shape);
    let queries = match &options.ask {
        Some(query) => vec![query.clone()],
        None => question::questions(&objects, set, seed, options.questions),
    };
    let mut session = match Session::start(runtime, set, reference, subject, objects, &upstream.address()) {
        Ok(session) => session,
        Err(WorldError::Server(ServerError::Stopped { program, output, .. }))
            if !set.needs.is_empty() && program == subject.binary =>
        {
            let line = output.lines().next().unwrap_or_default().to_owned();
            return Outcome::Skipped(format!("the server does not take {}: {line}", set.needs.join(", ")));
        }
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    if options.ask.is_some() {
        return match session.settle(&queries[0]) {
            Ok(verdict) => {
                print_verdict(&queries[0], &verdict);
                Outcome::Ran { tally: tally_of(&verdict, &queries[0]), shown: Vec::new() }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
    }
    let tally = match session.run(&queries) {
        Ok(tally) => tally,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let mut shown = Vec::new();
    for (cases, fault) in [(&tally.differ, false), (&tally.faults, true)] {
        for (_, group) in group(cases).into_iter().take(options.shown) {
            let mut case = group[0].clone();
            let mut small = None;
            let mut note = "";
            if options.shrink {
                match session.shrink(&case.query, SHRINK_TRIES) {
                    Ok(Shrunk::To { objects, case: smaller, only_after_changes }) => {
                        small = Some(objects);
                        case = *smaller;
                        if only_after_changes {
                            note = "it shows only after changes, not on servers started on this cluster";
                        }
                    }
                    Ok(Shrunk::NotAgain) => note = "it did not show again on servers started anew",
                    Err(error) => eprintln!("shrinking stopped: {error}"),
                }
            }
            shown.push(Shown { case, alike: group.len(), fault, small, note });
        }
    }
    Outcome::Ran { tally, shown }
}

fn tally_of(verdict: &Verdict, query: &Query) -> Tally {
    let mut tally = Tally { questions: 1, ..Tally::default() };
    match verdict {
        Verdict::Agree { varied } => {
            tally.agree = 1;
            tally.varied = usize::from(*varied);
        }
        Verdict::Accepted(name) => {
            tally.accepted.insert(name, (1, query.clone()));
        }
        Verdict::ReferenceFault(case) => tally.faults.push(case.clone()),
        Verdict::Differ(case) => tally.differ.push(case.clone()),
    }
    tally
}

fn print_verdict(query: &Query, verdict: &Verdict) {
    match verdict {
        Verdict::Agree { varied: false } => println!("alike: {query}"),
        Verdict::Agree { varied: true } => println!("alike, and the reference varies: {query}"),
        Verdict::Accepted(name) => println!("the decided difference {name}: {query}"),
        Verdict::ReferenceFault(case) => println!("the reference fails:\n{}", describe(case)),
        Verdict::Differ(case) => println!("they differ:\n{}", describe(case)),
    }
}

/// Cases that look alike, the largest group first.
fn group(cases: &[Case]) -> Vec<(String, Vec<&Case>)> {
    let mut groups: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        let qtype = Message::parse(&case.query.wire)
            .ok()
            .and_then(|m| m.questions.first().map(|q| rtype::mnemonic(q.qtype)))
            .unwrap_or_else(|| "malformed".to_owned());
        groups.entry(format!("{qtype}: {}", case.what)).or_default().push(case);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len()));
    groups
}

fn describe(case: &Case) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  differs:   {}", case.what);
    let _ = writeln!(text, "  question:  {}", indent(&case.query.to_string()));
    for reply in &case.reference {
        let _ = writeln!(text, "  reference: {}", indent(&reply.to_string()));
    }
    let _ = writeln!(text, "  ours:      {}", indent(&case.subject.to_string()));
    let _ = writeln!(text, "  again:     --ask {}", case.query.token());
    text
}

fn indent(text: &str) -> String {
    // A reply of a hundred records says no more than one of twenty.
    let lines: Vec<&str> = text.lines().collect();
    let mut out = lines.iter().take(24).copied().collect::<Vec<_>>().join("\n           ");
    if lines.len() > 24 {
        let _ = write!(out, "\n           ... {} lines more", lines.len() - 24);
    }
    out
}

#[derive(Default)]
struct Total {
    sets: std::collections::BTreeSet<&'static str>,
    tally: Tally,
    faults: usize,
    differ: usize,
    skipped: Vec<String>,
    failed: usize,
}

impl Total {
    fn add(&mut self, seed: u64, set: &'static OptionSet, outcome: &Outcome, seconds: f32, options: &Options) {
        match outcome {
            Outcome::Skipped(reason) => {
                println!("{seed:>6}  {:<20} skipped: {reason}", set.name);
                self.skipped.push(set.name.to_owned());
            }
            Outcome::Failed(reason) => {
                println!("{seed:>6}  {:<20} FAILED: {reason}", set.name);
                self.failed += 1;
            }
            Outcome::Ran { tally, shown } => {
                let accepted: usize = tally.accepted.values().map(|(count, _)| count).sum();
                let differ = tally.differ.len() + tally.unsettled;
                println!(
                    "{seed:>6}  {:<20} {:>9} {:>9} {:>7} {:>7} {accepted:>9} {:>7} {differ:>7} {seconds:>7.1}",
                    set.name,
                    tally.questions,
                    tally.agree,
                    tally.varied,
                    tally.silent.len(),
                    tally.faults.len()
                );
                self.sets.insert(set.name);
                self.tally.questions += tally.questions;
                self.tally.agree += tally.agree;
                self.tally.varied += tally.varied;
                self.faults += tally.faults.len();
                self.differ += differ;
                for (name, (count, example)) in &tally.accepted {
                    self.tally.accepted.entry(name).or_insert_with(|| (0, example.clone())).0 += count;
                }
                if options.show_silent {
                    for query in tally.silent.iter().filter(|query| is_a_question(query)) {
                        println!("          silent: {}", query.to_string().replace('\n', " "));
                    }
                }
                for (cases, kind) in [(&tally.differ, "differ"), (&tally.faults, "reference faults")] {
                    for (what, group) in group(cases) {
                        println!("          {:>5} {kind}: {what}", group.len());
                    }
                }
                if tally.unsettled > 0 {
                    println!("          {:>5} more suspects were not looked at", tally.unsettled);
                }
                for Shown { case, alike, fault, small, note } in shown {
                    let title = if *fault { "the reference fails" } else { "they differ" };
                    println!(
                        "\n  {title} ({alike} alike; --seeds {seed} --sets {} --services {})",
                        set.name, options.services
                    );
                    print!("{}", describe(case));
                    if !note.is_empty() {
                        println!("  note:      {note}");
                    }
                    match small {
                        Some(objects) => {
                            println!("  smallest cluster that shows it ({} objects):", objects.len());
                            for object in objects {
                                println!("    {object}");
                            }
                        }
                        None => println!("  (on the whole cluster of the seed)"),
                    }
                }
            }
        }
    }

    /// Prints the last lines; true when nothing differs.
    fn print(&self, options: &Options) -> bool {
        for (name, (count, example)) in &self.tally.accepted {
            println!(
                "accepted {count} times: {name} (tests/DIFFERENCES.md), as {}",
                example.to_string().replace('\n', " ")
            );
        }
        let accepted: usize = self.tally.accepted.values().map(|(count, _)| count).sum();
        let alike = self.tally.agree + accepted;
        let good = self.differ == 0 && self.faults == 0 && self.failed == 0 && self.tally.questions > 0;
        if !self.skipped.is_empty() {
            let names: std::collections::BTreeSet<_> = self.skipped.iter().collect();
            println!("skipped: {}", names.into_iter().cloned().collect::<Vec<_>>().join(", "));
        }
        // Rounded down, so that 100 % means all.
        let hundredths = (alike * 10_000).checked_div(self.tally.questions).unwrap_or(0);
        println!(
            "conformance: {} option sets, seeds {}-{}, {} questions: {}.{:02} % as CoreDNS v1.15.0 or by a decided difference \
             ({} alike, {accepted} decided), {} reference faults, {} differ, {} sets failed, {} skipped",
            self.sets.len(),
            options.seeds.start(),
            options.seeds.end(),
            self.tally.questions,
            hundredths / 100,
            hundredths % 100,
            self.tally.agree,
            self.faults,
            self.differ,
            self.failed,
            self.skipped.len(),
        );
        good && (self.skipped.is_empty() || !options.strict)
    }
}

/// Whether it is a message that is a query (and not a response, which servers ignore).
fn is_a_question(query: &Query) -> bool {
    Message::parse(&query.wire).is_ok_and(|message| message.flags & super::wire::flag::QR == 0)
}
