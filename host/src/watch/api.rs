//! The two requests that a watch is made of: a page of a list, and the stream of changes. Everything read from the
//! server is bounded in size and in the time that it may stand still.

use super::client::{ApiClient, chain};
use super::decode::{self, Status};
use super::limits::Limits;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use rustk8s::object::Kind;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{error::Elapsed, timeout};

/// Bytes of a page; a larger one is asked for again in smaller pages.
const MAX_PAGE: usize = 64 << 20;
/// Bytes of a line of a watch: one object. etcd takes 1.5 MiB, and JSON is a few times its encoding.
const MAX_LINE: usize = 16 << 20;
/// Bytes of an error's body.
const MAX_ERROR: usize = 64 << 10;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server cannot be reached, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// The server stands still.
    #[error("no word from the server in time")]
    Silent,
    /// The server says no.
    #[error("{} {}: {}", .0.code, .0.reason, .0.message)]
    Refused(Status, Option<Duration>),
    /// What the server sent is not what the API promises.
    #[error("{0}")]
    Garbled(String),
    /// A page is larger than we take; ask for fewer objects.
    #[error("a page of the list is larger than {} MiB", MAX_PAGE >> 20)]
    PageTooLarge,
}

impl ApiError {
    /// The version that was asked for is too old: list again (HTTP 410).
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused(status, _) if status.code == 410)
    }

    /// The server does not know streaming lists, or does not want them.
    pub fn refuses_streaming_list(&self) -> bool {
        matches!(self, Self::Refused(status, _) if matches!(status.code, 400 | 405 | 406 | 422 | 501))
    }
}

impl From<Elapsed> for ApiError {
    fn from(_: Elapsed) -> Self {
        Self::Silent
    }
}

/// How long to wait for the server.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the start of a response, and between the parts of a list.
    pub response: Duration,
    /// Between two lines of a watch, bookmarks among them. A watch that stands still longer is taken for dead.
    pub silence: Duration,
    /// Between two lines while a streaming list is sent. Old servers ignore that one is asked for: they never end it.
    pub initial_silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            response: Duration::from_mins(1),
            silence: Duration::from_secs(150),
            initial_silence: Duration::from_secs(10),
        }
    }
}

/// What is watched: all objects of a kind that match the selectors.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The kind.
    pub kind: Kind,
    /// Label selector, or empty.
    pub labels: String,
    /// Field selector, or empty.
    pub fields: &'static str,
}

impl Resource {
    fn path(&self) -> &'static str {
        match self.kind {
            Kind::Namespace => "/api/v1/namespaces",
            Kind::Service => "/api/v1/services",
            Kind::Pod => "/api/v1/pods",
            Kind::EndpointSlice => "/apis/discovery.k8s.io/v1/endpointslices",
            Kind::ServiceImport => "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports",
        }
    }

    /// The last part of the path: what RBAC calls it.
    pub fn plural(&self) -> &'static str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    fn query(&self, parameters: &[(&str, &str)]) -> String {
        let mut text = format!("{}?", self.path());
        let selectors = [("labelSelector", self.labels.as_str()), ("fieldSelector", self.fields)];
        for (name, value) in parameters.iter().copied().chain(selectors).filter(|(_, value)| !value.is_empty()) {
            text.push_str(name);
            text.push('=');
            push_escaped(&mut text, value);
            text.push('&');
        }
        text.pop();
        text
    }
}

