//! Keeps one kind of an engine equal to the API server.
//!
//! ```text
//!   ┌────────── version too old (410) ──────────┐
//!   ▼                                            │
//! replace: streaming list, else pages ──▶ follow: watch from the last version
//!   │  ▲                                         │  ▲
//!   └──┘ failed: wait, begin again               └──┘ ended: go on; failed: wait, go on
//! ```
//! What is held is served all the while: a list is marked and swept, never cleared.

use super::api::{Api, ApiError, Resource, WatchStream};
use super::apply::{Change, Changes};
use super::backoff::Backoff;
use super::decode::{self, WatchLine};
use super::trouble::Troubles;
use crate::random::random_below;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Objects of a page, as client-go asks for.
const PAGE: u32 = 500;
/// The shortest that the server is asked to keep a watch open, in seconds. Up to a quarter more is added at random, so
/// that watches do not all end at once.
const WATCH_SECONDS: u32 = 240;
/// A watch that ends sooner than this was no use: the next waits.
const SHORT_WATCH: Duration = Duration::from_secs(1);
/// After a watch that lasted this long, waits begin at the shortest again.
const HEALTHY_WATCH: Duration = Duration::from_secs(10);
/// The longest that a server's `Retry-After` is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The watch of one kind.
pub struct Reflector {
    resource: Resource,
    api: Api,
    changes: Changes,
    troubles: Arc<Troubles>,
    backoff: Backoff,
    /// The server has refused streaming lists.
    no_streaming_list: bool,
    /// The present step got what it asked for.
    worked: bool,
    /// The present step was a list by pages: its watch follows at once.
    listed_pages: bool,
}

/// The engine has gone: there is nothing to keep equal.
struct Closed;

