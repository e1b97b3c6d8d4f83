//! The control endpoint: what a test in Rust does by [`ApiServer`]'s methods, by HTTP, for shells and other languages.
//!
//! It has an address of its own, so that it works while the API server is away and is never taken for a part of it.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /fixture/upsert` | body: objects in any form of [`manifest`]; creates or updates each |
//! | `POST /fixture/replace` | the same, but they become the whole content |
//! | `POST /fixture/delete?kind=&namespace=&name=` | deletes one object |
//! | `POST /fixture/clear` | deletes all |
//! | `GET /fixture/faults`, `POST` the same | shows [`Faults`]; body: a JSON object with the faults to change |
//! | `POST /fixture/drop-watches`, `silence-watches`, `expire-watches`, `send-bookmarks` | the methods of these names |
//! | `POST /fixture/inject?kind=` | body: one line for every open watch of that kind |
//! | `POST /fixture/compact` | forgets the history |
//! | `POST /fixture/stop`, `start` | the API server goes away, and comes back on its port |
//! | `GET /fixture/requests`, `DELETE` the same | the requests so far; forgets them |
//! | `GET /fixture/watches` | the open watches |
//! | `GET /fixture/state` | URL, resourceVersion, objects of each kind, whether every open watch has seen all |
//! | `GET /fixture/kubeconfig` | a kubeconfig for the API server |

use std::{collections::HashMap, io, net::Ipv4Addr, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{ApiServer, Faults, manifest};

/// Bytes of a body: a whole cluster.
const LIMIT: usize = 1 << 30;

type Server = State<Arc<ApiServer>>;

/// Listens on 127.0.0.1 (port 0: a free one), gives the address, and serves until the future is dropped.
pub async fn serve(api: Arc<ApiServer>, port: u16) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/fixture/upsert", post(upsert))
        .route("/fixture/replace", post(replace))
        .route("/fixture/delete", post(delete))
        .route("/fixture/clear", post(clear))
        .route("/fixture/faults", get(faults).post(change_faults))
        .route("/fixture/drop-watches", post(async |State(api): Server| count(api.drop_watches())))
        .route("/fixture/silence-watches", post(async |State(api): Server| count(api.silence_watches())))
        .route("/fixture/expire-watches", post(async |State(api): Server| count(api.expire_watches())))
        .route("/fixture/send-bookmarks", post(async |State(api): Server| count(api.send_bookmarks())))
        .route("/fixture/inject", post(inject))
        .route("/fixture/compact", post(compact))
        .route("/fixture/stop", post(stop))
        .route("/fixture/start", post(start))
        .route("/fixture/requests", get(requests).delete(clear_requests))
        .route("/fixture/watches", get(watches))
        .route("/fixture/state", get(state))
        .route("/fixture/kubeconfig", get(async |State(api): Server| api.kubeconfig()))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(api);
    Ok((address, async move { axum::serve(listener, router).await }))
}

fn reply(value: &Value) -> Response {
    ([("content-type", "application/json")], format!("{value}\n")).into_response()
}

fn refuse(message: impl Into<String>) -> Response {
    (StatusCode::BAD_REQUEST, message.into() + "\n").into_response()
}

fn count(watches: usize) -> Response {
    reply(&json!({"watches": watches}))
}

fn done(api: &ApiServer) -> Response {
    reply(&json!({"resourceVersion": api.resource_version()}))
}

/// Objects of a body: JSON, or else YAML.
fn objects(body: &str) -> Result<Vec<Value>, String> {
    manifest::parse_json(body)
        .or_else(|json| manifest::parse_yaml(body).map_err(|yaml| format!("neither JSON ({json}) nor YAML ({yaml})")))
}

async fn upsert(State(api): Server, body: String) -> Response {
    let objects = match objects(&body) {
        Ok(objects) => objects,
        Err(message) => return refuse(message),
    };
    for object in objects {
        if let Err(error) = api.try_upsert(object) {
            return refuse(error.to_string());
        }
    }
    done(&api)
}

async fn replace(State(api): Server, body: String) -> Response {
    match objects(&body).and_then(|objects| api.try_replace_all(objects).map_err(|e| e.to_string())) {
        Ok(()) => done(&api),
        Err(message) => refuse(message),
    }
}

async fn delete(State(api): Server, Query(query): Query<HashMap<String, String>>) -> Response {
    let get = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    if api.delete(get("kind"), get("namespace"), get("name")) {
        done(&api)
    } else {
        (StatusCode::NOT_FOUND, "no such object: name it by ?kind=Service&namespace=NS&name=NAME\n").into_response()
    }
}

async fn clear(State(api): Server) -> Response {
    api.clear();
    done(&api)
}

async fn faults(State(api): Server) -> Response {
    show_faults(&api)
}

fn show_faults(api: &ApiServer) -> Response {
    match serde_json::to_value(api.current_faults()) {
        Ok(value) => reply(&value),
        Err(error) => refuse(error.to_string()),
    }
}

async fn change_faults(State(api): Server, body: String) -> Response {
    let changed = serde_json::from_str::<Map<String, Value>>(&body).and_then(|changes| {
        let mut value = serde_json::to_value(api.current_faults())?;
        if let Some(value) = value.as_object_mut() {
            value.extend(changes);
        }
        serde_json::from_value::<Faults>(value)
    });
    match changed {
        Ok(faults) => {
            api.set_faults(faults);
            show_faults(&api)
        }
        Err(error) => refuse(format!("faults: {error}")),
    }
}

async fn inject(State(api): Server, Query(query): Query<HashMap<String, String>>, body: String) -> Response {
    let kind = query.get("kind").map(String::as_str).unwrap_or_default();
    match api.inject(kind, body.trim_end_matches('\n')) {
        Some(watches) => count(watches),
        None => refuse("no such kind: name it by ?kind=Service"),
    }
}

async fn compact(State(api): Server) -> Response {
    api.compact();
    done(&api)
}

async fn stop(State(api): Server) -> Response {
    match api.stop_listening().await {
        Ok(()) => done(&api),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn start(State(api): Server) -> Response {
    match api.start_listening().await {
        Ok(()) => done(&api),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn requests(State(api): Server) -> Response {
    let list = api.requests().into_iter().map(|r| {
        json!({"method": r.method, "path": r.path, "query": r.query, "status": r.status, "userAgent": r.user_agent})
    });
    reply(&list.collect())
}

async fn clear_requests(State(api): Server) -> Response {
    api.clear_requests();
    done(&api)
}

async fn watches(State(api): Server) -> Response {
    let list = api
        .open_watches()
        .into_iter()
        .map(|w| json!({"path": w.path, "query": w.query, "userAgent": w.user_agent, "delivered": w.delivered}));
    reply(&list.collect())
}

async fn state(State(api): Server) -> Response {
    reply(&json!({
        "url": api.url(),
        "resourceVersion": api.resource_version(),
        "objects": api.counts(),
        "caughtUp": api.is_caught_up(),
    }))
}
