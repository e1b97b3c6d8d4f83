//! Manifests: objects from files instead of a cluster, in YAML (several documents, lists) or JSON.

use crate::corefile::error::Shown;
use rustk8s::object::{Kind, Object};
use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Track;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of one file.
const MAX_FILE: u64 = 256 << 20;
/// Lists in lists that are followed.
const MAX_NESTING: usize = 8;
/// Characters of an object's name that a message shows: more than two labels and the slash have.
const MAX_NAME: usize = 512;
/// Kinds that [`Manifests::summary`] names.
const MAX_KINDS: usize = 6;

/// The objects of some files.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The objects that names are made of, in the order of the files. Of an object given twice the last counts.
    pub objects: Vec<Object>,
    /// How many objects of each other kind there were: no names are made of those.
    pub others: BTreeMap<String, usize>,
}

/// Why files cannot be served. The message is one line.
///
/// A malformed object is an error here, though one from an API server is only left out: who wrote a file can put it
/// right, and what they start is to be what they wrote.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("manifest {file}: {error}")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        error: io::Error,
    },
    /// More than a sensible manifest has.
    #[error("manifest {file}: it is larger than {} MiB", MAX_FILE >> 20)]
    TooLarge {
        /// The file.
        file: String,
    },
    /// Neither YAML nor JSON.
    #[error("manifest {file}, document {document}, line {line}: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// The document, counted from 1.
        document: usize,
        /// The line of the file, counted from 1.
        line: u64,
        /// What is wrong there.
        problem: String,
    },
    /// An object is malformed.
    #[error("manifest {place}: {problem}")]
    Object {
        /// The file, the document, and where there is a list the item, counted from 1; then the object's kind and name.
        place: String,
        /// The field, and what is wrong with it.
        problem: String,
    },
}

impl Manifests {
    /// Reads files.
    ///
    /// # Errors
    /// The first file that cannot be read, whose YAML or JSON is broken, or that has a malformed object.
    pub fn read(files: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut manifests = Self::default();
        for path in files {
            let file = path.display().to_string();
            let text = read_file(path).map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => ManifestError::TooLarge { file: file.clone() },
                _ => ManifestError::Read { file: file.clone(), error },
            })?;
            manifests.add(&file, &text)?;
        }
        Ok(manifests)
    }

    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), ManifestError> {
        // What starts with a brace is JSON, or YAML that looks like it; JSON is read as JSON: faster, and exact.
        if text.trim_start().starts_with('{') {
            let is_json = Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            match json_documents(text) {
                Ok(documents) => {
                    return self.add_documents(file, documents);
                }
                Err((document, error)) if is_json => {
                    let line = error.line() as u64;
                    let problem = without_place(&error);
                    return Err(ManifestError::Syntax { file: file.to_owned(), document, line, problem });
                }
                Err(_) => {}
            }
        }
        let documents = yaml_documents(file, text)?;
        self.add_documents(file, documents)
    }

    /// What was read, in a line for the log.
    pub fn summary(&self) -> String {
        let mut text = format!("objects read from manifests: {}", self.objects.len());
        let others: usize = self.others.values().sum();
        if others > 0 {
            let kinds: Vec<_> = self.others.keys().take(MAX_KINDS).map(|kind| Shown(kind).to_string()).collect();
            let more = if self.others.len() > MAX_KINDS { ", …" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "; of kinds that make no names: {others} ({}{more})", kinds.join(", "));
        }
        text
    }

    fn add_documents(&mut self, file: &str, documents: Vec<(usize, Value)>) -> Result<(), ManifestError> {
        for (document, value) in documents {
            self.add_value(&format!("{file}, document {document}"), value, None, 0)?;
        }
        Ok(())
    }

    /// Adds an object or a list. `item_kind` is what the items of a typed list (`ServiceList`) are.
    fn add_value(
        &mut self,
        place: &str,
        value: Value,
        item_kind: Option<(&str, &str)>,
        nesting: usize,
    ) -> Result<(), ManifestError> {
        let refuse = |place: &str, problem: String| Err(ManifestError::Object { place: place.to_owned(), problem });
        let Value::Object(mut fields) = value else {
            return refuse(place, "it is not a Kubernetes object, which has apiVersion and kind".to_owned());
        };
        let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
        let kind = text("kind").or_else(|| item_kind.map(|(kind, _)| kind.to_owned()));
        let version = text("apiVersion").or_else(|| item_kind.map(|(_, version)| version.to_owned()));
        let (Some(kind), Some(version)) = (kind, version) else {
            return refuse(place, "apiVersion or kind is missing".to_owned());
        };
        if let Some(items @ Value::Array(_)) = fields.get_mut("items").filter(|_| kind.ends_with("List")) {
            if nesting == MAX_NESTING {
                return refuse(place, format!("more than {MAX_NESTING} lists in lists"));
            }
            let Value::Array(items) = items.take() else { return Ok(()) };
            let item_kind = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
            for (index, item) in items.into_iter().enumerate() {
                let item_kind = item_kind.map(|kind| (kind, version.as_str()));
                self.add_value(&format!("{place}, item {}", index + 1), item, item_kind, nesting + 1)?;
            }
            return Ok(());
        }
        let Some(kind) = Kind::of(&version, &kind) else {
            *self.others.entry(kind).or_default() += 1;
            return Ok(());
        };
        let value = Value::Object(fields);
        match read_object(kind, &value) {
            Ok(mut object) => {
                object.apply_defaults();
                self.objects.push(object);
                Ok(())
            }
            Err(problem) => refuse(&format!("{place}, {kind} {}", display_name(&value)), one_line(&problem)),
        }
    }
}

