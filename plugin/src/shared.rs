//! One engine for many threads: readers that never wait, a writer at a time.

use crate::engine::{Engine, Snapshot};
use alloc::sync::Arc;
use arc_swap::{ArcSwap, Guard};
use std::sync::{Mutex, PoisonError};

/// An [`Engine`] behind snapshots.
///
/// The writer works on its own state and publishes it as a whole; what it has not touched is shared with the snapshot
/// before. Readers take the latest snapshot without a lock, at the cost of an atomic load or two.
#[derive(Debug)]
pub struct SharedEngine {
    writer: Mutex<Engine>,
    published: ArcSwap<Snapshot>,
}

impl SharedEngine {
    /// Takes an engine in and publishes its state.
    pub fn new(engine: Engine) -> Self {
        let published = ArcSwap::from_pointee(engine.snapshot());
        Self { writer: Mutex::new(engine), published }
    }

    /// The latest published state. Never waits. Take one for each query, or for a batch of them, and let go of it:
    /// a snapshot that is kept keeps what has been replaced since.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.published.load()
    }

    /// Applies changes: `change` sees the engine alone, and readers see all that it did once it returns.
    ///
    /// Waits for other writers. A panic in `change` leaves what it had done so far, unpublished until the next change:
    /// every event is applied as a whole, so that state is sound.
    pub fn update<R>(&self, change: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut engine);
        self.published.store(Arc::new(engine.snapshot()));
        result
    }
}
