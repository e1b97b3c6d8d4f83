//! The API server fixture: over raw HTTP, with kube's client and watchers, and as a program.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{BufRead as _, Write as _},
    pin::pin,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, Event, watcher},
};
use rustk8s_tests::apiserver::{ApiServer, Faults, Options};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// A test that waits longer than this has failed.
const GUARD: Duration = Duration::from_mins(1);

async fn guard<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// A connection that speaks HTTP/1.1 without the help of a library, so that the bytes are seen as they are.
struct Http {
    stream: BufReader<TcpStream>,
}

struct Head {
    status: u16,
    headers: BTreeMap<String, String>,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn names(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        names(&self.json())
    }
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// What comes out of a watch.
#[derive(Debug, PartialEq)]
enum Next {
    Event(Value),
    /// The response is complete.
    End,
    /// The connection closed before that.
    Cut,
}

impl Http {
    async fn open(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// Sends a request; `target` and `headers` are sent as they are.
    async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) {
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: fixture\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match guard("a line", self.stream.read_until(b'\n', &mut line)).await {
            Ok(_) if line.ends_with(b"\n") => Some(String::from_utf8(line).unwrap().trim_end().to_owned()),
            _ => None,
        }
    }

    async fn head(&mut self) -> Option<Head> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { return Some(Head { status, headers }) };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }

    /// The next chunk; empty at the end of the body, none if the connection closed before that.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let mut data = vec![0; size + 2];
        guard("a chunk", self.stream.read_exact(&mut data)).await.ok()?;
        data.truncate(size);
        Some(data)
    }

    /// The whole answer; none if the connection closed before its end.
    async fn answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let mut body = Vec::new();
        if let Some(length) = head.headers.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            guard("a body", self.stream.read_exact(&mut body)).await.ok()?;
        } else {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
        }
        Some(Answer { status: head.status, headers: head.headers, text: String::from_utf8(body).unwrap() })
    }
}

async fn request(api: &ApiServer, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut http = Http::open(&api.url()).await;
    http.send(method, target, headers, body).await;
    http.answer().await.unwrap()
}

async fn get(api: &ApiServer, target: &str) -> Answer {
    request(api, "GET", target, &[], "").await
}

/// An open watch.
struct Watch {
    http: Http,
    pending: Vec<u8>,
}

impl Watch {
    async fn open(api: &ApiServer, target: &str) -> Self {
        let mut http = Http::open(&api.url()).await;
        http.send("GET", target, &[], "").await;
        let head = http.head().await.unwrap();
        assert_eq!(head.status, 200, "{target}");
        assert_eq!(head.headers["content-type"], "application/json");
        Self { http, pending: Vec::new() }
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Next::Event(
                    serde_json::from_slice(&line).unwrap_or_else(
                        |_| json!({"type": "RAW", "object": String::from_utf8_lossy(&line).trim_end()}),
                    ),
                );
            }
            match self.http.chunk().await {
                None => return Next::Cut,
                Some(chunk) if chunk.is_empty() => return Next::End,
                Some(chunk) => self.pending.extend_from_slice(&chunk),
            }
        }
    }

    async fn event(&mut self) -> Value {
        match self.next().await {
            Next::Event(event) => event,
            other => panic!("{other:?} instead of an event"),
        }
    }

    /// The next events in short: `ADDED name`, `BOOKMARK`, `ERROR 410`.
    async fn brief(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(brief(&self.event().await));
        }
        events
    }
}

fn brief(event: &Value) -> String {
    let event_type = event["type"].as_str().unwrap();
    match event_type {
        "BOOKMARK" if event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true" => {
            "BOOKMARK end".to_owned()
        }
        "BOOKMARK" => "BOOKMARK".to_owned(),
        "ERROR" => format!("ERROR {}", event["object"]["code"]),
        "RAW" => format!("RAW {}", event["object"].as_str().unwrap()),
        other => format!("{other} {}", event["object"]["metadata"]["name"].as_str().unwrap()),
    }
}

fn service(namespace: &str, name: &str, labels: &[(&str, &str)], address: &str) -> Value {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": address, "type": "ClusterIP", "ports": [{"name": "http", "port": 80}]},
    })
}

fn pod(namespace: &str, name: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": []}, "status": {"phase": phase, "podIP": "10.1.0.1"},
    })
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        let _ = if b.is_ascii_alphanumeric() { write!(out, "{}", char::from(b)) } else { write!(out, "%{b:02X}") };
        out
    })
}

#[tokio::test]
async fn lists_select() {
    let api = ApiServer::start().await.unwrap();
    for (namespace, name, labels) in [
        ("a", "one", &[("app", "web"), ("tier", "front")][..]),
        ("a", "two", &[("app", "db")]),
        ("a-b", "three", &[]),
        ("b", "four", &[("app", "web")]),
    ] {
        api.upsert(service(namespace, name, labels, "10.0.0.1"));
    }
    for (name, phase) in [("p-run", "Running"), ("p-done", "Succeeded"), ("p-fail", "Failed")] {
        api.upsert(pod("a", name, phase));
    }
    api.upsert(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"x": "y"}}}));
    api.upsert(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}));
    for (path, labels, fields, expected) in [
        // As etcd orders keys: "a-b/" before "a/".
        ("/api/v1/services", "", "", "three one two four"),
        ("/api/v1/namespaces/a/services", "", "", "one two"),
        ("/api/v1/namespaces/a-b/services", "", "", "three"),
        ("/api/v1/namespaces/none/services", "", "", ""),
        ("/api/v1/services", "app", "", "one two four"),
        ("/api/v1/services", "!app", "", "three"),
        ("/api/v1/services", "app=web", "", "one four"),
        ("/api/v1/services", "app == web,tier", "", "one"),
        ("/api/v1/services", "app in (web, db),tier notin (front)", "", "two four"),
        ("/api/v1/services", "app!=web", "", "three two"),
        ("/api/v1/namespaces/b/services", "app=web", "", "four"),
        ("/api/v1/services", "", "metadata.name=one", "one"),
        ("/api/v1/services", "", "metadata.namespace!=a", "three four"),
        ("/api/v1/services", "app=web", "metadata.name!=one,metadata.namespace=b", "four"),
        ("/api/v1/pods", "", "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown", "p-run"),
        ("/api/v1/pods", "", "status.phase!=Running,", "p-done p-fail"),
        ("/api/v1/pods", "", "status.phase==Failed", "p-fail"),
        ("/api/v1/namespaces", "x in (y,z)", "", "a"),
        ("/api/v1/namespaces", "", "metadata.name=b", "b"),
        ("/apis/discovery.k8s.io/v1/endpointslices", "", "", ""),
    ] {
        let target = format!("{path}?labelSelector={}&fieldSelector={}", encode(labels), encode(fields));
        assert_eq!(get(&api, &target).await.names().join(" "), expected, "{path} {labels} {fields}");
    }
}

