//! Objects from files: JSON (one object, a list, an array, or many of them one after the other) and YAML (one document
//! or many).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file itself.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in it.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where that is known.
        message: String,
    },
}

/// The objects of a file, lists taken apart. YAML if the name ends in `.yaml` or `.yml`, else JSON.
pub fn read(path: &Path) -> Result<Vec<Value>, ManifestError> {
    let text = fs::read_to_string(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
    let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let parsed = if yaml { parse_yaml(&text) } else { parse_json(&text) };
    parsed.map_err(|message| ManifestError::Parse { path: path.to_owned(), message })
}

/// The objects of a JSON text.
pub fn parse_json(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        flatten(value.map_err(|e| e.to_string())?, &mut objects);
    }
    Ok(objects)
}

/// The objects of a YAML text.
pub fn parse_yaml(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for value in serde_saphyr::from_multiple::<Value>(text).map_err(|e| e.to_string())? {
        flatten(value, &mut objects);
    }
    Ok(objects)
}

/// Takes arrays and lists apart. The items of a `ServiceList` carry no kind of their own: they get it from the list.
fn flatten(value: Value, objects: &mut Vec<Value>) {
    match value {
        Value::Null => {}
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, objects)),
        Value::Object(mut map) => {
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let (Some(item_kind), Some(Value::Array(_))) = (kind.strip_suffix("List"), map.get("items")) else {
                objects.push(Value::Object(map));
                return;
            };
            let api_version = map.get("apiVersion").cloned();
            let Some(Value::Array(items)) = map.remove("items") else { return };
            for mut item in items {
                if let (Value::Object(item), false) = (&mut item, item_kind.is_empty()) {
                    item.entry("kind").or_insert_with(|| Value::String(item_kind.to_owned()));
                    if let Some(api_version) = &api_version {
                        item.entry("apiVersion").or_insert_with(|| api_version.clone());
                    }
                }
                flatten(item, objects);
            }
        }
        other => objects.push(other),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kinds(objects: &[Value]) -> Vec<&str> {
        objects.iter().map(|o| o["kind"].as_str().unwrap_or("?")).collect()
    }

    #[test]
    fn every_form_of_json() {
        let text = r#"
            {"kind": "Service"} {"kind": "Pod"}
            [{"kind": "Node"}, [{"kind": "Namespace"}]]
            {"kind": "List", "apiVersion": "v1", "items": [{"kind": "Pod"}, {"kind": "List", "items": [{"kind": "Node"}]}]}
            {"kind": "ServiceList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}
        "#;
        let objects = parse_json(text).unwrap();
        assert_eq!(kinds(&objects), ["Service", "Pod", "Node", "Namespace", "Pod", "Node", "Service"]);
        assert_eq!(objects[6]["apiVersion"], "v1");
        assert!(parse_json("{\"kind\": ").unwrap_err().contains("line 1"));
    }

    #[test]
    fn yaml_documents() {
        let text = "---\nkind: Service\n---\n---\nkind: List\nitems:\n- kind: Pod\n  spec: {n: 1}\n";
        assert_eq!(kinds(&parse_yaml(text).unwrap()), ["Service", "Pod"]);
        assert!(parse_yaml("a: [").is_err());
    }
}
