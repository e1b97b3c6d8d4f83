//! Watches: one task each, which reads the history at the pace of its client.
//!
//! ```text
//! Store (ring of events) ──cursor──▶ Pump ──4 chunks──▶ hyper ──▶ client
//! ```
//! Nothing else is buffered. A client that does not read holds its Pump up; when the ring forgets what the Pump has not
//! read, the connection is cut, as the API server does with a slow watcher.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    faults::Faults,
    list::CHUNK,
    object::{Stored, write_type},
    query::{ListOptions, Version},
    resource::Resource,
    selector::Filter,
    status::ApiError,
    store::{Batch, Change, Event},
};

/// Chunks that wait between a Pump and its connection.
const QUEUE: usize = 4;
/// Orders of the test that wait for a Pump.
const ORDERS: usize = 64;
/// Events that a Pump reads under one lock.
const BATCH: usize = 256;
/// How long a watch lasts when the client does not say, as the API server's `--min-request-timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// What a test tells an open watch.
#[derive(Debug, Clone)]
enum Order {
    Bookmark,
    Expire,
    Inject(Bytes),
}

/// An open watch, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWatch {
    /// Path of the request.
    pub path: String,
    /// Query of the request, as sent.
    pub query: String,
    /// User-Agent of the client.
    pub user_agent: String,
    /// Every event up to this resourceVersion was handed to the connection.
    pub delivered: u64,
}

/// Where a watch came from.
pub(crate) struct Origin {
    pub connection: u64,
    pub path: String,
    pub query: String,
    pub user_agent: String,
}

/// Every open watch.
#[derive(Default)]
pub(crate) struct Watches {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Entry>>>,
}

struct Entry {
    origin: Origin,
    resource: &'static Resource,
    delivered: AtomicU64,
    /// Not one more event, not even one that was read already.
    cut: AtomicBool,
    /// The same, but the connection stays open.
    silenced: AtomicBool,
    orders: mpsc::Sender<Order>,
}

impl Watches {
    fn entries(&self) -> Vec<Arc<Entry>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|entry| !entry.cut.load(Ordering::SeqCst)).cloned().collect()
    }

    /// The open watches, by path and query.
    pub fn list(&self) -> Vec<OpenWatch> {
        let mut list: Vec<_> = self
            .entries()
            .iter()
            .map(|entry| OpenWatch {
                path: entry.origin.path.clone(),
                query: entry.origin.query.clone(),
                user_agent: entry.origin.user_agent.clone(),
                delivered: entry.delivered.load(Ordering::Acquire),
            })
            .collect();
        list.sort_by(|a, b| (&a.path, &a.query).cmp(&(&b.path, &b.query)));
        list
    }

    /// Whether every open watch was handed every event of its resource. `last_change` gives the resourceVersion of the
    /// last event.
    pub fn caught_up(&self, last_change: impl Fn(&Resource) -> u64) -> bool {
        self.entries().iter().all(|entry| entry.delivered.load(Ordering::Acquire) >= last_change(entry.resource))
    }

    /// Marks every watch as cut and gives the connections to close.
    pub fn cut(&self) -> Vec<u64> {
        let entries = self.entries();
        for entry in &entries {
            entry.cut.store(true, Ordering::SeqCst);
        }
        entries.iter().map(|entry| entry.origin.connection).collect()
    }

    /// No watch that is open now sends anything any more, though it stays open.
    pub fn silence(&self) -> usize {
        let entries = self.entries();
        for entry in &entries {
            entry.silenced.store(true, Ordering::SeqCst);
        }
        entries.len()
    }

    /// Sends each open watch a BOOKMARK, if it allows them.
    pub fn bookmark(&self) -> usize {
        self.order(None, &Order::Bookmark)
    }

    /// Ends each open watch by an ERROR event with 410.
    pub fn expire(&self) -> usize {
        self.order(None, &Order::Expire)
    }

    /// Puts a line into each open watch of a resource.
    pub fn inject(&self, resource: &'static Resource, line: Vec<u8>) -> usize {
        self.order(Some(resource), &Order::Inject(Bytes::from(line)))
    }

    fn order(&self, only: Option<&'static Resource>, order: &Order) -> usize {
        self.entries()
            .iter()
            .filter(|entry| only.is_none_or(|resource| resource.index == entry.resource.index))
            .filter(|entry| entry.orders.try_send(order.clone()).is_ok())
            .count()
    }
}

