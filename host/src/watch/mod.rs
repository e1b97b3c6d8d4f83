//! Watches a cluster: keeps an engine equal to what the Kubernetes API server says.
//!
//! ```text
//! API server ─ client, limits ─ api (requests, lines) ─ decode (objects) ─ reflect (one task a kind) ─▶ apply (one
//!                                                                          thread an engine) ─▶ SharedEngine
//! ```

mod api;
pub mod apply;
pub mod backoff;
mod client;
mod decode;
pub mod limits;
mod reflect;
mod trouble;

pub use api::Patience;
pub use client::{ApiClient, ClientError};
pub use trouble::Troubles;

use api::{Api, Resource};
use backoff::Backoff;
use limits::Limits;
use reflect::Reflector;
use rustk8s::config::Config;
use rustk8s::object::Kind;
use rustk8s::selector::LabelSelector;
use rustk8s::shared::SharedEngine;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a cluster is watched. The default is for production; tests are less patient.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Waits for the server.
    pub patience: Patience,
    /// Waits between attempts.
    pub backoff: Backoff,
}

impl Default for WatchOptions {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(15));
        Self { patience: Patience::default(), backoff }
    }
}

/// The running watches of an engine. Dropping it ends them.
pub struct Watches {
    _tasks: JoinSet<()>,
    synced: watch::Receiver<bool>,
    troubles: Arc<Troubles>,
}

impl Watches {
    /// Starts to watch the kinds that `engine` needs; `config` is what it was made with. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        engine: &Arc<SharedEngine>,
        config: &Config,
        client: &ApiClient,
        limits: Limits,
        options: &WatchOptions,
    ) -> io::Result<Self> {
        let (changes, synced) = apply::start(Arc::clone(engine))?;
        let troubles = Arc::new(Troubles::new(&client.url));
        let api = Api { client: client.clone(), limits: Arc::new(limits), patience: options.patience };
        let kinds: Vec<Kind> = engine.load().kinds().collect();
        let mut tasks = JoinSet::new();
        for kind in kinds {
            let (changes, troubles) = (changes.clone(), Arc::clone(&troubles));
            let reflector =
                Reflector::new(resource(kind, config), api.clone(), changes, troubles, options.backoff.clone());
            tasks.spawn(reflector.run());
        }
        Ok(Self { _tasks: tasks, synced, troubles })
    }

    /// Whether every kind has been listed once.
    pub fn synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until every kind has been listed once.
    pub async fn wait_until_synced(&mut self) {
        // An error means that the writer has ended, which happens only when we are dropped.
        let _ = self.synced.wait_for(|synced| *synced).await;
    }

    /// What went wrong so far.
    pub fn troubles(&self) -> &Arc<Troubles> {
        &self.troubles
    }
}

/// The selectors are those of CoreDNS's informers (plugin/kubernetes/controller.go).
fn resource(kind: Kind, config: &Config) -> Resource {
    let labels = match kind {
        Kind::Namespace | Kind::ServiceImport => &config.namespace_labels,
        Kind::Service | Kind::EndpointSlice | Kind::Pod => &config.labels,
    };
    let fields = match kind {
        Kind::Pod => "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown",
        _ => "",
    };
    let labels = labels.as_deref().unwrap_or_default();
    // The engine was made from the same configuration, and so has read the selector already.
    let labels = LabelSelector::parse(labels).map_or_else(|_| labels.to_owned(), |selector| selector.to_string());
    Resource { kind, labels, fields }
}
