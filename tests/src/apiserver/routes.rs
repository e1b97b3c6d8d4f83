//! From a request to its answer.

use std::{convert::Infallible, sync::Arc};

use hyper::{
    HeaderMap, Method, Request,
    body::Incoming,
    header::{ACCEPT, USER_AGENT},
};

use super::{
    Shared, discovery, list,
    query::{ListOptions, Query, Version, decode},
    reply::{self, Reply, ReplyBody},
    resource::Resource,
    status::ApiError,
    watch, write,
};

/// A request that was answered, or is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLog {
    /// HTTP method.
    pub method: String,
    /// Path, as sent.
    pub path: String,
    /// Query, as sent, without the question mark.
    pub query: String,
    /// Status code; 0 while the answer is held back.
    pub status: u16,
    /// User-Agent of the client.
    pub user_agent: String,
}

/// Which objects a path names.
pub(crate) struct Target {
    pub resource: &'static Resource,
    /// The served version, such as `v1`.
    pub version: &'static str,
    /// Empty: all namespaces, or a resource without.
    pub namespace: String,
    pub name: Option<String>,
}

/// Answers one request and logs it.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    connection: u64,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let entry = shared.log.begin(RequestLog {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: 0,
        user_agent: user_agent(request.headers()),
    });
    let reply = route(&shared, connection, request).await.unwrap_or_else(Reply::from);
    shared.log.end(entry, reply.status().as_u16());
    Ok(reply)
}

fn user_agent(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
}