#[tokio::test]
async fn a_list_looks_as_from_a_real_server() {
    let api = ApiServer::start().await.unwrap();
    let version = api.upsert(service("a", "one", &[], "10.0.0.1")).to_string();
    let answer = get(&api, "/api/v1/services").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let list = answer.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ServiceList"), &json!("v1")));
    assert_eq!(list["metadata"], json!({"resourceVersion": version}));
    let item = &list["items"][0];
    // Items of built-in kinds do not say what they are.
    assert_eq!((item.get("kind"), item.get("apiVersion")), (None, None));
    assert_eq!(item["metadata"]["resourceVersion"], version);
    assert!(!item["metadata"]["uid"].as_str().unwrap().is_empty());
    assert!(item["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(item["spec"]["ports"][0]["port"], 80);
    let one = get(&api, "/api/v1/namespaces/a/services/one").await.json();
    assert_eq!((&one["kind"], &one["apiVersion"]), (&json!("Service"), &json!("v1")));
    assert_eq!(one["metadata"], item["metadata"]);
}

#[tokio::test]
async fn custom_resources_in_every_version() {
    let api = ApiServer::start().await.unwrap();
    api.upsert(json!({
        "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport",
        "metadata": {"name": "i", "namespace": "n"}, "spec": {"type": "Headless"},
    }));
    for version in ["v1alpha1", "v1beta1"] {
        let path = format!("/apis/multicluster.x-k8s.io/{version}/serviceimports");
        let answer = get(&api, &path).await;
        let list = answer.json();
        assert_eq!(list["kind"], "ServiceImportList");
        let item = &list["items"][0];
        assert_eq!(item["kind"], "ServiceImport");
        assert_eq!(item["apiVersion"], format!("multicluster.x-k8s.io/{version}"));
        assert_eq!(list["apiVersion"], item["apiVersion"]);
        // Keys in alphabetical order: a client that reads a stream meets the resourceVersion last.
        let place = |text: &str| answer.text.find(text).unwrap();
        assert!(place("\"items\"") < place("\"ServiceImportList\""));
        assert!(place("\"ServiceImportList\"") < answer.text.rfind("\"metadata\"").unwrap());
        let mut watch = Watch::open(&api, &format!("{path}?watch=1")).await;
        let event = watch.event().await;
        assert_eq!(event["object"]["apiVersion"], item["apiVersion"]);
    }
}

#[tokio::test]
async fn bad_requests() {
    let api = ApiServer::start().await.unwrap();
    for i in 0..5 {
        api.upsert(service("a", &format!("s{i}"), &[], "10.0.0.1"));
    }
    for (target, status, reason) in [
        ("/api/v1/services?labelSelector=a%20b", 400, "BadRequest"),
        ("/api/v1/services?labelSelector=a+in+b", 400, "BadRequest"),
        ("/api/v1/services?watch=1&labelSelector=%2C", 400, "BadRequest"),
        ("/api/v1/services?fieldSelector=spec.other%3Dx", 400, "BadRequest"),
        ("/api/v1/services?fieldSelector=x", 400, "BadRequest"),
        ("/api/v1/services?resourceVersion=x", 400, "BadRequest"),
        ("/api/v1/services?limit=x", 400, "BadRequest"),
        ("/api/v1/services?continue=zz", 400, "BadRequest"),
        ("/api/v1/services?watch=1&timeoutSeconds=-1", 400, "BadRequest"),
        ("/api/v1/services?a=%zz", 400, "BadRequest"),
        ("/api/v1/services?resourceVersionMatch=Exact", 422, "Invalid"),
        ("/api/v1/services?resourceVersionMatch=Other&resourceVersion=1", 422, "Invalid"),
        ("/api/v1/services?resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid"),
        ("/api/v1/services?sendInitialEvents=true", 422, "Invalid"),
        ("/api/v1/services?watch=1&sendInitialEvents=true", 422, "Invalid"),
        ("/api/v1/services?watch=1&resourceVersionMatch=NotOlderThan", 422, "Invalid"),
        ("/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422, "Invalid"),
        ("/api/v1/services?resourceVersion=99999", 504, "Timeout"),
        (
            "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999",
            504,
            "Timeout",
        ),
        ("/api/v1/namespaces/a/services/none", 404, "NotFound"),
        ("/api/v1/foos", 404, "NotFound"),
        ("/api/v1/namespaces/a/services/s1/status", 404, "NotFound"),
    ] {
        let answer = get(&api, target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text);
        let body = answer.json();
        assert_eq!((&body["kind"], &body["status"]), (&json!("Status"), &json!("Failure")), "{target}");
        assert_eq!((&body["reason"], &body["code"]), (&json!(reason), &json!(status)), "{target}");
    }
    for target in ["/apis/apps/v1/deployments", "/api/v2/services", "/nothing", "/apis/discovery.k8s.io/v1beta1"] {
        let answer = get(&api, target).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, "404 page not found\n"), "{target}");
    }
    for (method, target) in
        [("DELETE", "/api/v1/services"), ("POST", "/api/v1/namespaces/a/services/s1"), ("PUT", "/version")]
    {
        assert_eq!(request(&api, method, target, &[], "").await.status, 405, "{method} {target}");
    }
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    assert_eq!(request(&api, "GET", "/api/v1/services", &protobuf, "").await.status, 406);
    let either = [("accept", "application/vnd.kubernetes.protobuf, */*")];
    assert_eq!(request(&api, "GET", "/api/v1/services", &either, "").await.names().len(), 5);
}

#[tokio::test]
async fn pages_show_one_state() {
    let api = ApiServer::start().await.unwrap();
    for i in 0..5 {
        api.upsert(service("a", &format!("s{i}"), &[("k", "v")], "10.0.0.1"));
    }
    let version = api.resource_version().to_string();
    let first = get(&api, "/api/v1/services?limit=2").await.json();
    assert_eq!(names(&first), ["s0", "s1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"].as_str().unwrap();
    // What changes between the pages does not show.
    api.delete("Service", "a", "s2");
    api.upsert(service("a", "s25", &[], "10.0.0.1"));
    api.upsert(service("a", "s3", &[], "10.9.9.9"));
    let second = get(&api, &format!("/api/v1/services?limit=2&continue={token}")).await.json();
    assert_eq!(names(&second), ["s2", "s3"]);
    assert_eq!(second["items"][1]["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(second["metadata"]["resourceVersion"], version);
    let last = second["metadata"]["continue"].as_str().unwrap();
    let third = get(&api, &format!("/api/v1/services?limit=2&continue={last}")).await.json();
    assert_eq!(names(&third), ["s4"]);
    assert_eq!(third["metadata"], json!({"resourceVersion": version}));
    // A selector: the number that remains is not said. From any state: no pages.
    let selected = get(&api, "/api/v1/services?limit=1&labelSelector=k").await.json();
    assert_eq!(selected["metadata"].get("remainingItemCount"), None);
    assert!(selected["metadata"]["continue"].is_string());
    assert_eq!(get(&api, "/api/v1/services?limit=1&resourceVersion=0").await.names().len(), 5);
    // The history is forgotten: the token too, but another one goes on with the present.
    api.compact();
    let gone = get(&api, &format!("/api/v1/services?limit=2&continue={token}")).await;
    assert_eq!((gone.status, &gone.json()["reason"]), (410, &json!("Expired")));
    let token = gone.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(get(&api, &format!("/api/v1/services?continue={token}")).await.names(), ["s25", "s3", "s4"]);
}

#[tokio::test]
async fn lists_at_a_resource_version() {
    let api = ApiServer::start().await.unwrap();
    let first = api.upsert(service("a", "one", &[], "10.0.0.1"));
    let second = api.upsert(service("a", "two", &[], "10.0.0.2"));
    let exact = |version: u64| format!("/api/v1/services?resourceVersionMatch=Exact&resourceVersion={version}");
    assert_eq!(get(&api, &exact(first)).await.names(), ["one"]);
    assert_eq!(get(&api, &exact(second)).await.names(), ["one", "two"]);
    for query in
        [format!("resourceVersion={first}"), format!("resourceVersion={first}&resourceVersionMatch=NotOlderThan")]
    {
        assert_eq!(get(&api, &format!("/api/v1/services?{query}")).await.names(), ["one", "two"], "{query}");
    }
    api.compact();
    assert_eq!(get(&api, &exact(first)).await.status, 410);
    assert_eq!(get(&api, &exact(second)).await.names(), ["one", "two"]);
}

/// One step of a watch's test.
enum Do {
    Up(Value),
    Down(&'static str, &'static str, &'static str),
}

#[tokio::test]
async fn watches_see_what_they_select() {
    use Do::{Down, Up};
    let labelled = |value| service("a", "x", &[("app", value)], "10.0.0.1");
    for (what, query, before, after, expected) in [
        (
            "from the present state, then changes",
            "/api/v1/services?watch=true",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db")), Down("Service", "a", "x")],
            "ADDED x, MODIFIED x, DELETED x",
        ),
        (
            "from any state",
            "/api/v1/services?watch=1&resourceVersion=0",
            vec![Up(labelled("web")), Up(service("b", "y", &[], "1"))],
            vec![Up(service("b", "z", &[], "1"))],
            "ADDED x, ADDED y, ADDED z",
        ),
        (
            "after a resourceVersion, replayed",
            "/api/v1/services?watch=1&resourceVersion=2",
            vec![Up(labelled("web")), Up(labelled("db")), Down("Service", "a", "x"), Up(labelled("web"))],
            vec![Up(labelled("new"))],
            "MODIFIED x, DELETED x, ADDED x, MODIFIED x",
        ),
        (
            "an update that changes nothing is no event",
            "/api/v1/services?watch=1&resourceVersion=2",
            vec![Up(labelled("web"))],
            vec![Up(labelled("web")), Up(labelled("db"))],
            "MODIFIED x",
        ),
        (
            "an object that ceases to match is deleted, one that begins to is added",
            "/api/v1/services?watch=1&resourceVersion=1&labelSelector=app%3Dweb",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db")), Up(labelled("none")), Up(labelled("web")), Down("Service", "a", "x")],
            "ADDED x, DELETED x, ADDED x, DELETED x",
        ),
        (
            "an object that never matched is never seen",
            "/api/v1/services?watch=1&labelSelector=!app",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db")), Down("Service", "a", "x"), Up(service("a", "y", &[], "1"))],
            "ADDED y",
        ),
        (
            "a field that changes, as CoreDNS watches pods",
            "/api/v1/pods?watch=1&fieldSelector=status.phase!%3DSucceeded%2Cstatus.phase!%3DFailed%2C",
            vec![Up(pod("a", "p", "Pending"))],
            vec![
                Up(pod("a", "p", "Running")),
                Up(pod("a", "p", "Succeeded")),
                Down("Pod", "a", "p"),
                Up(pod("a", "q", "Failed")),
                Up(pod("a", "q", "Running")),
            ],
            "ADDED p, MODIFIED p, DELETED p, ADDED q",
        ),
        (
            "one namespace",
            "/api/v1/namespaces/b/services?watch=1",
            vec![Up(labelled("web")), Up(service("b", "y", &[], "1"))],
            vec![Up(labelled("db")), Down("Service", "a", "x"), Up(service("b", "y", &[], "2"))],
            "ADDED y, MODIFIED y",
        ),
        (
            "one object",
            "/api/v1/services?watch=1&fieldSelector=metadata.name%3Dy",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db")), Up(service("b", "y", &[], "2")), Down("Service", "b", "y")],
            "ADDED y, DELETED y",
        ),
        (
            "other kinds are not seen",
            "/apis/discovery.k8s.io/v1/endpointslices?watch=1",
            vec![Up(labelled("web"))],
            vec![
                Up(labelled("db")),
                Up(json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                    "metadata": {"name": "e", "namespace": "a"}, "addressType": "IPv4", "endpoints": [],
                })),
            ],
            "ADDED e",
        ),
        (
            "a streaming list",
            "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true\
             &labelSelector=app",
            vec![Up(labelled("web")), Up(service("a", "y", &[], "1"))],
            vec![Up(labelled("db"))],
            "ADDED x, BOOKMARK end, MODIFIED x",
        ),
        (
            "a streaming list of nothing, not older than",
            "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true\
             &resourceVersion=2",
            vec![Up(labelled("web"))],
            vec![Up(pod("a", "p", "Running"))],
            "BOOKMARK end, ADDED p",
        ),
        (
            "a streaming list without bookmarks",
            "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db"))],
            "ADDED x, MODIFIED x",
        ),
        (
            "no initial events",
            "/api/v1/services?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0",
            vec![Up(labelled("web"))],
            vec![Up(labelled("db"))],
            "MODIFIED x",
        ),
        (
            "from a resourceVersion that is still to come",
            "/api/v1/services?watch=1&resourceVersion=4",
            vec![Up(labelled("1"))],
            vec![Up(labelled("2")), Up(labelled("3")), Up(labelled("4")), Up(labelled("5"))],
            "MODIFIED x, MODIFIED x",
        ),
    ] {
        let api = ApiServer::start().await.unwrap();
        let run = |steps: Vec<Do>| {
            for step in steps {
                match step {
                    Up(object) => {
                        api.upsert(object);
                    }
                    Down(kind, namespace, name) => assert!(api.delete(kind, namespace, name), "{what}"),
                }
            }
        };
        run(before);
        let mut watch = Watch::open(&api, query).await;
        run(after);
        // The mark: nothing but the expected events comes before it.
        let expected: Vec<&str> = expected.split(", ").collect();
        assert_eq!(watch.brief(expected.len()).await, expected, "{what}");
        guard(what, api.caught_up()).await;
        assert_eq!(api.drop_watches(), 1, "{what}");
        assert_eq!(watch.next().await, Next::Cut, "{what}: an event more");
    }
}

