//! Writes by HTTP: POST, PUT, PATCH (merge) and DELETE of one object, enough for kubectl and for clients under test.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use hyper::{
    HeaderMap, Method, Request,
    body::{Body, Incoming},
    header::CONTENT_TYPE,
};
use serde_json::{Value, json};

use super::{
    Shared,
    object::{Draft, Stored},
    query::Query,
    reply::{self, Reply},
    routes::Target,
    status::ApiError,
    store::{Precondition, WriteConflict},
};

/// Bytes of a body, as the API server's limit for a request.
const LIMIT: usize = 3 * 1024 * 1024;
/// How often a PATCH without resourceVersion is tried again when someone else writes in between.
const PATCH_TRIES: usize = 5;

/// The answer that shows `object`.
pub(crate) fn object(code: u16, object: &Stored, version: &str) -> Reply {
    let mut body = Vec::new();
    object.write(&mut body, version, object.version);
    body.push(b'\n');
    reply::json(code, body)
}

/// Answers a request that writes.
pub(crate) async fn write(
    shared: &Arc<Shared>,
    target: &Target,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    if query.get("dryRun").is_some_and(|value| !value.is_empty()) {
        return Err(ApiError::bad_request("dryRun is not supported by the fixture: leave it out"));
    }
    let method = request.method().clone();
    let media_type = media_type(request.headers());
    let body = read(request.into_body()).await?;
    match (method, target.name.as_deref()) {
        (Method::POST, None) => {
            let draft = draft(target, parse(&media_type, &body)?, None)?;
            let name = draft.name.clone();
            let stored = shared.write(draft, Precondition::Absent).map_err(|c| conflict(target, &name, c))?;
            Ok(object(201, &stored, target.version))
        }
        (Method::PUT, Some(name)) => {
            let draft = draft(target, parse(&media_type, &body)?, Some(name))?;
            let stored = shared.write(draft, Precondition::Present).map_err(|c| conflict(target, name, c))?;
            Ok(object(200, &stored, target.version))
        }
        (Method::PATCH, Some(name)) => {
            if media_type != "application/merge-patch+json" {
                return Err(ApiError::unsupported_media_type("application/merge-patch+json"));
            }
            let patch = serde_json::from_slice(&body)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            patch_object(shared, target, name, &patch)
        }
        (Method::DELETE, Some(name)) => delete(shared, target, name, &body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn patch_object(shared: &Shared, target: &Target, name: &str, patch: &Value) -> Result<Reply, ApiError> {
    for _ in 0..PATCH_TRIES {
        let before = shared.store().get(target.resource, &target.namespace, name);
        let before = before.ok_or_else(|| ApiError::not_found(target.resource, name))?;
        let mut value = before
            .to_value(target.version)
            .map_err(|e| ApiError::bad_request(format!("the stored object is not JSON: {e}")))?;
        // The patch starts from this version: `merge` keeps it as the precondition unless it names another.
        merge(&mut value, patch);
        let draft = draft(target, value, Some(name))?;
        match shared.write(draft, Precondition::Present) {
            Ok(stored) => return Ok(object(200, &stored, target.version)),
            Err(WriteConflict::Changed) if patch.pointer("/metadata/resourceVersion").is_none() => {}
            Err(other) => return Err(conflict(target, name, other)),
        }
    }
    Err(ApiError::conflict(target.resource, name))
}

fn delete(shared: &Shared, target: &Target, name: &str, body: &[u8]) -> Result<Reply, ApiError> {
    let options: Value = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("DeleteOptions: {e}")))?
    };
    let wanted = |field: &str| options.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str);
    let deleted = shared.delete_if(target.resource, &target.namespace, name, |object| {
        wanted("uid").is_none_or(|uid| uid == object.uid)
            && wanted("resourceVersion").is_none_or(|version| version == object.version.to_string())
    });
    let object = deleted.map_err(|c| conflict(target, name, c))?;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": name, "group": target.resource.group, "kind": target.resource.plural, "uid": object.uid,
        },
    });
    Ok(reply::json(200, status.to_string().into_bytes()))
}

fn conflict(target: &Target, name: &str, conflict: WriteConflict) -> ApiError {
    match conflict {
        WriteConflict::Exists => ApiError::already_exists(target.resource, name),
        WriteConflict::Missing => ApiError::not_found(target.resource, name),
        WriteConflict::Changed => ApiError::conflict(target.resource, name),
    }
}

/// The object of a body, which must be what the path names.
fn draft(target: &Target, mut value: Value, name: Option<&str>) -> Result<Draft, ApiError> {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        && !target.namespace.is_empty()
    {
        metadata.entry("namespace").or_insert_with(|| Value::String(target.namespace.clone()));
    }
    let draft = Draft::parse(value).map_err(|e| ApiError::invalid_object(&e))?;
    if draft.resource.index != target.resource.index {
        return Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}",
            draft.resource.kind, target.version, target.resource.kind
        )));
    }
    if !target.namespace.is_empty() && draft.namespace != target.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if name.is_some_and(|name| name != draft.name) {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    Ok(draft)
}

fn parse(media_type: &str, body: &[u8]) -> Result<Value, ApiError> {
    if !matches!(media_type, "" | "application/json") {
        return Err(ApiError::unsupported_media_type("application/json"));
    }
    serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("error decoding JSON: {e}")))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The whole body, if it is within the limit.
async fn read(mut body: Incoming) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("the body of the request broke off: {e}")))?;
        if let Ok(data) = frame.into_data() {
            if out.len() + data.len() > LIMIT {
                return Err(ApiError::too_large(LIMIT));
            }
            out.extend_from_slice(&data);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_of_rfc_7396() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{target} with {patch}");
        }
    }
}
