//! The public Kubernetes watch format: `{"type":"ADDED","object":{…}}`, one event a line, and lists.
//!
//! What `kubectl get services -A -o json --watch --output-watch-events` prints is a valid feed. An event that cannot be
//! read is reported and left out; it takes no other with it.

use crate::object::{Event, Kind, Object};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a line of a feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A change of an object.
    Event(Event),
    /// Nothing has changed up to this resource version.
    Bookmark {
        /// The version to go on from.
        resource_version: String,
    },
    /// The server ends the watch, for example with code 410 when the version asked for is too old.
    Error {
        /// An HTTP status code, 0 if the server gave none.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// An object of a kind that no answer needs.
    Unknown,
}

/// An object or event that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {message}")]
pub struct FeedError {
    /// Kind, namespace and name as far as they can be told, such as `Service dev/ent`.
    pub object: String,
    /// The object's namespace, empty if it has none or it cannot be told.
    pub namespace: String,
    /// The object's name, empty if it cannot be told.
    pub name: String,
    /// What is wrong.
    pub message: String,
}

impl FeedError {
    fn new(object: impl Into<String>, message: &dyn fmt::Display) -> Self {
        Self { object: object.into(), namespace: String::new(), name: String::new(), message: message.to_string() }
    }
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The parts that say what an object is. All text: an object may be malformed elsewhere.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    metadata: HeadMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMeta {
    name: String,
    namespace: String,
    resource_version: String,
}

/// Reads one event of a watch.
///
/// # Errors
/// The object's name and what is wrong, if the line is not JSON or the object is malformed.
pub fn read_event(line: &[u8]) -> Result<Item, FeedError> {
    let event: RawEvent<'_> = serde_json::from_slice(line).map_err(|error| FeedError::new("watch event", &error))?;
    let json = event.object.get();
    match &*event.kind {
        "ADDED" | "MODIFIED" => {
            Ok(read_object(json.as_bytes())?.map_or(Item::Unknown, |object| Item::Event(Event::Upsert(object))))
        }
        "DELETED" => {
            Ok(read_object(json.as_bytes())?.map_or(Item::Unknown, |object| Item::Event(Event::Delete(object))))
        }
        "BOOKMARK" => {
            let head: Head<'_> = serde_json::from_str(json).unwrap_or_default();
            Ok(Item::Bookmark { resource_version: head.metadata.resource_version })
        }
        "ERROR" => {
            #[derive(Default, Deserialize)]
            #[serde(default)]
            struct Status {
                code: u16,
                message: String,
            }
            let Status { code, message } = serde_json::from_str(json).unwrap_or_default();
            Ok(Item::Error { code, message })
        }
        other => Err(FeedError::new(
            "watch event",
            &format!("its type is '{other}', expected ADDED, MODIFIED, DELETED, BOOKMARK or ERROR"),
        )),
    }
}

/// Reads an object that says what it is by `apiVersion` and `kind`. `None`: it is of no kind that answers need.
///
/// # Errors
/// The object's name and what is wrong with it.
pub fn read_object(json: &[u8]) -> Result<Option<Object>, FeedError> {
    let head: Head<'_> = serde_json::from_slice(json).map_err(|error| FeedError::new("object", &error))?;
    let Some(kind) = Kind::of(&head.api_version, &head.kind) else { return Ok(None) };
    let object = Object::read(kind, &mut serde_json::Deserializer::from_slice(json));
    object.map(Some).map_err(|error| named(kind, head.metadata, &error))
}

/// Reads the items of a list of one kind, as the API server sends it: the items need not say their kind. Each is read
/// when it is asked for, so that no more than one is in memory; malformed ones are errors in their places.
///
/// # Errors
/// What is wrong with the list as a whole.
pub fn read_list(kind: Kind, json: &[u8]) -> Result<impl Iterator<Item = Result<Object, FeedError>> + '_, FeedError> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let list: List<'_> =
        serde_json::from_slice(json).map_err(|error| FeedError::new(format!("list of {kind}s"), &error))?;
    let read = move |item: &RawValue| {
        Object::read(kind, &mut serde_json::Deserializer::from_str(item.get())).map_err(|error| {
            let head: Head<'_> = serde_json::from_str(item.get()).unwrap_or_default();
            named(kind, head.metadata, &error)
        })
    };
    Ok(list.items.unwrap_or_default().into_iter().map(read))
}

fn named(kind: Kind, meta: HeadMeta, error: &serde_json::Error) -> FeedError {
    let HeadMeta { name, namespace, .. } = meta;
    let slash = if namespace.is_empty() { "" } else { "/" };
    FeedError { object: format!("{kind} {namespace}{slash}{name}"), namespace, name, message: error.to_string() }
}

impl crate::engine::Engine {
    /// Applies a feed: events of a watch, one a line. Empty lines are passed over.
    ///
    /// What cannot be read goes to `report`, an [`Item::Error`] too; everything else is applied. Bookmarks and objects
    /// of other kinds are ignored.
    pub fn feed(&mut self, lines: &[u8], now: u32, mut report: impl FnMut(FeedError)) {
        for line in lines.split(|&octet| octet == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match read_event(line) {
                Ok(Item::Event(event)) => self.apply(event, now),
                Ok(Item::Bookmark { .. } | Item::Unknown) => {}
                Ok(Item::Error { code, message }) => {
                    report(FeedError::new("watch", &format!("{message} (code {code})")));
                }
                Err(error) => report(error),
            }
        }
    }