#[tokio::test]
async fn the_resource_versions_of_events() {
    let api = ApiServer::start().await.unwrap();
    let first = api.upsert(service("a", "x", &[("app", "web")], "10.0.0.1"));
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1&labelSelector=app%3Dweb").await;
    let mut all = Watch::open(&api, "/api/v1/services?watch=1").await;
    let second = api.upsert(service("a", "x", &[("app", "db")], "10.0.0.2"));
    let added = watch.event().await;
    assert_eq!(added["object"]["metadata"]["resourceVersion"], first.to_string());
    assert_eq!((&added["object"]["kind"], &added["object"]["apiVersion"]), (&json!("Service"), &json!("v1")));
    // It left the selector: its last matching state, at the resourceVersion of the change.
    let left = watch.event().await;
    assert_eq!(left["object"]["metadata"]["resourceVersion"], second.to_string());
    assert_eq!(left["object"]["spec"]["clusterIP"], "10.0.0.1");
    assert!(api.delete("services", "a", "x"));
    assert_eq!(all.brief(2).await, ["ADDED x", "MODIFIED x"]);
    let deleted = all.event().await;
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["spec"]["clusterIP"], "10.0.0.2");
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], api.resource_version().to_string());
    assert!(api.resource_version() > second);
    assert!(!api.delete("Service", "a", "x"));
    assert!(!api.delete("Other", "a", "x"));
}

