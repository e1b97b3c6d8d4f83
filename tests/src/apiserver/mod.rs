//! A Kubernetes API server for tests: lists and watches of what cluster DNS looks at, as a real one serves them, and the
//! faults that a real one has on a bad day.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use rustk8s_tests::apiserver::ApiServer;
//! let api = ApiServer::start().await?;
//! api.upsert(serde_json::json!({
//!     "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "ns"},
//!     "spec": {"clusterIP": "10.0.0.1"},
//! }));
//! println!("{}", api.kubeconfig()); // for a client under test
//! api.drop_watches();
//! # Ok(()) }
//! ```
//!
//! It runs on threads of its own, so that a test may block. It knows no schema: an object with a broken `spec` is stored
//! and served as it is, since clients must cope with it. Objects are serialised once, when they are written.
//! What a real API server has and this one has not: TLS, authentication, protobuf, compression, server-side printing,
//! strategic merge patches, finalizers, and controllers (a Namespace that is deleted leaves its objects).

mod connections;
pub mod control;
mod discovery;
mod faults;
mod list;
mod log;
pub mod manifest;
mod object;
mod query;
mod reply;
mod resource;
mod routes;
mod selector;
mod status;
mod store;
mod watch;
mod write;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{runtime::Runtime, sync::watch::Sender};

use self::{
    connections::{Connections, Listener},
    log::Log,
    object::{Draft, Stored},
    resource::{RESOURCES, Resource},
    store::{HistoryLimit, Precondition, Store, WriteConflict},
    watch::Watches,
};
pub use self::{faults::Faults, manifest::ManifestError, object::ObjectError, routes::RequestLog, watch::OpenWatch};

/// How often [`ApiServer::caught_up`] looks.
const LOOK: Duration = Duration::from_millis(2);

/// What an [`ApiServer`] is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on 127.0.0.1; 0 chooses a free one.
    pub port: u16,
    /// Events that each kind remembers: a watch can start that far back, and an open one can be that slow.
    pub history_events: usize,
    /// Bytes of events that each kind remembers, about.
    pub history_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 0, history_events: 100_000, history_bytes: 512 << 20 }
    }
}

/// The fixture. Dropping it closes the port and every connection.
pub struct ApiServer {
    shared: Arc<Shared>,
    listener: Listener,
    /// There until the drop.
    runtime: Option<Runtime>,
}

/// What connections, watches and the test share.
pub(crate) struct Shared {
    store: Mutex<Store>,
    /// Per resource: the resourceVersion of its last event, to wake its watches.
    changes: Vec<Sender<u64>>,
    faults: Sender<Faults>,
    connections: Connections,
    watches: Watches,
    log: Log,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watches of every resource that has changed.
    fn announce(&self, store: &Store) {
        for (resource, change) in RESOURCES.iter().zip(&self.changes) {
            let last = store.last_change(resource);
            change.send_if_modified(|seen| std::mem::replace(seen, last) != last);
        }
    }

    fn write(&self, draft: Draft, precondition: Precondition) -> Result<Arc<Stored>, WriteConflict> {
        let mut store = self.store();
        let written = store.write(draft, precondition);
        self.announce(&store);
        written
    }

    fn delete_if(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        condition: impl Fn(&Stored) -> bool,
    ) -> Result<Arc<Stored>, WriteConflict> {
        let mut store = self.store();
        let present = store.get(resource, namespace, name).ok_or(WriteConflict::Missing)?;
        if !condition(&present) {
            return Err(WriteConflict::Changed);
        }
        let deleted = store.delete(resource, namespace, name).ok_or(WriteConflict::Missing);
        self.announce(&store);
        deleted
    }
}

