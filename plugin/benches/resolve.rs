//! From a packet to its reply: [`Query::read`](rustk8s::wire::Query::read) and
//! [`Snapshot::resolve`](rustk8s::Snapshot::resolve), by kind of query, by size of the cluster, and with one name or any.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use divan::Bencher;
use rustk8s::Engine;
use rustk8s::shared::SharedEngine;
use std::fmt;
use std::sync::OnceLock;
use support::{Asker, Case, Cluster, Draw, packets};

const SIZES: [usize; 3] = [100, 10_000, 100_000];

fn main() {
    divan::main();
}

/// The clusters are large: each is built once.
fn engine(size: usize) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; SIZES.len()] = [const { OnceLock::new() }; SIZES.len()];
    let place = SIZES.iter().position(|&known| known == size).unwrap();
    ENGINES[place].get_or_init(|| Cluster::new(size).engine())
}

/// A row and a column of the table.
#[derive(Clone, Copy)]
struct Cell {
    case: Case,
    size: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @ {}", self.case, self.size)
    }
}

fn cells() -> impl Iterator<Item = Cell> {
    Case::ALL.into_iter().flat_map(|case| SIZES.map(|size| Cell { case, size }))
}

fn resolve(bencher: Bencher, cell: &Cell, draw: Draw) {
    let engine = engine(cell.size);
    let mut packets = packets(cell.case, Cluster::new(cell.size), draw, engine);
    let mut asker = Asker::default();
    bencher.bench_local(|| asker.ask(engine, packets.next()));
}

#[divan::bench(args = cells(), sample_size = 512)]
fn hot(bencher: Bencher, cell: &Cell) {
    resolve(bencher, cell, Draw::Hot);
}

#[divan::bench(args = cells(), sample_size = 512)]
fn random(bencher: Bencher, cell: &Cell) {
    resolve(bencher, cell, Draw::Random);
}

/// With the latest snapshot taken anew for each query, as a server without batches does.
#[divan::bench(args = SIZES, sample_size = 512)]
fn shared(bencher: Bencher, size: usize) {
    let shared = SharedEngine::new(Cluster::new(size).engine());
    let mut packets = packets(Case::ClusterIpA, Cluster::new(size), Draw::Hot, &shared.load());
    let mut asker = Asker::default();
    bencher.bench_local(|| asker.ask(&shared.load(), packets.next()));
}