/// Appends a value of a query string (RFC 3986 section 3.4).
fn push_escaped(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// Sends requests about one resource.
#[derive(Clone)]
pub struct Api {
    /// The connection.
    pub client: ApiClient,
    /// Limits that all requests of the client share.
    pub limits: Arc<Limits>,
    /// How long to wait.
    pub patience: Patience,
}

impl Api {
    /// The text of a page of at most `limit` objects; `continue_token` is empty for the first.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list(&self, resource: &Resource, limit: u32, continue_token: &str) -> Result<Vec<u8>, ApiError> {
        let limit = limit.to_string();
        let response = self.send(resource.query(&[("limit", limit.as_str()), ("continue", continue_token)])).await?;
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = timeout(self.patience.response, body.frame()).await? {
            let frame = frame.map_err(|error| ApiError::Unreachable(chain(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if text.len() + data.len() > MAX_PAGE {
                return Err(ApiError::PageTooLarge);
            }
            text.extend_from_slice(&data);
        }
        Ok(text)
    }

    /// The changes after `version`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn watch(&self, resource: &Resource, version: &str, seconds: u32) -> Result<WatchStream, ApiError> {
        let seconds = seconds.to_string();
        let parameters = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", seconds.as_str()),
            ("resourceVersion", version),
        ];
        Ok(WatchStream::new(self.send(resource.query(&parameters)).await?.into_body()))
    }

    /// All objects, a bookmark, and then the changes (a streaming list, KEP-3157).
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::refuses_streaming_list`] where the server lacks them.
    pub async fn watch_list(&self, resource: &Resource, seconds: u32) -> Result<WatchStream, ApiError> {
        let seconds = seconds.to_string();
        let parameters = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", seconds.as_str()),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ];
        Ok(WatchStream::new(self.send(resource.query(&parameters)).await?.into_body()))
    }

    async fn send(&self, path: String) -> Result<Response<Body>, ApiError> {
        let request = Request::get(path)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(header::USER_AGENT, HeaderValue::from_static(concat!("rustk8s/", env!("CARGO_PKG_VERSION"))))
            .body(Body::empty())
            .map_err(|error| ApiError::Garbled(error.to_string()))?;
        let _permit = self.limits.admit().await;
        let response = timeout(self.patience.response, self.client.client.send(request)).await?;
        let response = response.map_err(|error| {
            // kube's own words before the cause say nothing to an operator.
            ApiError::Unreachable(match &error {
                kube::Error::Service(cause) => chain(cause.as_ref()),
                kube::Error::HyperError(cause) => chain(cause),
                other => chain(other),
            })
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response<Body>) -> ApiError {
        let code = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        let mut body = response.into_body();
        let mut text = Vec::new();
        while text.len() < MAX_ERROR {
            match timeout(self.patience.response, body.frame()).await {
                Ok(Some(Ok(frame))) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
                _ => break,
            }
        }
        text.truncate(MAX_ERROR);
        let mut status: Status = serde_json::from_slice(&text).unwrap_or_else(|_| {
            // Proxies answer with pages of their own; their first words tell enough.
            let message: String = String::from_utf8_lossy(&text).chars().take(200).collect();
            Status { message: message.split_whitespace().collect::<Vec<_>>().join(" "), ..Status::default() }
        });
        status.code = code;
        ApiError::Refused(status, retry_after)
    }
}

/// The lines of a watch.
pub struct WatchStream {
    body: Body,
    /// What was received and not yet given out.
    buffer: Vec<u8>,
    /// How much of the buffer has been given out.
    start: usize,
    /// How much of the buffer is known to hold no further line end.
    searched: usize,
}

impl WatchStream {
    fn new(body: Body) -> Self {
        Self { body, buffer: Vec::new(), start: 0, searched: 0 }
    }

    /// A whole line that has been received already. Does not wait.
    fn buffered_line(&mut self) -> Option<std::ops::Range<usize>> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        if let Some(end) = end {
            let end = self.searched + end;
            let line = self.start..end;
            self.start = end + 1;
            self.searched = end + 1;
            return Some(line);
        }
        self.searched = self.buffer.len();
        None
    }

    /// The next event. `Ok(None)` at the end of the stream.
    ///
    /// # Errors
    /// The connection broke, nothing came for `silence`, or what came is no event.
    pub async fn next(&mut self, kind: Kind, silence: Duration) -> Result<Option<decode::WatchLine>, ApiError> {
        loop {
            while let Some(line) = self.buffered_line() {
                let line = &self.buffer[line];
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let line = decode::watch_line(kind, line);
                return line.map(Some).map_err(|error| ApiError::Garbled(format!("a watch event: {error}")));
            }
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            if self.buffer.is_empty() {
                // One large object must not keep its memory for the life of the watch.
                self.buffer.shrink_to(64 << 10);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ApiError::Garbled(format!("a watch event is larger than {} MiB", MAX_LINE >> 20)));
            }
            match timeout(silence, self.body.frame()).await? {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(ApiError::Unreachable(chain(&error))),
                // A last line without its end was cut off: the watch goes on from the line before.
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use decode::WatchLine;

    #[test]
    fn selectors_are_escaped() {
        let resource = Resource { kind: Kind::Pod, labels: "a in (b,c),!d".to_owned(), fields: "status.phase!=Failed" };
        let text = resource.query(&[("limit", "500"), ("continue", "")]);
        let expected =
            "/api/v1/pods?limit=500&labelSelector=a%20in%20%28b%2Cc%29%2C%21d&fieldSelector=status.phase%21%3DFailed";
        assert_eq!(text, expected);
        let plain = Resource { kind: Kind::EndpointSlice, labels: String::new(), fields: "" };
        assert_eq!(plain.query(&[]), "/apis/discovery.k8s.io/v1/endpointslices");
        assert_eq!(plain.plural(), "endpointslices");
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_frames_end() {
        let event = |name: &str| format!(r#"{{"type":"ADDED","object":{{"metadata":{{"name":"{name}"}}}}}}"#);
        let text = format!("{}\n\r\n{}\n{{\"type\":\"ADD", event("a"), event("b"));
        let mut stream = WatchStream::new(Body::from(text.into_bytes()));
        let mut names = Vec::new();
        while let Some(line) = stream.next(Kind::Namespace, Duration::from_secs(5)).await.unwrap() {
            let WatchLine::Change(rustk8s::object::Event::Upsert(object)) = line else { panic!("{line:?}") };
            names.push(object.meta().name.clone());
        }
        assert_eq!(names, ["a", "b"]);
        // The same in pieces: the buffer is searched across them.
        let mut stream = WatchStream::new(Body::empty());
        let text = format!("{}\n", event("c"));
        for byte in text.bytes() {
            assert!(stream.buffered_line().is_none());
            stream.buffer.push(byte);
        }
        let line = stream.buffered_line().unwrap();
        assert_eq!(&stream.buffer[line], event("c").as_bytes());
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let mut stream = WatchStream::new(Body::from(vec![b'x'; MAX_LINE + 1]));
        let error = stream.next(Kind::Pod, Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains("larger than 16 MiB"), "{error}");
    }
}
