//! Objects as the API server sends them, read one by one: a malformed one takes no others with it.

use rustk8s::object::{EndpointSlice, Event, Kind, Meta, Namespace, Object, Pod, Service, ServiceImport};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_path_to_error::Track;

/// An object that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its namespace, empty if it has none or it cannot be told.
    pub namespace: String,
    /// Its name, empty if it cannot be told.
    pub name: String,
    /// Its resource version, if that much could be read: the watch goes on from there.
    pub version: Option<String>,
    /// What is wrong, and in which field.
    pub problem: String,
}

impl Malformed {
    fn new(names: &Names, problem: String) -> Self {
        let text = |field: &str| names.text(field).to_owned();
        Self { namespace: text("namespace"), name: text("name"), version: names.version(), problem }
    }

    /// `NAMESPACE/NAME`, as far as it has them.
    pub fn display_name(&self) -> String {
        match (self.namespace.as_str(), self.name.as_str()) {
            (_, "") => "without a name".to_owned(),
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        }
    }
}

/// A line of a watch.
#[derive(Debug)]
pub enum WatchLine {
    /// An object has changed.
    Change(Event),
    /// An object has changed that cannot be read.
    Malformed(Malformed),
    /// A bookmark: all changes up to this version have been sent.
    Bookmark {
        /// The version.
        version: String,
        /// The objects that were there when a streaming list began have all been sent.
        initial_events_end: bool,
    },
    /// The server ends the watch with an error.
    Error(Status),
    /// A type of event that is not known: ignored, as it may be new.
    Unknown,
}

/// The API server's own word for what went wrong (`metav1.Status`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// One word, such as `Expired`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// A page of a list.
pub struct Page<'a> {
    /// The version of the collection.
    pub version: String,
    /// What to ask the next page with; empty on the last.
    pub continue_token: String,
    /// The objects, not read yet.
    pub items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

/// Reads a page without reading its objects.
///
/// # Errors
/// The text is no list.
pub fn page(text: &[u8]) -> Result<Page<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(default)]
        metadata: ListMeta,
        // `null` for a list without objects, as Go writes it.
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let List { metadata, items } = serde_json::from_slice(text)?;
    Ok(Page {
        version: metadata.resource_version,
        continue_token: metadata.continue_token.unwrap_or_default(),
        items: items.unwrap_or_default(),
    })
}

/// Reads an object of a list or an event.
///
/// # Errors
/// What is wrong with it.
pub fn object(kind: Kind, json: &RawValue) -> Result<Object, Malformed> {
    Object::read(kind, &mut serde_json::Deserializer::from_str(json.get())).map_err(|error| {
        // Read again for the field: only what is malformed pays for that.
        let mut track = Track::new();
        let mut deserializer = serde_json::Deserializer::from_str(json.get());
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let error = Object::read(kind, tracked).err().unwrap_or(error);
        let path = track.path().to_string();
        // "." where the object as a whole is wrong; the message then names the field.
        let problem = if path == "." { error.to_string() } else { format!("{path}: {error}") };
        Malformed::new(&Names::of(json), problem)
    })
}

/// As much of an object's metadata as can be read of a malformed one.
#[derive(Default)]
struct Names(serde_json::Value);

impl Names {
    fn of(json: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Partial {
            #[serde(default)]
            metadata: serde_json::Value,
        }
        let metadata = serde_json::from_str::<Partial>(json.get()).map(|partial| partial.metadata);
        Self(metadata.unwrap_or_default())
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    fn version(&self) -> Option<String> {
        Some(self.text("resourceVersion")).filter(|version| !version.is_empty()).map(str::to_owned)
    }
}

/// Reads a line of a watch of `kind`.
///
/// # Errors
/// The line is no event at all.
pub fn watch_line(kind: Kind, line: &[u8]) -> Result<WatchLine, serde_json::Error> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        event: String,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let Line { event, object: json } = serde_json::from_slice(line)?;
    Ok(match event.as_str() {
        "ADDED" | "MODIFIED" => match object(kind, json) {
            Ok(object) => WatchLine::Change(Event::Upsert(object)),
            Err(malformed) => WatchLine::Malformed(malformed),
        },
        "DELETED" => deleted(kind, json),
        "BOOKMARK" => bookmark(json)?,
        "ERROR" => WatchLine::Error(serde_json::from_str(json.get())?),
        _ => WatchLine::Unknown,
    })
}