#[tokio::test]
async fn bookmarks() {
    let api = ApiServer::start().await.unwrap();
    api.upsert(service("a", "x", &[], "10.0.0.1"));
    let mut with = Watch::open(&api, "/api/v1/services?watch=1&allowWatchBookmarks=true").await;
    let mut without = Watch::open(&api, "/api/v1/services?watch=1").await;
    let mut slices =
        Watch::open(&api, "/apis/discovery.k8s.io/v1/endpointslices?watch=1&allowWatchBookmarks=true").await;
    assert_eq!(with.brief(1).await, ["ADDED x"]);
    // A change of another kind: the bookmark carries the resourceVersion that all have reached.
    let version = api.upsert(pod("a", "p", "Running"));
    assert_eq!(api.send_bookmarks(), 3);
    let bookmark = with.event().await;
    assert_eq!(
        bookmark,
        json!({"type": "BOOKMARK", "object": {
            "kind": "Service", "apiVersion": "v1",
            "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
            "spec": {}, "status": {"loadBalancer": {}},
        }})
    );
    let bookmark = slices.event().await;
    assert_eq!(bookmark["object"]["endpoints"], Value::Null);
    assert_eq!(bookmark["object"]["kind"], "EndpointSlice");
    // By the clock.
    api.faults(|faults| faults.bookmark_interval = Duration::from_millis(1));
    assert_eq!(with.brief(3).await, ["BOOKMARK"; 3]);
    api.set_faults(Faults::default());
    api.upsert(service("a", "y", &[], "10.0.0.1"));
    assert_eq!(without.brief(2).await, ["ADDED x", "ADDED y"]);
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let api = ApiServer::start().await.unwrap();
    api.upsert(service("a", "x", &[], "10.0.0.1"));
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1&timeoutSeconds=1&allowWatchBookmarks=true").await;
    assert_eq!(watch.brief(2).await, ["ADDED x", "BOOKMARK"]);
    assert_eq!(watch.next().await, Next::End);
    assert!(api.open_watches().is_empty());
    // The connection lives on.
    watch.http.send("GET", "/api/v1/services", &[], "").await;
    assert_eq!(watch.http.answer().await.unwrap().names(), ["x"]);
}

#[tokio::test]
async fn gone() {
    let api = ApiServer::start().await.unwrap();
    let first = api.upsert(service("a", "x", &[], "10.0.0.1"));
    let mut open = Watch::open(&api, &format!("/api/v1/services?watch=1&resourceVersion={first}")).await;
    let second = api.upsert(service("a", "x", &[], "10.0.0.2"));
    api.compact();
    // By the status code.
    let old = format!("/api/v1/services?watch=1&resourceVersion={first}");
    let answer = get(&api, &old).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (410, &json!("Expired")));
    // In the stream.
    api.faults(|faults| faults.expired_in_stream = true);
    let mut watch = Watch::open(&api, &old).await;
    let error = watch.event().await;
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!((&error["object"]["kind"], &error["object"]["reason"]), (&json!("Status"), &json!("Expired")));
    assert_eq!(watch.next().await, Next::End);
    // From the present on it works, and the open one has lost nothing.
    let mut watch = Watch::open(&api, &format!("/api/v1/services?watch=1&resourceVersion={second}")).await;
    api.upsert(service("a", "x", &[], "10.0.0.3"));
    assert_eq!(watch.brief(1).await, ["MODIFIED x"]);
    assert_eq!(open.brief(2).await, ["MODIFIED x", "MODIFIED x"]);
    // On request, in the open ones.
    assert_eq!(api.expire_watches(), 2);
    for watch in [&mut open, &mut watch] {
        assert_eq!(watch.brief(1).await, ["ERROR 410"]);
        assert_eq!(watch.next().await, Next::End);
    }
}

#[tokio::test]
async fn the_history_is_bounded() {
    let api = ApiServer::start_with(Options { history_events: 10, ..Options::default() }).await.unwrap();
    for i in 0..30 {
        api.upsert(service("a", "x", &[], &format!("10.0.0.{i}")));
    }
    let last = api.resource_version();
    let watch = |version: u64| format!("/api/v1/services?watch=1&timeoutSeconds=1&resourceVersion={version}");
    assert_eq!(get(&api, &watch(last - 11)).await.status, 410);
    let mut oldest = Watch::open(&api, &watch(last - 10)).await;
    assert_eq!(oldest.brief(10).await, ["MODIFIED x"; 10]);
}

#[tokio::test]
async fn watches_are_cut() {
    let api = ApiServer::start().await.unwrap();
    let mut watches = Vec::new();
    for resource in ["services", "pods", "namespaces"] {
        watches.push(Watch::open(&api, &format!("/api/v1/{resource}?watch=1")).await);
    }
    assert_eq!(api.open_watches().len(), 3);
    assert_eq!(api.drop_watches(), 3);
    api.upsert(service("a", "x", &[], "10.0.0.1"));
    for watch in &mut watches {
        assert_eq!(watch.next().await, Next::Cut);
    }
    assert!(api.open_watches().is_empty());
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1&resourceVersion=1").await;
    assert_eq!(watch.brief(1).await, ["ADDED x"]);
}

