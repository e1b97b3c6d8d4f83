//! One stored object, serialised once.
//!
//! The API server shows an object in four forms: alone or in a watch event (with `kind` and `apiVersion`), as an item of
//! a list (without them, unless it comes from a CRD), under another version, and under another resourceVersion (the
//! DELETED event of an object that left a selector). Only the beginning differs, so the JSON is kept from after
//! `metadata.resourceVersion` on, and each form is its own beginning in front of those bytes.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::resource::Resource;

/// Why an object cannot be stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// The JSON value is not an object.
    #[error("a Kubernetes object must be a JSON object, found {found}")]
    NotAnObject {
        /// The JSON type that was found.
        found: &'static str,
    },
    /// A field that identifies the object is absent, or is not a string, or is empty.
    #[error("{field} must be a string that is not empty, in {place}")]
    MissingField {
        /// The field, as a path in the object.
        field: &'static str,
        /// What is known of the object: its kind and name.
        place: String,
    },
    /// `metadata` is absent or is not an object.
    #[error("metadata must be an object, in {place}")]
    MissingMetadata {
        /// What is known of the object: its kind and name.
        place: String,
    },
    /// The fixture does not serve this kind.
    #[error("the fixture does not serve {kind} of apiVersion {api_version}: see the table in resource.rs")]
    UnknownKind {
        /// `apiVersion` of the object.
        api_version: String,
        /// `kind` of the object.
        kind: String,
    },
}

/// An object on its way into the store: identified, its JSON still a tree.
pub(crate) struct Draft {
    pub resource: &'static Resource,
    pub namespace: String,
    pub name: String,
    /// `metadata.uid` that the caller wants, if any.
    uid: Option<String>,
    /// `metadata.creationTimestamp` that the caller wants, if any.
    created: Option<Value>,
    /// `metadata.resourceVersion` of the caller: what a PUT is checked against.
    pub expected_version: Option<String>,
    metadata: Map<String, Value>,
    rest: Map<String, Value>,
}

/// An object as the store keeps it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub resource: &'static Resource,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    created: Value,
    /// The resourceVersion of its last change.
    pub version: u64,
    pub labels: BTreeMap<String, String>,
    /// Values of the resource's own field selectors, in the order of [`Resource::fields`].
    pub fields: Vec<String>,
    /// The JSON after `"metadata":{"resourceVersion":"N",` up to the end of the object.
    tail: Bytes,
}

impl Draft {
    /// Reads the identity of `object`. A namespaced object without namespace goes to `default`, as with kubectl.
    pub fn parse(object: Value) -> Result<Self, ObjectError> {
        let mut rest = match object {
            Value::Object(map) => map,
            other => return Err(ObjectError::NotAnObject { found: json_type(&other) }),
        };
        let place = describe(&rest);
        let missing = |field| ObjectError::MissingField { field, place: place.clone() };
        let api_version = text(rest.remove("apiVersion")).ok_or_else(|| missing("apiVersion"))?;
        let kind = text(rest.remove("kind")).ok_or_else(|| missing("kind"))?;
        let Some(resource) = Resource::of_object(&api_version, &kind) else {
            return Err(ObjectError::UnknownKind { api_version, kind });
        };
        let Some(Value::Object(mut metadata)) = rest.remove("metadata") else {
            return Err(ObjectError::MissingMetadata { place });
        };
        let name = text(metadata.get("name").cloned()).ok_or_else(|| missing("metadata.name"))?;
        let namespace = if resource.namespaced {
            text(metadata.get("namespace").cloned()).unwrap_or_else(|| "default".to_owned())
        } else {
            String::new()
        };
        if resource.namespaced {
            metadata.insert("namespace".to_owned(), Value::String(namespace.clone()));
        } else {
            metadata.remove("namespace");
        }
        Ok(Self {
            resource,
            namespace,
            name,
            uid: text(metadata.remove("uid")),
            created: metadata.remove("creationTimestamp").filter(|v| !v.is_null()),
            expected_version: text(metadata.remove("resourceVersion")),
            metadata,
            rest,
        })
    }

