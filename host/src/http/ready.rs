//! `ready`: `/ready` answers 200 once all plugins are ready, and 503 with their names before.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use rustk8s::shared::SharedEngine;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Asks a plugin whether it is ready.
type Check = Box<dyn Fn() -> bool + Send + Sync>;

/// The readiness of the process: of all its server blocks, as in CoreDNS. Cheap to clone.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    /// Plugins are asked again and again, even once they were ready.
    continuously: bool,
    stopping: AtomicBool,
    waiting: Mutex<Vec<(&'static str, Check)>>,
}

impl Readiness {
    /// Nothing to wait for yet.
    pub fn new(continuously: bool) -> Self {
        Self(Arc::new(Inner { continuously, stopping: AtomicBool::new(false), waiting: Mutex::default() }))
    }

    /// Waits for an engine to be synced.
    pub fn wait_for_engine(&self, engine: Arc<SharedEngine>) {
        self.wait_for("kubernetes", Box::new(move || engine.load().synced()));
    }

    fn wait_for(&self, plugin: &'static str, check: Check) {
        self.lock().push((plugin, check));
    }

    /// The process stops: it is not ready any more.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// The plugins that are not ready, each once, by name.
    pub fn not_ready(&self) -> BTreeSet<&'static str> {
        let mut waiting = self.lock();
        if self.0.continuously {
            return waiting.iter().filter(|(_, check)| !check()).map(|(plugin, _)| *plugin).collect();
        }
        // What was ready once is not asked again: an API server that goes away later must not take answers away.
        waiting.retain(|(_, check)| !check());
        waiting.iter().map(|(plugin, _)| *plugin).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Check)>> {
        // A list of checks is sound whatever happened to another holder.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes of the endpoint.
    pub fn routes(&self) -> Router {
        let readiness = self.clone();
        Router::new().route("/ready", get(move || async move { readiness.answer() }))
    }

    fn answer(&self) -> (StatusCode, String) {
        if self.0.stopping.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "Shutting down".to_owned());
        }
        let missing: Vec<_> = self.not_ready().into_iter().collect();
        if missing.is_empty() {
            return (StatusCode::OK, "OK".to_owned());
        }
        let missing = missing.join(",");
        tracing::info!(plugin = "ready", "Plugins not ready: \"{missing}\"");
        (StatusCode::SERVICE_UNAVAILABLE, missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(readiness: &Readiness, plugin: &'static str) -> Arc<AtomicBool> {
        let switch = Arc::new(AtomicBool::new(false));
        let check = Arc::clone(&switch);
        readiness.wait_for(plugin, Box::new(move || check.load(Ordering::Relaxed)));
        switch
    }

    #[test]
    fn ready_once_is_ready_for_good_unless_asked_continuously() {
        for continuously in [false, true] {
            let readiness = Readiness::new(continuously);
            let (one, two) = (switch(&readiness, "kubernetes"), switch(&readiness, "kubernetes"));
            assert_eq!(readiness.answer(), (StatusCode::SERVICE_UNAVAILABLE, "kubernetes".to_owned()));
            one.store(true, Ordering::Relaxed);
            assert_eq!(readiness.answer().0, StatusCode::SERVICE_UNAVAILABLE);
            two.store(true, Ordering::Relaxed);
            assert_eq!(readiness.answer(), (StatusCode::OK, "OK".to_owned()));
            two.store(false, Ordering::Relaxed);
            let after = if continuously { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            assert_eq!(readiness.answer().0, after);
            two.store(true, Ordering::Relaxed);
            readiness.stop();
            assert_eq!(readiness.answer(), (StatusCode::SERVICE_UNAVAILABLE, "Shutting down".to_owned()));
        }
    }
}