#[tokio::test]
async fn silent_watches() {
    let api = ApiServer::start().await.unwrap();
    let query = "/api/v1/services?watch=1&allowWatchBookmarks=true&timeoutSeconds=1";
    let mut paused = Watch::open(&api, query).await;
    api.faults(|faults| faults.silent_watches = true);
    let mut silent_from_the_start = Watch::open(&api, query).await;
    api.upsert(service("a", "x", &[], "10.0.0.1"));
    api.send_bookmarks();
    // Longer than their timeout: they do not even end.
    assert!(tokio::time::timeout(Duration::from_millis(1500), paused.next()).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(1), silent_from_the_start.next()).await.is_err());
    assert_eq!(api.open_watches().len(), 2);
    assert!(!api.is_caught_up());
    api.faults(|faults| faults.silent_watches = false);
    assert_eq!(paused.brief(1).await, ["ADDED x"]);
    assert_eq!(silent_from_the_start.brief(1).await, ["ADDED x"]);
    // For good, but only those that are open.
    let mut dead = Watch::open(&api, "/api/v1/services?watch=1&resourceVersion=2").await;
    assert!(api.silence_watches() >= 1);
    let mut well = Watch::open(&api, "/api/v1/services?watch=1&resourceVersion=2").await;
    api.upsert(service("a", "y", &[], "10.0.0.1"));
    assert_eq!(well.brief(1).await, ["ADDED y"]);
    assert!(tokio::time::timeout(Duration::from_millis(200), dead.next()).await.is_err());
}

#[tokio::test]
async fn a_slow_watcher_is_cut() {
    let api = ApiServer::start_with(Options { history_events: 20, ..Options::default() }).await.unwrap();
    // This client never reads.
    let mut slow = Watch::open(&api, "/api/v1/services?watch=1").await;
    let mut quick = Watch::open(&api, "/api/v1/services?watch=1").await;
    let filler = "x".repeat(100_000);
    let mut sent = 0;
    while api.open_watches().len() == 2 {
        let mut object = service("a", "x", &[], &format!("10.0.{}.{}", sent / 256, sent % 256));
        object["metadata"]["annotations"] = json!({"filler": filler});
        api.upsert(object);
        quick.event().await;
        sent += 1;
        assert!(sent < 5000, "500 MB went into the buffers of one watch");
    }
    let mut received = 0;
    while let Next::Event(_) = slow.next().await {
        received += 1;
    }
    assert!(received < sent, "{received} of {sent}");
}

#[tokio::test]
async fn away_and_back_on_the_same_port() {
    let api = ApiServer::start().await.unwrap();
    let url = api.url();
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1").await;
    let mut idle = Http::open(&url).await;
    idle.send("GET", "/readyz", &[], "").await;
    assert_eq!(idle.answer().await.unwrap().text, "ok");
    for _ in 0..3 {
        api.stop_listening().await.unwrap();
        api.stop_listening().await.unwrap();
        assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).await.is_err());
        api.start_listening().await.unwrap();
        api.start_listening().await.unwrap();
        assert_eq!(api.url(), url);
        assert_eq!(get(&api, "/readyz").await.status, 200);
    }
    assert_eq!(watch.next().await, Next::Cut);
    assert!(idle.line().await.is_none());
    // A port that is taken is an error, not shared.
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(ApiServer::start_with(Options { port, ..Options::default() }).await.is_err());
    drop(api);
    guard("the port", async {
        while ApiServer::start_with(Options { port, ..Options::default() }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn unavailable() {
    let api = ApiServer::start().await.unwrap();
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1").await;
    api.faults(|faults| faults.unavailable = true);
    assert_eq!(watch.next().await, Next::Cut);
    let mut http = Http::open(&api.url()).await;
    let _ = http.stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").await;
    assert!(http.answer().await.is_none());
    api.faults(|faults| faults.unavailable = false);
    assert_eq!(get(&api, "/readyz").await.status, 200);
}

#[tokio::test]
async fn lists_are_held() {
    let api = ApiServer::start().await.unwrap();
    api.upsert(service("a", "x", &[], "10.0.0.1"));
    api.faults(|faults| faults.hold_lists = true);
    let mut held = Vec::new();
    for target in [
        "/api/v1/services",
        "/api/v1/services?watch=1&resourceVersion=0",
        "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=2",
    ] {
        let mut http = Http::open(&api.url()).await;
        http.send("GET", target, &[], "").await;
        held.push(http);
    }
    // A watch from a resourceVersion is no list.
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1&resourceVersion=1").await;
    assert_eq!(watch.brief(1).await, ["ADDED x"]);
    guard("the requests", async {
        while api.requests().len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let log = api.requests();
    assert_eq!(log.iter().filter(|r| r.status == 0).count(), 3, "{log:?}");
    for http in &mut held {
        assert!(tokio::time::timeout(Duration::from_millis(20), http.stream.fill_buf()).await.is_err());
    }
    api.faults(|faults| faults.hold_lists = false);
    for http in &mut held {
        assert_eq!(http.head().await.unwrap().status, 200);
    }
    assert_eq!(api.requests().iter().filter(|r| r.status == 200).count(), 4);
}

#[tokio::test]
async fn answers_that_fail() {
    let api = ApiServer::start().await.unwrap();
    for i in 0..100 {
        api.upsert(service("a", &format!("s{i}"), &[], "10.0.0.1"));
    }
    let stream = "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    api.faults(|faults| faults.list_status = Some(500));
    let answer = get(&api, "/api/v1/services").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (500, &json!("InternalError")));
    assert_eq!(get(&api, "/api/v1/namespaces/a/services/s1").await.status, 200);
    Watch::open(&api, stream).await;
    api.set_faults(Faults { watch_status: Some(403), ..Faults::default() });
    assert_eq!(get(&api, "/api/v1/services").await.status, 200);
    for watch in [stream, "/api/v1/services?watch=1&resourceVersion=3"] {
        let answer = get(&api, watch).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("Forbidden")));
    }
    api.set_faults(Faults { list_status: Some(429), ..Faults::default() });
    let answer = get(&api, "/api/v1/services").await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "1"));
    // An older server refuses streaming lists.
    api.set_faults(Faults { watch_list: false, ..Faults::default() });
    let answer = get(&api, stream).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (422, &json!("Invalid")));
    // A still older one does not know them.
    api.set_faults(Faults { ignore_send_initial_events: true, ..Faults::default() });
    let mut watch = Watch::open(&api, &format!("{stream}&resourceVersion=101")).await;
    api.upsert(service("a", "new", &[], "10.0.0.1"));
    assert_eq!(watch.brief(1).await, ["ADDED new"]);
    // A resource that is not installed.
    api.set_faults(Faults { absent: vec!["serviceimports".to_owned()], ..Faults::default() });
    for target in ["/apis/multicluster.x-k8s.io/v1alpha1/serviceimports?watch=1", "/apis/multicluster.x-k8s.io"] {
        assert_eq!(get(&api, target).await.status, 404, "{target}");
    }
    assert!(!get(&api, "/apis").await.text.contains("multicluster"));
    // The server dies within a list.
    api.set_faults(Faults { cut_lists_after: Some(50), ..Faults::default() });
    let mut http = Http::open(&api.url()).await;
    http.send("GET", "/api/v1/services", &[], "").await;
    assert!(http.answer().await.is_none());
    api.set_faults(Faults::default());
    assert_eq!(get(&api, "/api/v1/services").await.names().len(), 101);
}