/// `NAMESPACE/NAME` of an object that may be malformed.
fn display_name(value: &Value) -> String {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let name = match (text("namespace"), text("name")) {
        (_, "") => return "without a name".to_owned(),
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    name.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect()
}

fn read_file(path: &Path) -> io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read_to_string(path)
}

/// Reads an object; the error names the field.
fn read_object(kind: Kind, value: &Value) -> Result<Object, String> {
    if kind == Kind::Service {
        check_cluster_ip(&value["spec"])?;
    }
    let mut track = Track::new();
    Object::read(kind, serde_path_to_error::Deserializer::new(value, &mut track)).map_err(|error| {
        let path = track.path().to_string();
        // "." where the object as a whole is wrong; the message then names the field.
        if path == "." { error.to_string() } else { format!("{path}: {error}") }
    })
}

/// A Service says its first address twice, and the list counts: who edits the other would wonder. The API server refuses
/// such a Service too.
fn check_cluster_ip(spec: &Value) -> Result<(), String> {
    let (Some(one), Some(first)) = (spec["clusterIP"].as_str(), spec["clusterIPs"][0].as_str()) else { return Ok(()) };
    if one.is_empty() || one == first {
        return Ok(());
    }
    Err(format!("spec.clusterIP: {} is not the first of spec.clusterIPs, {}; change both", Shown(one), Shown(first)))
}

/// The JSON documents of a text: `kubectl get -o json` prints one, a log of watch events many.
fn json_documents(text: &str) -> Result<Vec<(usize, Value)>, (usize, serde_json::Error)> {
    let mut documents = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter() {
        let number = documents.len() + 1;
        documents.push((number, document.map_err(|error| (number, error))?));
    }
    Ok(documents)
}

/// The message of an error without "at line 1 column 2", which the caller says in its own words.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// The YAML documents of a text, without the empty ones, numbered as in the file.
fn yaml_documents(file: &str, text: &str) -> Result<Vec<(usize, Value)>, ManifestError> {
    // Files are trusted more than the network: they may be large, but aliases must not blow them up.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 100_000_000,
            max_total_scalar_bytes: 256 << 20,
            max_reader_input_bytes: None,
        },
        with_snippet: false,
    };
    let starts = DocumentStarts::of(text);
    let mut reader = text.as_bytes();
    let mut documents = Vec::new();
    for document in serde_saphyr::read_with_options::<_, Located>(&mut reader, options) {
        let Located { line, value } = document.map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let problem = one_line(&error.without_snippet().to_string());
            ManifestError::Syntax { file: file.to_owned(), document: starts.document_at(line), line, problem }
        })?;
        documents.push((starts.document_at(line), value));
    }
    Ok(documents)
}

/// A document, and the line that it starts at.
struct Located {
    line: u64,
    value: Value,
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

/// The lines at which the documents of a YAML text start.
struct DocumentStarts(Vec<u64>);

impl DocumentStarts {
    fn of(text: &str) -> Self {
        let mut starts = vec![1];
        let mut content = false;
        for (index, line) in text.lines().enumerate() {
            let separator =
                line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
            if separator {
                // The first separator ends no document if only comments are before it.
                if content || starts.len() > 1 {
                    starts.push(index as u64 + 1);
                } else {
                    starts[0] = index as u64 + 1;
                    content = true;
                }
            } else if !line.trim().is_empty() && !line.starts_with(['#', '%']) {
                content = true;
            }
        }
        Self(starts)
    }