impl ApiServer {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts a server with options.
    #[expect(clippy::unused_async, reason = "what starting takes may change: callers are async anyway")]
    pub async fn start_with(options: Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("apiserver")
            .enable_all()
            .build()?;
        let limit = HistoryLimit { events: options.history_events, bytes: options.history_bytes };
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(limit)),
            changes: RESOURCES.iter().map(|_| Sender::new(0)).collect(),
            faults: Sender::new(Faults::default()),
            connections: Connections::default(),
            watches: Watches::default(),
            log: Log::default(),
        });
        let listener = match Listener::open(&shared, runtime.handle(), options.port) {
            Ok(listener) => listener,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self { shared, listener, runtime: Some(runtime) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The text of a kubeconfig whose only and current context, `fixture`, is this server.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fixture\n\
             clusters:\n- name: fixture\n  cluster:\n    server: {}\n\
             users:\n- name: fixture\n  user: {{}}\n\
             contexts:\n- name: fixture\n  context:\n    cluster: fixture\n    user: fixture\n",
            self.url()
        )
    }

    /// Creates or updates an object by its apiVersion, kind, namespace and name, and gives its resourceVersion. An
    /// update that changes nothing is no event.
    ///
    /// # Panics
    /// When the object cannot be stored; see [`Self::try_upsert`].
    #[track_caller]
    pub fn upsert(&self, object: Value) -> u64 {
        self.try_upsert(object).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`Self::upsert`], with an error where the object lacks what identifies it or is of a kind that is not served.
    pub fn try_upsert(&self, object: Value) -> Result<u64, ObjectError> {
        let draft = Draft::parse(object)?;
        let mut store = self.shared.store();
        let written = store.write(draft, Precondition::None);
        self.shared.announce(&store);
        // Without a precondition no write is refused.
        Ok(written.map_or(store.version(), |object| object.version))
    }

    /// Deletes an object by its kind (`Service` or `services`). False when there is none.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        Resource::by_kind(kind)
            .is_some_and(|resource| self.shared.delete_if(resource, namespace, name, |_| true).is_ok())
    }

    /// Makes `objects` the whole content, at once: deletes what is not among them, creates and updates the others, and
    /// says nothing of what stays the same.
    ///
    /// # Panics
    /// When an object cannot be stored; then nothing has changed. See [`Self::try_replace_all`].
    #[track_caller]
    pub fn replace_all(&self, objects: Vec<Value>) {
        self.try_replace_all(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// [`Self::replace_all`], with an error where an object cannot be stored; then nothing has changed.
    pub fn try_replace_all(&self, objects: Vec<Value>) -> Result<(), ObjectError> {
        let drafts = objects.into_iter().map(Draft::parse).collect::<Result<Vec<_>, _>>()?;
        let mut store = self.shared.store();
        store.replace_all(drafts);
        self.shared.announce(&store);
        Ok(())
    }

    /// Deletes every object.
    pub fn clear(&self) {
        let mut store = self.shared.store();
        store.replace_all(Vec::new());
        self.shared.announce(&store);
    }

    /// The resourceVersion of the last change.
    pub fn resource_version(&self) -> u64 {
        self.shared.store().version()
    }

    /// How many objects there are, by plural name.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let store = self.shared.store();
        RESOURCES.iter().map(|resource| (resource.plural, store.count(resource))).collect()
    }

    /// The faults that are set now.
    pub fn current_faults(&self) -> Faults {
        self.shared.faults.borrow().clone()
    }

    /// Sets the faults. On return they hold for everything that is asked or written from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.faults(|now| *now = faults);
    }

    /// Changes the faults: `api.faults(|f| f.list_status = Some(500))`.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
        if self.shared.faults.borrow().unavailable {
            self.shared.connections.close_all();
        }
    }

    /// Cuts the connection of every open watch in the middle, and gives their number. No change after this is sent to
    /// them.
    pub fn drop_watches(&self) -> usize {
        let connections = self.shared.watches.cut();
        for connection in &connections {
            self.shared.connections.close(*connection);
        }
        connections.len()
    }

    /// Makes every open watch fall silent for good while it stays open, and gives their number: a connection that died
    /// without a word. New watches are well. See also [`Faults::silent_watches`].
    pub fn silence_watches(&self) -> usize {
        self.shared.watches.silence()
    }

    /// Ends every open watch by an ERROR event with status 410, and gives their number.
    pub fn expire_watches(&self) -> usize {
        self.shared.watches.expire()
    }

    /// Sends a BOOKMARK to every open watch that allows them, without waiting for the interval. Gives the number of open
    /// watches.
    pub fn send_bookmarks(&self) -> usize {
        self.shared.watches.bookmark()
    }

    /// Puts a line into every open watch of a kind, whatever it is: an event that is not JSON, of no known type, or with
    /// an object that cannot be. Gives the number of watches; none when the kind is not served.
    pub fn inject(&self, kind: &str, line: &str) -> Option<usize> {
        Resource::by_kind(kind).map(|resource| self.shared.watches.inject(resource, format!("{line}\n").into_bytes()))
    }

    /// Forgets the history: watches and continue tokens from an older resourceVersion get 410 Gone. Open watches go on.
    pub fn compact(&self) {
        self.shared.store().compact();
    }

    /// Goes away: connections are cut, new ones refused. The port stays reserved.
    pub async fn stop_listening(&self) -> io::Result<()> {
        self.listener.stop().await;
        Ok(())
    }

    /// Comes back on the same port.
    pub async fn start_listening(&self) -> io::Result<()> {
        match &self.runtime {
            Some(runtime) => self.listener.start(runtime.handle()).await,
            None => Ok(()),
        }
    }

    /// The last requests (10,000 at most), oldest first.
    pub fn requests(&self) -> Vec<RequestLog> {
        self.shared.log.list()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// The open watches.
    pub fn open_watches(&self) -> Vec<OpenWatch> {
        self.shared.watches.list()
    }

    /// Whether every open watch was handed every change so far. What the client does with it takes its own time.
    pub fn is_caught_up(&self) -> bool {
        let store = self.shared.store();
        self.shared.watches.caught_up(|resource| store.last_change(resource))
    }

    /// Waits until every open watch was handed every change so far.
    pub async fn caught_up(&self) {
        while !self.is_caught_up() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.connections.close_all();
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: a drop may happen inside another runtime.
            runtime.shutdown_background();
        }
    }
}