#[tokio::test]
async fn whatever_is_injected() {
    let api = ApiServer::start().await.unwrap();
    let mut watch = Watch::open(&api, "/api/v1/services?watch=1").await;
    let _pods = Watch::open(&api, "/api/v1/pods?watch=1").await;
    assert_eq!(api.inject("Service", "{\"type\":"), Some(1));
    assert_eq!(api.inject("Other", ""), None);
    assert_eq!(watch.brief(1).await, ["RAW {\"type\":"]);
    // An object without any sense in it is stored and served.
    api.upsert(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "labels": [1]}, "spec": "none",
    }));
    assert_eq!(watch.event().await["object"]["spec"], "none");
}

#[tokio::test]
async fn writes() {
    const PATH: &str = "/api/v1/namespaces/a/services";
    let api = ApiServer::start().await.unwrap();
    let json_type = [("content-type", "application/json; charset=utf-8")];
    let mut object = service("a", "x", &[], "10.0.0.1");
    let created = request(&api, "POST", PATH, &json_type, &object.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let uid = created.json()["metadata"]["uid"].clone();
    assert_eq!(request(&api, "POST", PATH, &json_type, &object.to_string()).await.json()["reason"], "AlreadyExists");
    object["spec"]["clusterIP"] = json!("10.0.0.2");
    object["metadata"]["resourceVersion"] = json!("1");
    let stale = request(&api, "PUT", &format!("{PATH}/x"), &json_type, &object.to_string()).await;
    assert_eq!((stale.status, &stale.json()["reason"]), (409, &json!("Conflict")));
    object["metadata"]["resourceVersion"] = created.json()["metadata"]["resourceVersion"].clone();
    let updated = request(&api, "PUT", &format!("{PATH}/x"), &json_type, &object.to_string()).await.json();
    assert_eq!((&updated["spec"]["clusterIP"], &updated["metadata"]["uid"]), (&json!("10.0.0.2"), &uid));
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = r#"{"metadata": {"labels": {"app": "web"}}, "spec": {"type": null}}"#;
    let patched = request(&api, "PATCH", &format!("{PATH}/x"), &merge, patch).await.json();
    assert_eq!((&patched["metadata"]["labels"]["app"], patched["spec"].get("type")), (&json!("web"), None));
    assert_eq!((&patched["spec"]["clusterIP"], &patched["metadata"]["uid"]), (&json!("10.0.0.2"), &uid));
    for (method, target, content_type, body, status) in [
        ("PUT", "/x", "application/json", "{", 400),
        ("PUT", "/x", "application/json", "[]", 422),
        ("PUT", "/y", "application/json", &*object.to_string(), 400),
        ("PUT", "/x", "application/json", &*pod("a", "x", "Running").to_string(), 400),
        ("PUT", "/x", "application/json", &*service("b", "x", &[], "1").to_string(), 400),
        ("PUT", "/none", "application/json", &*service("a", "none", &[], "1").to_string(), 404),
        ("POST", "", "application/yaml", "kind: Service", 415),
        ("POST", "?dryRun=All", "application/json", "{}", 400),
        ("PATCH", "/x", "application/strategic-merge-patch+json", "{}", 415),
        ("PATCH", "/none", "application/merge-patch+json", "{}", 404),
        ("PATCH", "/x", "application/merge-patch+json", r#"{"metadata": {"resourceVersion": "1"}}"#, 409),
        ("DELETE", "/none", "application/json", "", 404),
        ("DELETE", "/x", "application/json", r#"{"preconditions": {"uid": "other"}}"#, 409),
    ] {
        let answer = request(&api, method, &format!("{PATH}{target}"), &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, status, "{method} {target} {body}: {}", answer.text);
        assert_eq!(answer.json()["status"], "Failure");
    }
    // One byte over the limit.
    let large = "x".repeat((3 << 20) + 1);
    assert_eq!(request(&api, "POST", PATH, &json_type, &large).await.status, 413);
    let deleted = request(&api, "DELETE", &format!("{PATH}/x"), &[], "").await.json();
    assert_eq!((&deleted["status"], &deleted["details"]["uid"]), (&json!("Success"), &uid));
    assert!(get(&api, PATH).await.names().is_empty());
}

#[tokio::test]
async fn what_cannot_be_stored_says_why() {
    let api = ApiServer::start().await.unwrap();
    let error = api.try_upsert(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}));
    assert!(error.unwrap_err().to_string().contains("does not serve Deployment"));
    let before = api.resource_version();
    let error = api.try_replace_all(vec![service("a", "x", &[], "1"), json!(null)]);
    assert!(error.unwrap_err().to_string().contains("must be a JSON object"));
    assert_eq!(api.resource_version(), before);
}

#[tokio::test]
async fn the_whole_content_at_once() {
    let api = ApiServer::start().await.unwrap();
    for name in ["a", "b", "c"] {
        api.upsert(service("n", name, &[], "10.0.0.1"));
    }
    let mut watch =
        Watch::open(&api, &format!("/api/v1/services?watch=1&resourceVersion={}", api.resource_version())).await;
    api.replace_all(vec![
        service("n", "b", &[], "10.0.0.1"),
        service("n", "c", &[], "10.0.0.2"),
        service("n", "d", &[], "1"),
    ]);
    assert_eq!(watch.brief(3).await, ["DELETED a", "MODIFIED c", "ADDED d"]);
    api.clear();
    assert_eq!(watch.brief(3).await, ["DELETED b", "DELETED c", "DELETED d"]);
    assert!(api.counts().values().all(|count| *count == 0));
}

#[tokio::test]
async fn discovery() {
    let api = ApiServer::start().await.unwrap();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(get(&api, path).await.text, "ok");
    }
    assert_eq!(get(&api, "/version").await.json()["major"], "1");
    assert_eq!(get(&api, "/api").await.json()["versions"], json!(["v1"]));
    let groups = get(&api, "/apis").await.json();
    let groups: Vec<_> = groups["groups"].as_array().unwrap().iter().map(|g| g["name"].clone()).collect();
    assert_eq!(groups, ["discovery.k8s.io", "multicluster.x-k8s.io"]);
    let group = get(&api, "/apis/multicluster.x-k8s.io").await.json();
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");
    for (path, resources) in [
        ("/api/v1", "namespaces services pods nodes"),
        ("/apis/discovery.k8s.io/v1", "endpointslices"),
        ("/apis/multicluster.x-k8s.io/v1alpha1", "serviceimports"),
    ] {
        let list = get(&api, path).await.json();
        let names: Vec<_> = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert_eq!(names.join(" "), resources);
    }
}