    /// The object as of `version`. uid and creationTimestamp: what the caller gave, else what the object had before,
    /// else made from `version`, so that a run repeats exactly.
    pub fn store(mut self, version: u64, before: Option<&Stored>) -> Stored {
        let uid = self
            .uid
            .or_else(|| before.map(|b| b.uid.clone()))
            .unwrap_or_else(|| format!("00000000-0000-4000-8000-{version:012x}"));
        let created = self
            .created
            .or_else(|| before.map(|b| b.created.clone()))
            .unwrap_or_else(|| Value::String(timestamp(version)));
        self.metadata.insert("uid".to_owned(), Value::String(uid.clone()));
        self.metadata.insert("creationTimestamp".to_owned(), created.clone());
        let labels = match self.metadata.get("labels") {
            Some(Value::Object(labels)) => {
                labels.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
            }
            _ => BTreeMap::new(),
        };
        let fields = self.resource.fields.iter().map(|(_, path)| field_value(&self.rest, path)).collect();
        let tail = tail(&self.metadata, &self.rest);
        Stored {
            resource: self.resource,
            namespace: self.namespace,
            name: self.name,
            uid,
            created,
            version,
            labels,
            fields,
            tail,
        }
    }
}

impl Stored {
    /// Whether both would be served alike but for their resourceVersion: an update to the same is no event.
    pub fn same_content(&self, other: &Self) -> bool {
        self.tail == other.tail
    }

    /// The same object with another resourceVersion: the last state, as a DELETED event shows it.
    pub fn at(&self, version: u64) -> Self {
        Self {
            resource: self.resource,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            created: self.created.clone(),
            version,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            tail: self.tail.clone(),
        }
    }

    /// Bytes that this object holds, about.
    pub fn size(&self) -> usize {
        self.tail.len() + size_of::<Self>()
    }

    /// Writes the object with `kind` and `apiVersion`, showing `version` as its resourceVersion.
    pub fn write(&self, out: &mut Vec<u8>, api_version: &str, version: u64) {
        out.push(b'{');
        write_type(out, self.resource, api_version, self.resource.kind);
        out.push(b',');
        self.write_from_metadata(out, version);
    }

    /// Writes the object as an item of a list.
    pub fn write_item(&self, out: &mut Vec<u8>, api_version: &str) {
        if self.resource.custom {
            self.write(out, api_version, self.version);
        } else {
            out.push(b'{');
            self.write_from_metadata(out, self.version);
        }
    }

    /// The object as a JSON tree, for PATCH.
    pub fn to_value(&self, api_version: &str) -> Result<Value, serde_json::Error> {
        let mut text = Vec::with_capacity(self.tail.len() + 128);
        self.write(&mut text, api_version, self.version);
        serde_json::from_slice(&text)
    }