    /// Replaces all objects of a kind by those of a list, and marks the kind as synced. Malformed items go to `report`;
    /// what was held under their names stays.
    ///
    /// # Errors
    /// What is wrong with the list as a whole; nothing has changed then.
    pub fn replace(
        &mut self,
        kind: Kind,
        list: &[u8],
        now: u32,
        mut report: impl FnMut(FeedError),
    ) -> Result<(), FeedError> {
        let items = read_list(kind, list)?;
        self.begin_replace(kind);
        for item in items {
            match item {
                Ok(object) => self.apply(Event::Upsert(object), now),
                Err(error) => {
                    self.keep(kind, &error.namespace, &error.name);
                    report(error);
                }
            }
        }
        self.end_replace(kind, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Config, Engine};
    use alloc::vec;

    #[test]
    fn events_are_read() {
        let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"ent","namespace":"dev","labels":null},"spec":{"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"ports":[{"port":80,"protocol":"TCP"}]}}"#;
        let event = |kind: &str, object: &str| format!("{{\"type\":\"{kind}\",\"object\":{object}}}");
        let Ok(Item::Event(Event::Upsert(Object::Service(read)))) = read_event(event("ADDED", service).as_bytes())
        else {
            panic!("not a Service");
        };
        assert_eq!((&*read.meta.name, &*read.meta.namespace, read.cluster_ips.len()), ("ent", "dev", 1));
        assert!(matches!(read_event(event("DELETED", service).as_bytes()), Ok(Item::Event(Event::Delete(_)))));
        let knative = r#"{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"name":"x"}}"#;
        assert_eq!(read_event(event("ADDED", knative).as_bytes()), Ok(Item::Unknown));
        let bookmark = r#"{"kind":"Service","metadata":{"resourceVersion":"42"}}"#;
        let expected = Item::Bookmark { resource_version: "42".to_string() };
        assert_eq!(read_event(event("BOOKMARK", bookmark).as_bytes()), Ok(expected));
        let gone = r#"{"kind":"Status","code":410,"message":"too old"}"#;
        let expected = Item::Error { code: 410, message: "too old".to_string() };
        assert_eq!(read_event(event("ERROR", gone).as_bytes()), Ok(expected));
    }

    #[test]
    fn a_malformed_object_is_named_and_takes_no_other_with_it() {
        let lines = r#"
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"dev"}}}
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":"dev"},"spec":{"clusterIP":"10.0.0.256"}}}
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"odd","namespace":"dev"},"spec":{"ports":7}}}
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"dev"}}}
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"good","namespace":"dev"},"spec":{"clusterIP":"10.0.0.2"}}}
{"type":"CHANGED","object":{}}
not json
"#;
        let mut engine = Engine::new(&Config::default()).unwrap();
        let mut errors = vec![];
        engine.feed(lines.as_bytes(), 1, |error| errors.push(error.to_string()));
        assert_eq!(errors.len(), 5, "{errors:#?}");
        assert!(
            errors[0].starts_with("Service dev/bad: spec.clusterIPs[0]: '10.0.0.256' is not an IP address"),
            "{errors:?}"
        );
        assert!(errors[1].starts_with("Service dev/odd: invalid type"), "{errors:?}");
        assert!(errors[2].contains("metadata.name: it is missing or empty"), "{errors:?}");
        assert_eq!(engine.counters().services, 1);
        assert_eq!(engine.counters().namespaces, 1);
    }

    #[test]
    fn a_list_replaces_what_was_held() {
        let mut engine = Engine::new(&Config::default()).unwrap();
        let list = |names: &[&str]| {
            let items: Vec<String> = names
                .iter()
                .map(|name| {
                    format!(r#"{{"metadata":{{"name":"{name}","namespace":"n"}},"spec":{{"clusterIP":"10.0.0.1"}}}}"#)
                })
                .collect();
            format!(r#"{{"kind":"ServiceList","items":[{}]}}"#, items.join(","))
        };
        assert!(!engine.kind_synced(Kind::Service));
        engine.replace(Kind::Service, list(&["a", "b", "c"]).as_bytes(), 1, |_| {}).unwrap();
        assert!(engine.kind_synced(Kind::Service));
        engine.replace(Kind::Service, list(&["b", "d"]).as_bytes(), 2, |_| {}).unwrap();
        assert_eq!(engine.counters().services, 2);
        let half_broken = br#"{"items":[{"metadata":{"name":"b","namespace":"n"},"spec":{"ports":1}}]}"#;
        let mut errors = 0;
        engine.replace(Kind::Service, half_broken, 2, |_| errors += 1).unwrap();
        assert_eq!((errors, engine.counters().services), (1, 1), "a malformed object does not lose what was held");
        engine.replace(Kind::Service, list(&["b", "d"]).as_bytes(), 2, |_| {}).unwrap();
        engine.replace(Kind::Service, b"[", 3, |_| {}).unwrap_err();
        assert_eq!(engine.counters().services, 2, "a broken list changes nothing");
        engine.replace(Kind::Service, b"{\"items\":null}", 4, |_| {}).unwrap();
        assert_eq!(engine.counters().services, 0);
    }
}