#[tokio::test]
async fn the_log_of_requests() {
    let api = ApiServer::start().await.unwrap();
    let target = "/api/v1/services?labelSelector=a%3Db";
    request(&api, "GET", target, &[("user-agent", "me/1")], "").await;
    get(&api, "/nothing").await;
    let log = api.requests();
    assert_eq!(log.len(), 2);
    let first = (log[0].method.as_str(), log[0].path.as_str(), log[0].query.as_str(), log[0].status);
    assert_eq!(first, ("GET", "/api/v1/services", "labelSelector=a%3Db", 200));
    assert_eq!(log[0].user_agent, "me/1");
    assert_eq!(log[1].status, 404);
    api.clear_requests();
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn many_objects() {
    let api = ApiServer::start().await.unwrap();
    let objects: Vec<Value> = (0..5000)
        .map(|i| {
            service(&format!("n{}", i % 7), &format!("s{i}"), &[("app", "x")], &format!("10.1.{}.{}", i / 256, i % 256))
        })
        .collect();
    api.replace_all(objects);
    // Several lists over one connection, each in many chunks.
    let mut http = Http::open(&api.url()).await;
    for _ in 0..2 {
        http.send("GET", "/api/v1/services", &[], "").await;
        let names: BTreeSet<String> = http.answer().await.unwrap().names().into_iter().collect();
        assert_eq!(names.len(), 5000);
    }
    let stream =
        "/api/v1/services?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
    let mut watch = Watch::open(&api, stream).await;
    let mut names = BTreeSet::new();
    loop {
        match brief(&watch.event().await) {
            event if event == "BOOKMARK end" => break,
            event => names.insert(event.strip_prefix("ADDED ").unwrap().to_owned()),
        };
    }
    assert_eq!(names.len(), 5000);
    assert!(api.is_caught_up());
}

#[test]
fn a_test_may_block_and_drop_it_anywhere() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let api = runtime.block_on(ApiServer::start()).unwrap();
    let address = api.url().strip_prefix("http://").unwrap().to_owned();
    // No runtime is driven here: the fixture answers from its own threads.
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    runtime.block_on(async move { drop(api) });
    runtime.block_on(guard("the port to close", async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }));
}

async fn client(api: &ApiServer) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&api.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn kube_reads_and_writes() {
    let api = ApiServer::start().await.unwrap();
    let client = client(&api).await;
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let services: Api<Service> = Api::namespaced(client.clone(), "a");
    let object: Service = serde_json::from_value(service("a", "x", &[("app", "web")], "10.0.0.1")).unwrap();
    let created = services.create(&PostParams::default(), &object).await.unwrap();
    assert!(created.uid().is_some());
    let patch = Patch::Merge(json!({"spec": {"clusterIP": "10.0.0.2"}}));
    services.patch("x", &PatchParams::default(), &patch).await.unwrap();
    let list = services.list(&ListParams::default().labels("app in (web)").fields("metadata.name=x")).await.unwrap();
    assert_eq!(list.items[0].spec.as_ref().unwrap().cluster_ip.as_deref(), Some("10.0.0.2"));
    let mut pages = 0;
    for i in 0..5 {
        api.upsert(service("a", &format!("y{i}"), &[], "10.0.0.3"));
    }
    let mut params = ListParams::default().limit(2);
    let mut seen = Vec::new();
    loop {
        let page = services.list(&params).await.unwrap();
        pages += 1;
        seen.extend(page.items.iter().map(kube::ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!((pages, seen.len()), (3, 6));
    services.delete("x", &DeleteParams::default()).await.unwrap();
    assert!(services.get_opt("x").await.unwrap().is_none());
    let kind = GroupVersionKind::gvk("multicluster.x-k8s.io", "v1alpha1", "ServiceImport");
    let imports: Api<DynamicObject> =
        Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, "serviceimports"));
    assert!(imports.list(&ListParams::default()).await.unwrap().items.is_empty());
}

/// The next event of a kube watcher that is not an error, in short.
async fn kube_event(stream: &mut (impl Stream<Item = watcher::Result<Event<Service>>> + Unpin)) -> String {
    loop {
        match guard("an event of kube's watcher", stream.next()).await.unwrap() {
            Ok(Event::Init) => return "Init".to_owned(),
            Ok(Event::InitApply(object)) => return format!("InitApply {}", object.name_any()),
            Ok(Event::InitDone) => return "InitDone".to_owned(),
            Ok(Event::Apply(object)) => return format!("Apply {}", object.name_any()),
            Ok(Event::Delete(object)) => return format!("Delete {}", object.name_any()),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The same, after a complete list that shows exactly these.
async fn kube_list(stream: &mut (impl Stream<Item = watcher::Result<Event<Service>>> + Unpin), expected: &[&str]) {
    let mut seen = None;
    loop {
        match kube_event(stream).await.as_str() {
            "Init" => seen = Some(Vec::new()),
            "InitDone" => break,
            other => {
                if let (Some(seen), Some(name)) = (&mut seen, other.strip_prefix("InitApply ")) {
                    seen.push(name.to_owned());
                }
            }
        }
    }
    assert_eq!(seen.unwrap(), expected);
}

#[tokio::test]
async fn kube_watchers_recover_from_everything() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api = ApiServer::start().await.unwrap();
        api.upsert(service("a", "x", &[("app", "web")], "10.0.0.1"));
        api.upsert(service("a", "other", &[], "10.0.0.1"));
        let services: Api<Service> = Api::all(client(&api).await);
        let mut stream = pin!(watcher(services, config.labels("app=web")));
        kube_list(&mut stream, &["x"]).await;
        // kube starts its watch when it is asked for the next event.
        api.upsert(service("a", "y", &[("app", "web")], "10.0.0.1"));
        assert_eq!(kube_event(&mut stream).await, "Apply y");
        api.upsert(service("a", "y", &[], "10.0.0.1"));
        assert_eq!(kube_event(&mut stream).await, "Delete y");
        // A cut connection: it goes on where it was, and misses nothing.
        assert_eq!(api.drop_watches(), 1);
        api.upsert(service("a", "z", &[("app", "web")], "10.0.0.1"));
        assert_eq!(kube_event(&mut stream).await, "Apply z");
        // 410 in the stream: a new list.
        assert_eq!(api.expire_watches(), 1);
        kube_list(&mut stream, &["x", "z"]).await;
        api.upsert(service("a", "x", &[("app", "web")], "10.0.0.9"));
        assert_eq!(kube_event(&mut stream).await, "Apply x");
        // Away, and back with other objects and no history.
        api.stop_listening().await.unwrap();
        api.replace_all(vec![service("a", "new", &[("app", "web")], "10.0.0.1")]);
        api.compact();
        api.faults(|faults| faults.expired_in_stream = true);
        api.start_listening().await.unwrap();
        kube_list(&mut stream, &["new"]).await;
        api.delete("Service", "a", "new");
        assert_eq!(kube_event(&mut stream).await, "Delete new");
        let log = api.requests();
        assert!(log.iter().all(|r| r.query.contains("labelSelector=app%3Dweb")), "{log:?}");
    }
}

#[tokio::test]
async fn kube_streams_slices() {
    let api = ApiServer::start().await.unwrap();
    api.upsert(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e", "namespace": "a"},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}], "ports": null,
    }));
    let slices: Api<EndpointSlice> = Api::all(client(&api).await);
    let mut stream = pin!(watcher(slices, watcher::Config::default().streaming_lists()));
    let mut seen = Vec::new();
    loop {
        match guard("slices", stream.next()).await.unwrap().unwrap() {
            Event::InitApply(slice) => seen.push(slice.endpoints.unwrap_or_default()[0].addresses[0].clone()),
            Event::InitDone => break,
            _ => {}
        }
    }
    assert_eq!(seen, ["10.1.0.1"]);
}

