//! Lists: paging, and the body that streams the cached bytes of each object.

use std::{
    fmt::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Bytes, Frame};

use super::{
    object::{Stored, write_type},
    query::{ContinueToken, ListOptions, Version, VersionMatch},
    reply::CutShort,
    resource::Resource,
    status::ApiError,
    store::{Snapshot, Store},
};

/// Bytes of a chunk, about: one object more may fit.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The state that `options` ask for, not yet filtered.
pub(crate) fn snapshot(store: &Store, resource: &Resource, options: &ListOptions) -> Result<Snapshot, ApiError> {
    let namespace = &options.filter.namespace;
    if let Some(token) = &options.continue_token {
        let Some(version) = token.version else { return Ok(store.snapshot(resource, namespace)) };
        if version > store.version() {
            return Err(ApiError::bad_request("continue key is not valid: it is from the future"));
        }
        return store.snapshot_at(resource, namespace, version).map_err(|_| {
            let inconsistent = ContinueToken { version: None, after: token.after.clone() };
            ApiError::expired_continue(inconsistent.encode())
        });
    }
    match options.version {
        Version::At(version) if version > store.version() => Err(ApiError::too_large_version(version, store.version())),
        Version::At(version) if options.version_match == Some(VersionMatch::Exact) => store
            .snapshot_at(resource, namespace, version)
            .map_err(|expired| ApiError::too_old(version, expired.oldest)),
        // Without Exact any state that is not older will do, and the present one is.
        _ => Ok(store.snapshot(resource, namespace)),
    }
}

/// Selects from `snapshot` the page that `options` ask for. `version` is the served version of the request's path.
pub(crate) fn page(
    resource: &'static Resource,
    version: &'static str,
    options: &ListOptions,
    snapshot: Snapshot,
    cut_after: Option<usize>,
) -> ListBody {
    let key = |object: &Stored| resource.key(&object.namespace, &object.name);
    let mut objects = snapshot.objects;
    if let Some(token) = &options.continue_token {
        let start = objects.partition_point(|object| key(object) <= token.after);
        objects.drain(..start);
    }
    objects.retain(|object| options.filter.matches(object));
    let mut metadata = format!(r#""metadata":{{"resourceVersion":"{}""#, snapshot.version);
    // As the watch cache does: from any state means all of it, whatever the limit.
    let limit = options.limit.filter(|_| options.version != Version::Any || options.continue_token.is_some());
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok())
        && objects.len() > limit
    {
        let remaining = objects.len() - limit;
        objects.truncate(limit);
        let after = objects.last().map(|object| key(object)).unwrap_or_default();
        let token = ContinueToken { version: Some(snapshot.version), after };
        let _ = write!(metadata, r#","continue":"{}""#, token.encode());
        if !options.filter.is_selective() {
            let _ = write!(metadata, r#","remainingItemCount":{remaining}"#);
        }
    }
    metadata.push('}');
    ListBody::new(resource, version, &metadata, objects, cut_after)
}

/// The body of a list, made as it is read.
pub(crate) struct ListBody {
    version: &'static str,
    head: Vec<u8>,
    objects: std::vec::IntoIter<Arc<Stored>>,
    sent: usize,
    /// What ends the list; empty once it was sent.
    foot: Vec<u8>,
    cut_after: Option<usize>,
}

impl ListBody {
    fn new(
        resource: &'static Resource,
        version: &'static str,
        metadata: &str,
        objects: Vec<Arc<Stored>>,
        cut_after: Option<usize>,
    ) -> Self {
        let kind = format!("{}List", resource.kind);
        let mut types = Vec::new();
        write_type(&mut types, resource, version, &kind);
        let (head, foot) = if resource.custom {
            // Keys in alphabetical order: apiVersion, items, kind, metadata.
            let types = String::from_utf8_lossy(&types).into_owned();
            let (api_version, kind) = types.split_once(r#","kind""#).unwrap_or((&types, ""));
            (format!(r#"{{{api_version},"items":["#), format!(r#"],"kind"{kind},{metadata}}}"#))
        } else {
            (format!(r#"{{{},{metadata},"items":["#, String::from_utf8_lossy(&types)), "]}".to_owned())
        };
        Self {
            version,
            head: head.into_bytes(),
            objects: objects.into_iter(),
            sent: 0,
            foot: (foot + "\n").into_bytes(),
            cut_after,
        }
    }
}

impl Body for ListBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        if this.foot.is_empty() {
            return Poll::Ready(None);
        }
        let mut chunk = std::mem::take(&mut this.head);
        chunk.reserve(CHUNK);
        loop {
            if this.cut_after.is_some_and(|most| this.sent >= most) {
                if chunk.is_empty() {
                    return Poll::Ready(Some(Err(CutShort)));
                }
                break;
            }
            let Some(object) = this.objects.next() else {
                chunk.append(&mut this.foot);
                break;
            };
            if this.sent > 0 {
                chunk.push(b',');
            }
            object.write_item(&mut chunk, this.version);
            this.sent += 1;
            if chunk.len() >= CHUNK {
                break;
            }
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }

    fn is_end_stream(&self) -> bool {
        self.foot.is_empty()
    }
}