/// What a watch starts with.
struct Start {
    cursor: u64,
    /// Objects to be sent as ADDED first.
    initial: Vec<Arc<Stored>>,
    /// The BOOKMARK that ends the initial events is due, with this resourceVersion.
    end_of_initial: Option<u64>,
    /// Events up to this resourceVersion are not for this watch.
    after: u64,
}

/// Starts a watch and gives its chunks. The options were validated.
pub(crate) fn open(
    shared: &Arc<Shared>,
    resource: &'static Resource,
    version: &'static str,
    options: ListOptions,
    origin: Origin,
) -> Result<mpsc::Receiver<Bytes>, ApiError> {
    let faults = shared.faults.subscribe();
    let mut changes = shared.changes[resource.index].subscribe();
    changes.mark_changed();
    let start = start(shared, resource, &options, &faults.borrow())?;
    let (chunks_in, chunks) = mpsc::channel(QUEUE);
    let (orders_in, orders) = mpsc::channel(ORDERS);
    let entry = Arc::new(Entry {
        origin,
        resource,
        delivered: AtomicU64::new(0),
        cut: AtomicBool::new(false),
        silenced: AtomicBool::new(false),
        orders: orders_in,
    });
    let id = shared.watches.next.fetch_add(1, Ordering::Relaxed);
    shared.watches.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&entry));
    let registration = Registration { shared: Arc::clone(shared), id };
    let next_bookmark = Instant::now() + interval(&faults.borrow());
    let pump = Pump {
        registration,
        entry,
        resource,
        version,
        filter: options.filter,
        cursor: start.cursor,
        initial: start.initial.into_iter(),
        end_of_initial: start.end_of_initial,
        after: start.after,
        delivered: 0,
        bookmarks: options.bookmarks,
        bookmark_due: false,
        next_bookmark,
        deadline: Instant::now() + options.timeout.unwrap_or(DEFAULT_TIMEOUT),
        chunks: chunks_in,
        orders,
        faults,
        changes,
    };
    tokio::spawn(pump.run());
    Ok(chunks)
}

/// The lines of a watch that cannot start, as the watch cache answers: status 200 and one ERROR event.
pub(crate) fn failed(error: &ApiError) -> mpsc::Receiver<Bytes> {
    let (chunks_in, chunks) = mpsc::channel(1);
    // The channel has room for one.
    let _ = chunks_in.try_send(Bytes::from(error.event()));
    chunks
}

fn start(
    shared: &Shared,
    resource: &'static Resource,
    options: &ListOptions,
    faults: &Faults,
) -> Result<Start, ApiError> {
    let store = shared.store();
    let now = |initial: bool, end: bool| {
        let snapshot = store.snapshot(resource, &options.filter.namespace);
        let mut objects = if initial { snapshot.objects } else { Vec::new() };
        objects.retain(|object| options.filter.matches(object));
        Start {
            cursor: store.cursor_now(resource),
            initial: objects,
            end_of_initial: (end && options.bookmarks).then_some(snapshot.version),
            after: snapshot.version,
        }
    };
    let send_initial_events = options.send_initial_events.filter(|_| !faults.ignore_send_initial_events);
    match (send_initial_events, options.version) {
        (Some(true), Version::At(version)) if version > store.version() => {
            Err(ApiError::too_large_version(version, store.version()))
        }
        (Some(true), _) => Ok(now(true, true)),
        (Some(false), Version::Unset | Version::Any) => Ok(now(false, false)),
        (None, Version::Unset | Version::Any) => Ok(now(true, false)),
        (Some(false) | None, Version::At(version)) => {
            let cursor =
                store.cursor_after(resource, version).map_err(|expired| ApiError::too_old(version, expired.oldest))?;
            // A resourceVersion from the future: its events are still to come.
            Ok(Start { cursor, initial: Vec::new(), end_of_initial: None, after: version })
        }
    }
}