/// Why a step ended before its time.
enum Failure {
    Api(ApiError),
    Closed,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<Closed> for Failure {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Reflector {
    /// A watch that has not started.
    pub fn new(resource: Resource, api: Api, changes: Changes, troubles: Arc<Troubles>, backoff: Backoff) -> Self {
        let (no_streaming_list, worked, listed_pages) = (false, false, false);
        Self { resource, api, changes, troubles, backoff, no_streaming_list, worked, listed_pages }
    }

    /// Runs until the engine is gone.
    pub async fn run(mut self) {
        // The version that a watch goes on from; none before the first list and after a 410.
        let mut version: Option<String> = None;
        loop {
            let started = Instant::now();
            (self.worked, self.listed_pages) = (false, false);
            let result = match version.as_mut() {
                None => self.replace(&mut version).await,
                Some(version) => self.follow(version).await,
            };
            let lasted = started.elapsed();
            if self.worked && lasted >= HEALTHY_WATCH {
                self.backoff.reset();
            }
            let error = match result {
                Err(Failure::Closed) => return,
                // Nothing was wrong; only a server that ends every watch at once is not asked at once.
                Ok(()) if lasted >= SHORT_WATCH || self.listed_pages => continue,
                Ok(()) => None,
                Err(Failure::Api(error)) => Some(error),
            };
            let mut wait = self.backoff.next_wait();
            match error {
                None => {}
                Some(error) if error.is_expired() => {
                    // No trouble, but the way that watches age.
                    version = None;
                }
                Some(error) if version.is_none() && !self.no_streaming_list && error.refuses_streaming_list() => {
                    self.no_streaming_list = true;
                    continue;
                }
                Some(error) => {
                    self.troubles.failed(&self.resource, &error);
                    if let ApiError::Refused(_, Some(retry_after)) = error {
                        wait = wait.max(retry_after.min(MAX_RETRY_AFTER));
                    }
                }
            }
            sleep(wait).await;
        }
    }

    fn works(&mut self) {
        self.worked = true;
        self.troubles.works(self.resource.kind);
    }

    async fn send(&self, change: Change) -> Result<(), Closed> {
        self.changes.send(change).await.map_err(|_| Closed)
    }

    /// Leaves an object out that cannot be read. What is held of it is served on, also through a new list.
    async fn skip(&self, malformed: decode::Malformed) -> Result<(), Closed> {
        let kind = self.resource.kind;
        self.troubles.skipped(kind, &malformed);
        self.send(Change::Keep { kind, namespace: malformed.namespace, name: malformed.name }).await
    }

    /// Lists all objects. Sets `version` once the list is complete, and goes on with the changes where it can.
    async fn replace(&mut self, version: &mut Option<String>) -> Result<(), Failure> {
        if self.no_streaming_list {
            *version = Some(self.list().await?);
            self.listed_pages = true;
            self.works();
            return Ok(());
        }
        let mut stream = self.api.watch_list(&self.resource, watch_seconds()).await?;
        self.send(Change::BeginReplace(self.resource.kind)).await?;
        let mut last = String::new();
        loop {
            let line = stream.next(self.resource.kind, self.api.patience.initial_silence).await;
            match line {
                Ok(Some(WatchLine::Bookmark { version: at, initial_events_end: true })) => {
                    self.send(Change::EndReplace(self.resource.kind)).await?;
                    self.works();
                    let version = version.insert(at);
                    return self.read(stream, version).await;
                }
                Ok(Some(line)) => self.take(line, &mut last).await?,
                // An old server sends the objects and never says that these were all.
                Ok(None) | Err(ApiError::Silent) => {
                    self.no_streaming_list = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lists all objects page by page; returns the version of the list.
    async fn list(&mut self) -> Result<String, Failure> {
        let kind = self.resource.kind;
        let mut limit = PAGE;
        let mut token = String::new();
        self.send(Change::BeginReplace(kind)).await?;
        loop {
            let text = match self.api.list(&self.resource, limit, &token).await {
                Err(ApiError::PageTooLarge) if limit > 1 => {
                    limit = (limit / 4).max(1);
                    continue;
                }
                other => other?,
            };
            let page = decode::page(&text).map_err(|error| ApiError::Garbled(format!("a list: {error}")))?;
            for item in page.items {
                match decode::object(kind, item) {
                    Ok(object) => self.send(Change::Event(rustk8s::object::Event::Upsert(object))).await?,
                    Err(malformed) => self.skip(malformed).await?,
                }
            }
            if page.continue_token.is_empty() {
                if page.version.is_empty() {
                    return Err(ApiError::Garbled("a list without metadata.resourceVersion".to_owned()).into());
                }
                self.send(Change::EndReplace(kind)).await?;
                return Ok(page.version);
            }
            token = page.continue_token;
        }
    }

    /// Watches the changes after `version`, which follows them.
    async fn follow(&mut self, version: &mut String) -> Result<(), Failure> {
        let stream = self.api.watch(&self.resource, version, watch_seconds()).await?;
        self.works();
        self.read(stream, version).await
    }

    /// Reads a watch to its end.
    async fn read(&mut self, mut stream: WatchStream, version: &mut String) -> Result<(), Failure> {
        loop {
            match stream.next(self.resource.kind, self.api.patience.silence).await {
                Ok(Some(line)) => self.take(line, version).await?,
                // The watch is asked for again; if the server is away, that fails, and is told.
                Ok(None) | Err(ApiError::Unreachable(_) | ApiError::Silent) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands a change on. `version` becomes that of the change.
    async fn take(&mut self, line: WatchLine, version: &mut String) -> Result<(), Failure> {
        match line {
            WatchLine::Change(event) => {
                let (rustk8s::object::Event::Upsert(object) | rustk8s::object::Event::Delete(object)) = &event;
                if !object.meta().resource_version.is_empty() {
                    version.clone_from(&object.meta().resource_version);
                }
                self.send(Change::Event(event)).await?;
            }
            WatchLine::Malformed(malformed) => {
                if let Some(at) = &malformed.version {
                    version.clone_from(at);
                }
                self.skip(malformed).await?;
            }
            WatchLine::Bookmark { version: at, .. } => {
                if !at.is_empty() {
                    *version = at;
                }
            }
            WatchLine::Error(status) => return Err(ApiError::Refused(status, None).into()),
            WatchLine::Unknown => {}
        }
        Ok(())
    }
}

fn watch_seconds() -> u32 {
    // At most a quarter more: within u32.
    WATCH_SECONDS + random_below(u64::from(WATCH_SECONDS / 4)) as u32
}