/// Of an object that is gone only the name counts, so that even a malformed one is taken away.
fn deleted(kind: Kind, json: &RawValue) -> WatchLine {
    let names = Names::of(json);
    let meta = Meta {
        name: names.text("name").to_owned(),
        namespace: names.text("namespace").to_owned(),
        resource_version: names.text("resourceVersion").to_owned(),
        ..Meta::default()
    };
    if meta.name.is_empty() {
        let problem = "metadata.name: it is missing or empty".to_owned();
        return WatchLine::Malformed(Malformed::new(&names, problem));
    }
    WatchLine::Change(Event::Delete(match kind {
        Kind::Namespace => Object::Namespace(Namespace { meta }),
        Kind::Service => Object::Service(Service { meta, ..Service::default() }),
        Kind::EndpointSlice => Object::EndpointSlice(EndpointSlice { meta, ..EndpointSlice::default() }),
        Kind::Pod => Object::Pod(Pod { meta, ..Pod::default() }),
        Kind::ServiceImport => Object::ServiceImport(ServiceImport { meta, ..ServiceImport::default() }),
    }))
}

fn bookmark(json: &RawValue) -> Result<WatchLine, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
        annotations: std::collections::BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Bookmark {
        #[serde(default)]
        metadata: Metadata,
    }
    let Bookmark { metadata } = serde_json::from_str(json.get())?;
    let end = metadata.annotations.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
    Ok(WatchLine::Bookmark { version: metadata.resource_version, initial_events_end: end })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_of_a_watch() {
        let line = |text: &str| watch_line(Kind::Service, text.as_bytes());
        let service =
            r#"{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"spec":{"clusterIP":"10.0.0.1"}}"#;
        for event in ["ADDED", "MODIFIED"] {
            let read = line(&format!(r#"{{"type":"{event}","object":{service}}}"#)).unwrap();
            let WatchLine::Change(Event::Upsert(Object::Service(service))) = read else { panic!("{read:?}") };
            assert_eq!(service.meta.resource_version, "7");
        }
        // The object may come before its type.
        let read = line(&format!(r#"{{"object":{service},"type":"DELETED"}}"#)).unwrap();
        let WatchLine::Change(Event::Delete(object)) = read else { panic!("{read:?}") };
        assert_eq!((object.kind(), object.meta().name.as_str()), (Kind::Service, "a"));
        let read = line(
            r#"{"type":"BOOKMARK","object":{"kind":"Service","metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
        );
        let WatchLine::Bookmark { version, initial_events_end: true } = read.unwrap() else { panic!() };
        assert_eq!(version, "9");
        let read =
            line(r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#);
        let WatchLine::Error(status) = read.unwrap() else { panic!() };
        assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
        assert!(matches!(line(r#"{"type":"NEW","object":{}}"#), Ok(WatchLine::Unknown)));
        for broken in ["", "{", "[]", r#"{"type":"ADDED"}"#, r#"{"type":1,"object":{}}"#, "\u{0}"] {
            assert!(line(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn malformed_objects_are_named() {
        let line = |text: &str| match watch_line(Kind::Service, text.as_bytes()).unwrap() {
            WatchLine::Malformed(malformed) => malformed,
            other => panic!("{other:?}"),
        };
        let malformed = line(
            r#"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"7"},"spec":{"ports":[{"port":"x"}]}}}"#,
        );
        assert_eq!((malformed.display_name().as_str(), malformed.version.as_deref()), ("n/a", Some("7")));
        assert!(malformed.problem.starts_with("spec.ports[0].port: "), "{}", malformed.problem);
        let malformed = line(r#"{"type":"ADDED","object":[]}"#);
        assert_eq!((malformed.display_name().as_str(), malformed.version), ("without a name", None));
        let malformed = line(r#"{"type":"DELETED","object":{"metadata":{"name":5}}}"#);
        assert_eq!(malformed.display_name(), "without a name");
        // Malformed, but gone all the same.
        let text = br#"{"type":"DELETED","object":{"metadata":{"name":"a","labels":5},"spec":7}}"#;
        assert!(matches!(watch_line(Kind::Service, text), Ok(WatchLine::Change(Event::Delete(_)))));
    }

    #[test]
    fn a_list_with_a_malformed_item() {
        let text = br#"{"kind":"ServiceList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":7}},5,{"metadata":{"name":"b"}}],"metadata":{"resourceVersion":"9","continue":"next"}}"#;
        let page = page(text).unwrap();
        assert_eq!((page.version.as_str(), page.continue_token.as_str()), ("9", "next"));
        let good = page.items.iter().filter(|item| object(Kind::Service, item).is_ok()).count();
        assert_eq!((good, page.items.len()), (2, 4));
        let empty = super::page(br#"{"items":null,"metadata":{}}"#).unwrap();
        assert!(empty.items.is_empty() && empty.version.is_empty());
        assert!(super::page(b"7").is_err());
    }
}