/// The time between bookmarks: never none, which would be a busy loop.
fn interval(faults: &Faults) -> Duration {
    faults.bookmark_interval.clamp(Duration::from_millis(1), DEFAULT_TIMEOUT)
}

/// Takes the watch off the list when its Pump ends, however it ends.
struct Registration {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.watches.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// How a watch ends.
enum End {
    /// The last chunk is sent; the connection lives on.
    Finished,
    /// The connection is closed in the middle.
    Cut,
}

/// What comes next.
enum Step {
    /// These bytes, after which `delivered` is known to be at least this.
    Chunk(Vec<u8>, u64),
    /// The watch has seen all up to this resourceVersion.
    Idle(u64),
    Lagged,
}

struct Pump {
    registration: Registration,
    entry: Arc<Entry>,
    resource: &'static Resource,
    version: &'static str,
    filter: Filter,
    cursor: u64,
    initial: std::vec::IntoIter<Arc<Stored>>,
    end_of_initial: Option<u64>,
    after: u64,
    delivered: u64,
    bookmarks: bool,
    bookmark_due: bool,
    next_bookmark: Instant,
    deadline: Instant,
    chunks: mpsc::Sender<Bytes>,
    orders: mpsc::Receiver<Order>,
    faults: watch::Receiver<Faults>,
    changes: watch::Receiver<u64>,
}

impl Pump {
    async fn run(mut self) {
        if matches!(self.pump().await, End::Cut) {
            self.registration.shared.connections.close(self.entry.origin.connection);
        }
    }

    async fn pump(&mut self) -> End {
        loop {
            // Marked as seen before the store is read: what comes after wakes us up.
            self.changes.mark_unchanged();
            let step = self.step();
            // Looked at after the events were read: one that was written after an order to stop is never sent.
            let Some(waited) = self.wait_while_silent().await else { return End::Finished };
            if self.entry.cut.load(Ordering::SeqCst) {
                return End::Cut;
            }
            match step {
                Step::Chunk(bytes, delivered) => {
                    if let Some(end) = self.send(bytes).await {
                        return end;
                    }
                    self.deliver(delivered);
                }
                Step::Lagged => return End::Cut,
                // Much may have happened meanwhile.
                Step::Idle(_) if waited => {}
                Step::Idle(version) => {
                    self.deliver(version);
                    if let Some(end) = self.idle(version).await {
                        return end;
                    }
                }
            }
        }
    }

    fn deliver(&mut self, version: u64) {
        self.delivered = self.delivered.max(version);
        self.entry.delivered.store(self.delivered, Ordering::Release);
    }

    fn is_silent(&self) -> bool {
        self.entry.silenced.load(Ordering::SeqCst) || self.faults.borrow().silent_watches
    }

    /// Waits until events may be sent, and tells whether that took a wait. None when the client has gone.
    async fn wait_while_silent(&mut self) -> Option<bool> {
        let mut waited = false;
        loop {
            self.faults.mark_unchanged();
            if !self.is_silent() {
                return Some(waited);
            }
            waited = true;
            tokio::select! {
                changed = self.faults.changed() => changed.ok()?,
                () = self.chunks.closed() => return None,
            }
        }
    }

    /// Takes the next bytes from the initial objects or from the history.
    fn step(&mut self) -> Step {
        let mut chunk = Vec::new();
        if !self.initial.as_slice().is_empty() {
            while chunk.len() < CHUNK {
                let Some(object) = self.initial.next() else { break };
                self.write_event(&mut chunk, "ADDED", &object, object.version);
            }
            return Step::Chunk(chunk, 0);
        }
        if let Some(version) = self.end_of_initial.take() {
            self.write_bookmark(&mut chunk, version, true);
            return Step::Chunk(chunk, version);
        }
        let batch = self.registration.shared.store().read(self.resource, self.cursor, BATCH);
        let Batch::Events { events, version } = batch else { return Step::Lagged };
        if events.is_empty() {
            return Step::Idle(version);
        }
        let mut delivered = self.delivered;
        for event in events {
            self.cursor += 1;
            delivered = event.object.version;
            self.write_change(&mut chunk, &event);
            if chunk.len() >= CHUNK {
                break;
            }
        }
        Step::Chunk(chunk, delivered)
    }

