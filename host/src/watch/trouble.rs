//! What goes wrong with the API server, told once: when it begins, when it becomes something else, when it is over.

use super::api::{ApiError, Resource};
use super::decode::Malformed;
use rustk8s::object::Kind;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Malformed objects that are remembered as told. Beyond, they are only counted.
const MAX_TOLD: usize = 1000;

/// What an error means for the operator. Two errors of one class are one piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Class {
    Unreachable,
    Refused(u16),
    Garbled,
}

/// The troubles of the watches of one API server.
#[derive(Debug, Default)]
pub struct Troubles {
    url: String,
    present: Mutex<BTreeMap<Kind, Class>>,
    told: Mutex<HashSet<(Kind, String)>>,
    malformed: AtomicU64,
}

impl Troubles {
    /// No trouble yet with the server at `url`.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// Malformed objects that were skipped.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// A request failed. Returns the line that was logged, if it is news.
    pub fn failed(&self, resource: &Resource, error: &ApiError) -> Option<String> {
        let class = match error {
            ApiError::Unreachable(_) | ApiError::Silent => Class::Unreachable,
            ApiError::Refused(status, _) => Class::Refused(status.code),
            ApiError::Garbled(_) | ApiError::PageTooLarge => Class::Garbled,
        };
        let news = {
            let mut present = lock(&self.present);
            // A server that is away is one piece of news, whichever watch finds out; what it refuses differs by kind.
            let known = match class {
                Class::Refused(403 | 404) => present.get(&resource.kind) == Some(&class),
                _ => present.values().any(|other| *other == class),
            };
            present.insert(resource.kind, class);
            !known
        };
        if !news {
            return None;
        }
        let line = self.describe(resource, error);
        tracing::warn!(plugin = "kubernetes", "{line}");
        Some(line)
    }

    /// The watch of a kind works. Returns the line that was logged, if it is news.
    pub fn works(&self, kind: Kind) -> Option<String> {
        let over = {
            let mut present = lock(&self.present);
            present.remove(&kind).is_some() && present.is_empty()
        };
        let line = over.then(|| format!("the API server at {} answers again: all watches work", self.url))?;
        tracing::info!(plugin = "kubernetes", "{line}");
        Some(line)
    }

    fn describe(&self, resource: &Resource, error: &ApiError) -> String {
        let (url, plural) = (&self.url, resource.plural());
        let what_to_do = match error {
            ApiError::Unreachable(_) | ApiError::Silent => {
                "check the network and 'endpoint' or 'kubeconfig'".to_owned()
            }
            ApiError::Refused(status, _) => match status.code {
                401 => "check the token or certificate of the kubeconfig or service account".to_owned(),
                403 => format!(
                    "let the service account 'list' and 'watch' {plural}, as the ClusterRole system:coredns does"
                ),
                404 if resource.kind == Kind::ServiceImport => {
                    "install the Multi-Cluster Services CRDs, or remove 'multicluster'".to_owned()
                }
                404 => "check that 'endpoint' or 'kubeconfig' names a Kubernetes API server".to_owned(),
                429 => "the API server is overloaded".to_owned(),
                _ => "see the log of the API server".to_owned(),
            },
            ApiError::Garbled(_) | ApiError::PageTooLarge => {
                "check that 'endpoint' or 'kubeconfig' names a Kubernetes API server".to_owned()
            }
        };
        format!(
            "watching {plural} at {url} fails: {error}; {what_to_do}. Answers go on from what is known; the watch is tried again"
        )
    }

    /// An object was skipped. Returns the line that was logged: one for each object.
    pub fn skipped(&self, kind: Kind, malformed: &Malformed) -> Option<String> {
        self.malformed.fetch_add(1, Ordering::Relaxed);
        {
            let mut told = lock(&self.told);
            if told.len() >= MAX_TOLD || !told.insert((kind, malformed.display_name())) {
                return None;
            }
        }
        let line = format!("{kind} {}: skipped: {}", malformed.display_name(), malformed.problem);
        tracing::warn!(plugin = "kubernetes", "{line}");
        Some(line)
    }
}

/// The value behind a lock. The sections that hold one cannot panic halfway, so that a poisoned value is sound.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::decode::Status;
    use super::*;

    fn resource(kind: Kind) -> Resource {
        Resource { kind, labels: String::new(), fields: "" }
    }

    #[test]
    fn news_is_told_once() {
        let troubles = Troubles::new("http://server");
        let away = ApiError::Unreachable("connection refused".to_owned());
        let (pods, services) = (resource(Kind::Pod), resource(Kind::Service));
        let line = troubles.failed(&pods, &away).unwrap_or_default();
        assert!(
            line.starts_with("watching pods at http://server fails: connection refused; check the network"),
            "{line}"
        );
        assert_eq!(troubles.failed(&services, &away), None);
        assert_eq!(troubles.failed(&pods, &away), None);
        assert_eq!(troubles.works(Kind::Pod), None);
        assert!(troubles.works(Kind::Service).is_some());
        assert_eq!(troubles.works(Kind::Service), None);
        assert!(troubles.failed(&services, &away).is_some());
    }

    #[test]
    fn what_is_forbidden_is_told_for_each_kind() {
        let troubles = Troubles::new("u");
        let forbidden = ApiError::Refused(Status { code: 403, ..Status::default() }, None);
        for kind in [Kind::Pod, Kind::Service] {
            let line = troubles.failed(&resource(kind), &forbidden).unwrap_or_default();
            assert!(line.contains("'list' and 'watch'"), "{line}");
            assert_eq!(troubles.failed(&resource(kind), &forbidden), None);
        }
        // Another trouble of the same kind is news.
        let failing = ApiError::Refused(Status { code: 500, ..Status::default() }, None);
        assert!(troubles.failed(&resource(Kind::Pod), &failing).is_some());
    }

    #[test]
    fn malformed_objects_are_counted_and_each_is_told_once() {
        let troubles = Troubles::new("u");
        let malformed = |name: &str| Malformed {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            version: None,
            problem: "bad".to_owned(),
        };
        assert_eq!(troubles.skipped(Kind::Pod, &malformed("a")).as_deref(), Some("Pod n/a: skipped: bad"));
        assert_eq!(troubles.skipped(Kind::Pod, &malformed("a")), None);
        for number in 0..2 * MAX_TOLD {
            troubles.skipped(Kind::Pod, &malformed(&number.to_string()));
        }
        assert_eq!(troubles.malformed(), 2 + 2 * MAX_TOLD as u64);
        assert!(lock(&troubles.told).len() <= MAX_TOLD);
    }
}