/// The program, its two URLs, and what stops it.
struct Program {
    child: Child,
    url: String,
    control: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fixture-apiserver"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut program = Self { child, url: String::new(), control: String::new() };
        let lines = tokio::task::spawn_blocking(move || {
            let mut lines = std::io::BufReader::new(stdout).lines();
            [lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()]
        });
        [program.url, program.control] = guard("the two URLs", lines).await.unwrap();
        program
    }

    async fn control(&self, method: &str, target: &str, body: &str) -> Answer {
        let (url, path) = self.control.split_at(self.control.rfind('/').unwrap());
        let mut http = Http::open(url).await;
        http.send(method, &format!("{path}{target}"), &[], body).await;
        http.answer().await.unwrap()
    }

    async fn get(&self, target: &str) -> Answer {
        let mut http = Http::open(&self.url).await;
        http.send("GET", target, &[], "").await;
        http.answer().await.unwrap()
    }

    async fn ended(&mut self) -> bool {
        guard("the end of the program", async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status.success(),
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn the_program() {
    let directory = std::env::temp_dir().join(format!("fixture-apiserver-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (json_file, yaml_file, kubeconfig, bad) =
        (path("a.json"), path("b.yaml"), path("kubeconfig"), path("bad.yaml"));
    let list = json!({"kind": "List", "apiVersion": "v1", "items": [service("a", "x", &[], "10.0.0.1")]});
    std::fs::write(&json_file, list.to_string()).unwrap();
    std::fs::write(&yaml_file, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n").unwrap();
    std::fs::write(&bad, "kind: Service\nmetadata: {name: a}\n").unwrap();
    let mut program =
        Program::start(&["--no-watch-list", "--kubeconfig", &kubeconfig, "--history=9", &json_file, &yaml_file]).await;
    assert_eq!(program.get("/api/v1/services").await.names(), ["x"]);
    assert_eq!(program.get("/api/v1/namespaces").await.names(), ["a"]);
    assert!(std::fs::read_to_string(&kubeconfig).unwrap().contains(&program.url));
    // The control endpoint.
    let body = "kind: Service\napiVersion: v1\nmetadata: {name: two, namespace: a}\n---\nkind: Pod\napiVersion: v1\nmetadata: {name: p}\n";
    for (method, target, body, status, part) in [
        ("GET", "/state", "", 200, "\"services\":1"),
        ("POST", "/upsert", body, 200, "resourceVersion"),
        ("POST", "/upsert", "{\"kind\": 1}", 400, "apiVersion must be"),
        ("POST", "/upsert", "{{", 400, "neither JSON"),
        ("GET", "/state", "", 200, "\"services\":2"),
        ("POST", "/delete?kind=Service&namespace=a&name=two", "", 200, "resourceVersion"),
        ("POST", "/delete?kind=Service&namespace=a&name=two", "", 404, "no such object"),
        ("GET", "/faults", "", 200, "\"watch_list\":false"),
        ("POST", "/faults", "{\"list_status\": 500, \"bookmark_interval_ms\": 5}", 200, "\"list_status\":500"),
        ("POST", "/faults", "{\"list_statu\": 500}", 400, "list_statu"),
        ("POST", "/faults", "{\"list_status\": null}", 200, "\"bookmark_interval_ms\":5"),
        ("GET", "/watches", "", 200, "[]"),
        ("POST", "/drop-watches", "", 200, "\"watches\":0"),
        ("POST", "/silence-watches", "", 200, "\"watches\":0"),
        ("POST", "/expire-watches", "", 200, "\"watches\":0"),
        ("POST", "/send-bookmarks", "", 200, "\"watches\":0"),
        ("POST", "/inject?kind=Service", "x", 200, "\"watches\":0"),
        ("POST", "/inject", "x", 400, "no such kind"),
        ("POST", "/compact", "", 200, "resourceVersion"),
        ("GET", "/requests", "", 200, "/api/v1/services"),
        ("DELETE", "/requests", "", 200, ""),
        ("GET", "/requests", "", 200, "[]"),
        ("GET", "/kubeconfig", "", 200, "current-context: fixture"),
        ("POST", "/replace", "[]", 200, "resourceVersion"),
        ("GET", "/state", "", 200, "\"services\":0"),
        ("POST", "/upsert", body, 200, "resourceVersion"),
        ("POST", "/clear", "", 200, "resourceVersion"),
        ("GET", "/state", "", 200, "\"pods\":0"),
        ("POST", "/stop", "", 200, "resourceVersion"),
    ] {
        let answer = program.control(method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text);
        assert!(answer.text.contains(part), "{method} {target}: {}", answer.text);
    }
    assert!(TcpStream::connect(program.url.strip_prefix("http://").unwrap()).await.is_err());
    assert_eq!(program.control("POST", "/start", "").await.status, 200);
    assert_eq!(program.get("/readyz").await.text, "ok");
    // Whoever started it goes away.
    drop(program.child.stdin.take());
    assert!(program.ended().await);
    // A signal.
    let mut program = Program::start(&[]).await;
    let id = program.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(program.ended().await);
    // What it does not take.
    for (arguments, part) in [
        (&["--port"][..], "--port needs a value"),
        (&["--port", "x"], "\"x\" is not a number"),
        (&["--other"], "--other is not an option"),
        (&["/nonexistent.json"], "/nonexistent.json: "),
        (&[bad.as_str()], "apiVersion must be"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_fixture-apiserver"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