    fn document_at(&self, line: u64) -> usize {
        self.0.iter().filter(|start| **start <= line).count().max(1)
    }
}

/// A message on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(file: &str, text: &str) -> Result<Manifests, ManifestError> {
        let mut manifests = Manifests::default();
        manifests.add(file, text).map(|()| manifests)
    }

    fn names(manifests: &Manifests) -> Vec<String> {
        let name = |object: &Object| format!("{} {}/{}", object.kind(), object.meta().namespace, object.meta().name);
        manifests.objects.iter().map(name).collect()
    }

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n";

    #[test]
    fn documents_lists_and_unknown_kinds() {
        let text = format!(
            "# a comment\n---\n{SERVICE}---\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {{name: dev}}\n\
             - apiVersion: v1\n  kind: PodList\n  items:\n  - metadata: {{name: p, namespace: dev}}\n    status: {{podIP: 10.1.0.1}}\n\
             - apiVersion: apps/v1\n  kind: Deployment\n  spec: {{replicas: 2}}\n---\n\
             apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: other}}\n"
        );
        let manifests = read("x.yaml", &text).unwrap();
        assert_eq!(names(&manifests), ["Service default/a", "Namespace /dev", "Pod dev/p"]);
        assert_eq!(
            manifests.summary(),
            "objects read from manifests: 3; of kinds that make no names: 2 ('Deployment', 'Service')"
        );
        let Object::Service(service) = &manifests.objects[0] else { panic!() };
        assert_eq!(&*service.ports[0].protocol, "TCP");
    }

    #[test]
    fn json_documents_are_read() {
        let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"n"},"spec":{}}"#;
        let text = format!("{service}\n{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{service}]}}");
        for file in ["x.json", "x"] {
            assert_eq!(names(&read(file, &text).unwrap()), ["Service n/a", "Service n/a"]);
        }
        // YAML in braces is YAML.
        let flow = read("x.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: dev}}").unwrap();
        assert_eq!(names(&flow), ["Namespace /dev"]);
        assert_eq!(flow.summary(), "objects read from manifests: 1");
        let error = read("x.json", "{\"kind\": 1}\n{").unwrap_err().to_string();
        assert_eq!(error, "manifest x.json, document 2, line 2: EOF while parsing an object");
    }

    #[test]
    fn a_malformed_object_is_named_with_its_field() {
        let after = |text: &str| format!("{SERVICE}---\n{text}\n---\n{SERVICE}");
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: dev}\nspec:";
        let cases = [
            (format!("{service} {{ports: [{{port: eighty}}]}}"), "document 2, Service dev/bad: spec.ports[0].port: "),
            (format!("{service} {{clusterIP: 10.0.0.256}}"), "document 2, Service dev/bad: spec.clusterIPs[0]: "),
            (
                format!("{service} {{clusterIP: 10.0.0.2, clusterIPs: [10.0.0.1]}}"),
                "document 2, Service dev/bad: spec.clusterIP: '10.0.0.2' is not the first of spec.clusterIPs, '10.0.0.1'; change both",
            ),
            (
                "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: p, labels: five}}]"
                    .to_owned(),
                "document 2, item 1, Pod p: metadata.labels: ",
            ),
            (
                "apiVersion: v1\nkind: List\nitems: [7]".to_owned(),
                "document 2, item 1: it is not a Kubernetes object, which has apiVersion and kind",
            ),
            ("kind: Service".to_owned(), "document 2: apiVersion or kind is missing"),
            (
                "apiVersion: v1\nkind: Service\nmetadata: {labels: {a: b}}".to_owned(),
                "document 2, Service without a name: metadata",
            ),
        ];
        for (text, expected) in cases {
            let error = read("x.yaml", &after(&text)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("manifest x.yaml, {expected}")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        // Headless, and a Service that no API server has completed.
        for spec in ["{clusterIP: None, clusterIPs: [None]}", "{clusterIP: 10.0.0.1}", "{clusterIPs: [10.0.0.1]}"] {
            read("x.yaml", &format!("{service} {spec}")).unwrap();
        }
    }

    #[test]
    fn broken_yaml_is_refused_with_its_place() {
        let cases = [
            ("a: b\n---\na: [b\nc: d\n", "manifest x.yaml, document 2, line "),
            ("a: b\n---\n---\nc: }", "manifest x.yaml, document 3, line 4: "),
            ("a: 1\na: 2\n", "manifest x.yaml, document 1, line 2: "),
            ("a: *nowhere\n", "manifest x.yaml, document 1, line 1: "),
        ];
        for (text, expected) in cases {
            let error = read("x.yaml", text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let missing = Manifests::read(&[PathBuf::from("does/not/exist.yaml")]).unwrap_err().to_string();
        assert!(missing.starts_with("manifest does/not/exist.yaml: "), "{missing}");
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            writeln!(text, "a{level}: &a{level} [{}]", [before.as_str(); 10].join(",")).unwrap();
        }
        assert!(read("x.yaml", &text).is_err());
        let deep = "[".repeat(100_000);
        assert!(read("x.yaml", &deep).is_err());
        assert!(read("x.json", &"{\"a\":".repeat(100_000)).is_err());
    }
}
