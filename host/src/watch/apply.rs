//! The one writer of an engine: takes the changes of all watches, in order, and applies what is ready at once.

use rustk8s::object::{Event, Kind};
use rustk8s::shared::SharedEngine;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// Changes that may wait. A list that comes faster than it is applied waits here, and then at the API server.
const QUEUE: usize = 4096;
/// Changes that are published together at most: readers see none of them before all are applied.
const BATCH: usize = 1024;

/// A change for an engine.
#[derive(Clone, Debug)]
pub enum Change {
    /// A list of a kind begins.
    BeginReplace(Kind),
    /// An object has changed, or is in the list that began.
    Event(Event),
    /// An object of the list cannot be read: what is held of it stays.
    Keep {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The list is complete.
    EndReplace(Kind),
}

/// The end of the queue that watches write to. Cheap to clone.
pub type Changes = mpsc::Sender<Change>;

/// Starts the thread that applies changes. It ends when all [`Changes`] are dropped.
///
/// The receiver becomes `true` once every kind is synced.
///
/// # Errors
/// The system has no thread left.
pub fn start(engine: Arc<SharedEngine>) -> std::io::Result<(Changes, watch::Receiver<bool>)> {
    let (changes, queue) = mpsc::channel(QUEUE);
    let (synced, is_synced) = watch::channel(engine.load().synced());
    let run = move || apply_all(&engine, queue, &synced);
    std::thread::Builder::new().name("apply".to_owned()).spawn(run)?;
    Ok((changes, is_synced))
}

fn apply_all(engine: &SharedEngine, mut queue: mpsc::Receiver<Change>, synced: &watch::Sender<bool>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
        let now = unix_seconds();
        engine.update(|engine| {
            for change in batch.drain(..) {
                match change {
                    Change::BeginReplace(kind) => engine.begin_replace(kind),
                    Change::Event(event) => engine.apply(event, now),
                    Change::Keep { kind, namespace, name } => engine.keep(kind, &namespace, &name),
                    Change::EndReplace(kind) => engine.end_replace(kind, now),
                }
            }
        });
        let is_synced = engine.load().synced();
        synced.send_if_modified(|value| std::mem::replace(value, is_synced) != is_synced);
    }
}

/// The time, as serials of zones have it. 0 before 1970, and the last 32 bits after 2106: serials wrap (RFC 1982).
pub fn unix_seconds() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32)
}
