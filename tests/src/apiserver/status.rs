//! Errors as the API server writes them: a `Status` object, as the body of a response or in an ERROR event.

use serde_json::{Value, json};

use super::{object::ObjectError, resource::Resource};

/// An answer that is not success.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// HTTP status code.
    pub code: u16,
    reason: &'static str,
    message: String,
    details: Option<Value>,
    /// `metadata.continue`: how an expired page can go on from the present state.
    continue_token: Option<String>,
    /// Value of the Retry-After header, in seconds.
    pub retry_after: Option<u32>,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None, retry_after: None }
    }

    /// The body: a `Status` object.
    pub fn body(&self) -> Vec<u8> {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = Value::String(token.clone());
        }
        status.to_string().into_bytes()
    }

    /// The line of a watch that carries this error.
    pub fn event(&self) -> Vec<u8> {
        let mut line = br#"{"type":"ERROR","object":"#.to_vec();
        line.extend_from_slice(&self.body());
        line.extend_from_slice(b"}\n");
        line
    }

    /// What a fault asked for: an error of any code, in the words that the API server uses for it.
    pub fn injected(code: u16, resource: &Resource, verb: &str) -> Self {
        let what = resource.qualified();
        let (reason, message) = match code {
            400 => ("BadRequest", "the server rejected our request for an unknown reason".to_owned()),
            401 => ("Unauthorized", "Unauthorized".to_owned()),
            403 => (
                "Forbidden",
                format!(
                    "{what} is forbidden: User \"fixture\" cannot {verb} resource \"{}\" in API group \"{}\" at the \
                     cluster scope",
                    resource.plural, resource.group
                ),
            ),
            404 => ("NotFound", "the server could not find the requested resource".to_owned()),
            410 => return Self::expired("too old resource version: asked for by a fault"),
            422 => ("Invalid", format!("{what} is invalid: asked for by a fault")),
            429 => ("TooManyRequests", "Too many requests, please try again later.".to_owned()),
            500 => ("InternalError", "Internal error occurred: asked for by a fault".to_owned()),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
            504 => ("Timeout", "Timeout: request did not complete within the allotted timeout".to_owned()),
            _ => ("Unknown", format!("the server responded with the status code {code}: asked for by a fault")),
        };
        let mut error = Self::new(code, reason, message);
        error.details = Some(json!({"group": resource.group, "kind": resource.plural}));
        error.retry_after = (code == 429).then_some(1);
        error
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for an object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let mut error = Self::new(404, "NotFound", format!("{} \"{name}\" not found", resource.qualified()));
        error.details = Some(json!({"name": name, "group": resource.group, "kind": resource.plural}));
        error
    }

    /// 404 for a path below an API group version that is served.
    pub fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 406: none of the media types that the client accepts is served.
    pub fn not_acceptable() -> Self {
        Self::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/json;stream=watch",
        )
    }

    /// 409: POST of an object that exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let mut error = Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", resource.qualified()));
        error.details = Some(json!({"name": name, "group": resource.group, "kind": resource.plural}));
        error
    }

    /// 409: the resourceVersion or uid that the client expects is not the present one.
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to \
             the latest version and try again",
            resource.qualified()
        );
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(json!({"name": name, "group": resource.group, "kind": resource.plural}));
        error
    }

    /// 410: the resourceVersion is older than the history.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410 of a watch or an exact list from `wanted`, where the history begins at `oldest`.
    pub fn too_old(wanted: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {wanted} ({oldest})"))
    }

    /// 410 of a continue token, with another one that goes on from the present state.
    pub fn expired_continue(inconsistent: String) -> Self {
        let mut error = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
             results. Continuing with the provided token results in an inconsistent list - objects that were created, \
             modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        error.continue_token = Some(inconsistent);
        error
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}"),
        )
    }

    /// 422 for list options.
    pub fn invalid_options(field: &str, message: &str) -> Self {
        let mut error = Self::new(
            422,
            "Invalid",
            format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: Forbidden: {message}"),
        );
        error.details = Some(json!({
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [{"reason": "FieldValueForbidden", "message": format!("Forbidden: {message}"), "field": field}],
        }));
        error
    }

    /// 422 for an object that the store does not take.
    pub fn invalid_object(error: &ObjectError) -> Self {
        Self::new(422, "Invalid", error.to_string())
    }

    /// 504: the client knows of a later resourceVersion than this server.
    pub fn too_large_version(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let mut error = Self::new(504, "Timeout", message);
        error.details = Some(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }));
        error.retry_after = Some(1);
        error
    }
}