async fn route(shared: &Arc<Shared>, connection: u64, request: Request<Incoming>) -> Result<Reply, ApiError> {
    let path = request.uri().path().to_owned();
    let segments = path.split('/').filter(|s| !s.is_empty()).map(decode).collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let absent = shared.faults.borrow().absent.clone();
    if let ["healthz" | "livez" | "readyz", ..] = segments[..] {
        return Ok(reply::text(200, "ok"));
    }
    if !accepts_json(request.headers()) {
        return Err(ApiError::not_acceptable());
    }
    if let Some(document) = discovery::document(&segments, &absent) {
        return if request.method() == Method::GET {
            Ok(reply::json(200, document))
        } else {
            Err(ApiError::method_not_allowed())
        };
    }
    let (group, version, rest) = match segments[..] {
        ["api", version, ref rest @ ..] => ("", version, rest),
        ["apis", group, version, ref rest @ ..] if !group.is_empty() => (group, version, rest),
        _ => return Ok(reply::text(404, "404 page not found\n")),
    };
    if !discovery::serves(group, version, &absent) {
        return Ok(reply::text(404, "404 page not found\n"));
    }
    let Some(target) = target(group, version, rest, &absent) else { return Err(ApiError::no_such_resource()) };
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    match (request.method().clone(), &target.name) {
        (Method::GET, Some(name)) => {
            let object = shared.store().get(target.resource, &target.namespace, name);
            let object = object.ok_or_else(|| ApiError::not_found(target.resource, name))?;
            Ok(write::object(200, &object, target.version))
        }
        (Method::GET, None) if query.flag("watch").unwrap_or(false) => {
            let origin = watch::Origin {
                connection,
                path: request.uri().path().to_owned(),
                query: request.uri().query().unwrap_or_default().to_owned(),
                user_agent: user_agent(request.headers()),
            };
            open_watch(shared, &target, &query, origin).await
        }
        (Method::GET, None) => open_list(shared, &target, &query).await,
        (Method::POST, None) | (Method::PUT | Method::PATCH | Method::DELETE, Some(_)) => {
            write::write(shared, &target, &query, request).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The objects named by what follows the group and version in a path.
fn target(group: &str, version: &str, rest: &[&str], absent: &[String]) -> Option<Target> {
    let (namespace, plural, name) = match *rest {
        ["namespaces", namespace, plural] => (namespace, plural, None),
        ["namespaces", namespace, plural, name] => (namespace, plural, Some(name)),
        [plural] => ("", plural, None),
        [plural, name] => ("", plural, Some(name)),
        _ => return None,
    };
    let (resource, version) = Resource::by_path(group, version, plural)?;
    let scoped = !namespace.is_empty();
    // One object of a namespaced resource is only named within its namespace.
    if absent.iter().any(|a| a == plural) || (scoped && !resource.namespaced) {
        return None;
    }
    if resource.namespaced && !scoped && name.is_some() {
        return None;
    }
    Some(Target { resource, version, namespace: namespace.to_owned(), name: name.map(ToOwned::to_owned) })
}

/// Waits while lists are held.
async fn held(shared: &Shared) {
    // The sender lives as long as the server: an error cannot be.
    let _ = shared.faults.subscribe().wait_for(|faults| !faults.hold_lists).await;
}

async fn open_list(shared: &Arc<Shared>, target: &Target, query: &Query) -> Result<Reply, ApiError> {
    held(shared).await;
    let (status, cut_after) = {
        let faults = shared.faults.borrow();
        (faults.list_status, faults.cut_lists_after)
    };
    if let Some(code) = status {
        return Err(ApiError::injected(code, target.resource, "list"));
    }
    let options = ListOptions::parse(query, target.resource, &target.namespace)?;
    options.validate_list()?;
    let snapshot = list::snapshot(&shared.store(), target.resource, &options)?;
    let body = list::page(target.resource, target.version, &options, snapshot, cut_after);
    Ok(reply::stream(ReplyBody::List(body)))
}

async fn open_watch(
    shared: &Arc<Shared>,
    target: &Target,
    query: &Query,
    origin: watch::Origin,
) -> Result<Reply, ApiError> {
    let options = ListOptions::parse(query, target.resource, &target.namespace)?;
    // A watch that begins with the present state is a list in another form.
    if options.send_initial_events == Some(true) || !matches!(options.version, Version::At(_)) {
        held(shared).await;
    }
    let (status, watch_list, ignore, in_stream) = {
        let faults = shared.faults.borrow();
        (faults.watch_status, faults.watch_list, faults.ignore_send_initial_events, faults.expired_in_stream)
    };
    if let Some(code) = status {
        return Err(ApiError::injected(code, target.resource, "watch"));
    }
    if !ignore {
        options.validate_watch(watch_list)?;
    }
    let chunks = match watch::open(shared, target.resource, target.version, options, origin) {
        Ok(chunks) => chunks,
        Err(error) if error.code == 410 && in_stream => watch::failed(&error),
        Err(error) => return Err(error),
    };
    Ok(reply::stream(ReplyBody::Watch(chunks)))
}

/// Whether the client takes plain JSON. A client that names nothing takes anything; a transformed form
/// (`as=Table`, `as=PartialObjectMetadata`) is not plain.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let mut named = false;
    let found = ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        named |= !media_type.is_empty();
        let refused = parts.any(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            key == "as" || (key == "q" && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        matches!(media_type, "application/json" | "application/*" | "*/*") && !refused
    });
    found || !named
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn accept_headers() {
        for (accept, expected) in [
            (&[][..], true),
            (&[""], true),
            (&["application/json"], true),
            (&["*/*"], true),
            (&["application/vnd.kubernetes.protobuf, */*"], true),
            (&["application/vnd.kubernetes.protobuf,application/json"], true),
            (&["application/vnd.kubernetes.protobuf", "application/json"], true),
            (&["application/json;as=Table;v=v1;g=meta.k8s.io,application/json"], true),
            (&["application/json;stream=watch"], true),
            (&["application/vnd.kubernetes.protobuf"], false),
            (&["application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"], false),
            (&["application/json;q=0"], false),
            (&["application/yaml"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(accepts_json(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn paths() {
        for (group, version, rest, expected) in [
            ("", "v1", &["services"][..], Some(("Service", "", None))),
            ("", "v1", &["namespaces"], Some(("Namespace", "", None))),
            ("", "v1", &["namespaces", "a"], Some(("Namespace", "", Some("a")))),
            ("", "v1", &["namespaces", "a", "pods"], Some(("Pod", "a", None))),
            ("", "v1", &["namespaces", "a", "pods", "b"], Some(("Pod", "a", Some("b")))),
            ("", "v1", &["namespaces", "a", "pods", "b", "status"], None),
            ("", "v1", &["namespaces", "a", "nodes"], None),
            ("", "v1", &["pods", "b"], None),
            ("", "v1", &["nodes", "b"], Some(("Node", "", Some("b")))),
            ("", "v2", &["services"], None),
            ("discovery.k8s.io", "v1", &["endpointslices"], Some(("EndpointSlice", "", None))),
            ("discovery.k8s.io", "v1", &["services"], None),
            ("multicluster.x-k8s.io", "v1alpha1", &["serviceimports"], Some(("ServiceImport", "", None))),
            ("multicluster.x-k8s.io", "v1beta1", &["serviceimports"], Some(("ServiceImport", "", None))),
        ] {
            let found = target(group, version, rest, &[]);
            let found = found.as_ref().map(|t| (t.resource.kind, t.namespace.as_str(), t.name.as_deref()));
            assert_eq!(found, expected, "{group}/{version}/{rest:?}");
        }
        assert!(target("", "v1", &["services"], &["services".to_owned()]).is_none());
    }
}