    fn write_from_metadata(&self, out: &mut Vec<u8>, version: u64) {
        out.extend_from_slice(br#""metadata":{"resourceVersion":""#);
        out.extend_from_slice(version.to_string().as_bytes());
        out.extend_from_slice(br#"","#);
        out.extend_from_slice(&self.tail);
    }
}

/// Writes `"kind":"…","apiVersion":"…"`, in the order that the API server uses for this resource. `version` is one of
/// the served versions: neither string needs an escape.
pub(crate) fn write_type(out: &mut Vec<u8>, resource: &Resource, version: &str, kind: &str) {
    let group_version =
        if resource.group.is_empty() { version.to_owned() } else { format!("{}/{version}", resource.group) };
    let text = if resource.custom {
        format!(r#""apiVersion":"{group_version}","kind":"{kind}""#)
    } else {
        format!(r#""kind":"{kind}","apiVersion":"{group_version}""#)
    };
    out.extend_from_slice(text.as_bytes());
}

/// The JSON of `metadata` without its opening brace, then that of the other fields. `metadata` has a name: not empty.
fn tail(metadata: &Map<String, Value>, rest: &Map<String, Value>) -> Bytes {
    let mut out = Vec::new();
    let mut first = true;
    for (key, value) in metadata {
        write_member(&mut out, &mut first, key, value);
    }
    out.push(b'}');
    first = false;
    for (key, value) in rest {
        write_member(&mut out, &mut first, key, value);
    }
    out.push(b'}');
    out.shrink_to_fit();
    Bytes::from(out)
}

fn write_member(out: &mut Vec<u8>, first: &mut bool, key: &str, value: &Value) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    // Display of a Value is its JSON, and cannot fail.
    out.extend_from_slice(Value::String(key.to_owned()).to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(value.to_string().as_bytes());
}

fn field_value(object: &Map<String, Value>, path: &[&str]) -> String {
    let mut path = path.iter();
    let mut value = path.next().and_then(|first| object.get(*first));
    for step in path {
        value = value.and_then(|v| v.get(step));
    }
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => yes.to_string(),
        _ => String::new(),
    }
}

fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn describe(object: &Map<String, Value>) -> String {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("an object without kind");
    let name = object.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).unwrap_or("(no name)");
    format!("{kind} {name}")
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A time that depends on nothing but the resourceVersion: 2024-01-01T00:00:00Z plus as many seconds, RFC 3339.
fn timestamp(version: u64) -> String {
    const DAY: u64 = 86_400;
    let (mut day, second) = (version / DAY, version % DAY);
    let mut year = 2024;
    loop {
        let length = 365 + u64::from(leap(year));
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
}

fn leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn stored(object: Value, version: u64) -> Stored {
        Draft::parse(object).unwrap().store(version, None)
    }

    #[test]
    fn every_form_is_the_same_object() {
        let object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a\"b", "namespace": "ns", "labels": {"k": "v", "odd": 1}},
            "spec": {"clusterIP": "10.0.0.1"},
        });
        let stored = stored(object, 7);
        assert_eq!(stored.labels, BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        let mut alone = Vec::new();
        stored.write(&mut alone, "v1", 7);
        let alone: Value = serde_json::from_slice(&alone).unwrap();
        assert_eq!(
            alone,
            json!({
                "kind": "Service", "apiVersion": "v1",
                "metadata": {
                    "name": "a\"b", "namespace": "ns", "labels": {"k": "v", "odd": 1}, "resourceVersion": "7",
                    "uid": "00000000-0000-4000-8000-000000000007", "creationTimestamp": "2024-01-01T00:00:07Z",
                },
                "spec": {"clusterIP": "10.0.0.1"},
            })
        );
        let mut item = Vec::new();
        stored.write_item(&mut item, "v1");
        let item: Value = serde_json::from_slice(&item).unwrap();
        assert_eq!(item.get("kind"), None);
        assert_eq!(item["metadata"], alone["metadata"]);
        assert_eq!(stored.to_value("v1").unwrap(), alone);
    }

    #[test]
    fn the_smallest_object() {
        let stored = stored(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}), 2);
        let value = stored.to_value("v1").unwrap();
        assert_eq!(value["metadata"]["name"], "n");
        assert_eq!(value.as_object().unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_stored_says_why() {
        for (object, message) in [
            (json!([]), "a Kubernetes object must be a JSON object, found an array"),
            (json!({}), "apiVersion must be a string that is not empty, in an object without kind (no name)"),
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": ""}}),
                "metadata.name must be a string that is not empty, in Service ",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": 4}),
                "metadata must be an object, in Service (no name)",
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}),
                "the fixture does not serve Deployment of apiVersion apps/v1: see the table in resource.rs",
            ),
        ] {
            assert_eq!(Draft::parse(object).err().unwrap().to_string(), message);
        }
    }

    #[test]
    fn timestamps() {
        for (version, text) in [
            (0, "2024-01-01T00:00:00Z"),
            (59 * 86_400 + 3661, "2024-02-29T01:01:01Z"),
            (366 * 86_400 - 1, "2024-12-31T23:59:59Z"),
            (366 * 86_400 + 59 * 86_400, "2025-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(version), text);
        }
    }
}