    /// The event of a change as this watch sees it: an object that begins to match is added, one that ceases to match is
    /// deleted, with its last matching state and the resourceVersion of the change.
    fn write_change(&self, chunk: &mut Vec<u8>, event: &Event) {
        let object = &event.object;
        if object.version <= self.after {
            return;
        }
        let before = event.previous.as_ref().filter(|previous| self.filter.matches(previous));
        let now = event.change != Change::Deleted && self.filter.matches(object);
        match (before, now) {
            (None, true) => self.write_event(chunk, "ADDED", object, object.version),
            (Some(_), true) => self.write_event(chunk, "MODIFIED", object, object.version),
            (Some(before), false) => self.write_event(chunk, "DELETED", before, object.version),
            (None, false) => {}
        }
    }

    fn write_event(&self, chunk: &mut Vec<u8>, event_type: &str, object: &Stored, version: u64) {
        chunk.extend_from_slice(br#"{"type":""#);
        chunk.extend_from_slice(event_type.as_bytes());
        chunk.extend_from_slice(br#"","object":"#);
        object.write(chunk, self.version, version);
        chunk.extend_from_slice(b"}\n");
    }

    /// A BOOKMARK: an empty object of the kind, with nulls where the API server has them.
    fn write_bookmark(&self, chunk: &mut Vec<u8>, version: u64, end_of_initial: bool) {
        chunk.extend_from_slice(br#"{"type":"BOOKMARK","object":{"#);
        write_type(chunk, self.resource, self.version, self.resource.kind);
        let annotations = if end_of_initial { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        let metadata =
            format!(r#","metadata":{{"resourceVersion":"{version}","creationTimestamp":null{annotations}}}"#);
        chunk.extend_from_slice(metadata.as_bytes());
        chunk.extend_from_slice(self.resource.empty_tail.as_bytes());
        chunk.extend_from_slice(b"}}\n");
    }

    /// Hands bytes to the connection. Meanwhile looks whether the history runs away.
    async fn send(&mut self, bytes: Vec<u8>) -> Option<End> {
        if bytes.is_empty() {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                permit = self.chunks.reserve() => {
                    return match permit {
                        Ok(permit) => {
                            permit.send(Bytes::from(bytes));
                            None
                        }
                        Err(_) => Some(End::Finished),
                    };
                }
                changed = self.changes.changed() => {
                    if changed.is_err() || self.registration.shared.store().lagged(self.resource, self.cursor) {
                        return Some(End::Cut);
                    }
                }
            }
        }
    }

    /// The watch has seen all up to `version`: waits for more, or for the time of a bookmark or of the end.
    async fn idle(&mut self, version: u64) -> Option<End> {
        let over = Instant::now() >= self.deadline;
        if self.bookmarks && (self.bookmark_due || over) {
            self.bookmark_due = false;
            let mut chunk = Vec::new();
            self.write_bookmark(&mut chunk, version, false);
            if let Some(end) = self.send(chunk).await {
                return Some(end);
            }
        }
        if over {
            return Some(End::Finished);
        }
        let bookmark = async { if self.bookmarks { sleep_until(self.next_bookmark).await } else { pending().await } };
        tokio::select! {
            changed = self.changes.changed() => changed.is_err().then_some(End::Cut),
            changed = self.faults.changed() => {
                // The interval may be another one now.
                self.next_bookmark = Instant::now() + interval(&self.faults.borrow());
                changed.is_err().then_some(End::Cut)
            }
            order = self.orders.recv() => self.obey(order?).await,
            () = bookmark => {
                self.bookmark_due = true;
                self.next_bookmark = Instant::now() + interval(&self.faults.borrow());
                None
            }
            () = sleep_until(self.deadline) => None,
            () = self.chunks.closed() => Some(End::Finished),
        }
    }

    async fn obey(&mut self, order: Order) -> Option<End> {
        if self.is_silent() {
            return None;
        }
        match order {
            Order::Bookmark => {
                self.bookmark_due = true;
                None
            }
            Order::Inject(line) => self.send(line.to_vec()).await,
            Order::Expire => {
                let error = ApiError::expired("The resourceVersion for the provided watch is too old.");
                self.send(error.event()).await.or(Some(End::Finished))
            }
        }
    }
}
