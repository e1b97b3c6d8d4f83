//! Watching a cluster, against the API server fixture and its faults: nothing is lost, and nothing that is held is
//! forgotten while the server is away.
#![allow(clippy::unwrap_used)]

mod common;

use common::PATIENCE;
use rustk8s::config::PodMode;
use rustk8s::name::from_text;
use rustk8s::shared::SharedEngine;
use rustk8s::wire::{Query, Transport, rtype};
use rustk8s::{Client, Config, Engine, Scratch, Upstream};
use rustk8s_host::directives::Source;
use rustk8s_host::watch::backoff::Backoff;
use rustk8s_host::watch::limits::Limits;
use rustk8s_host::watch::{ApiClient, Patience, WatchOptions, Watches};
use rustk8s_tests::apiserver::ApiServer;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A cluster, and an engine that watches it.
struct Fixture {
    api: ApiServer,
    engine: Arc<SharedEngine>,
    watches: Watches,
}

fn impatient() -> WatchOptions {
    WatchOptions {
        patience: Patience {
            response: Duration::from_secs(5),
            silence: Duration::from_mins(1),
            initial_silence: Duration::from_millis(500),
        },
        backoff: Backoff::new(Duration::from_millis(10), Duration::from_millis(200)),
    }
}

fn config() -> Config {
    Config { pods: PodMode::Verified, ..Config::default() }
}

impl Fixture {
    async fn start(api: ApiServer, config: &Config, options: &WatchOptions) -> Self {
        let engine = Arc::new(SharedEngine::new(Engine::new(config).unwrap()));
        let client = ApiClient::new(&Source::Endpoint { urls: vec![api.url()], tls: None }).await.unwrap();
        let watches = Watches::start(&engine, config, &client, Limits::new(None, None, None), options).unwrap();
        Self { api, engine, watches }
    }

    async fn synced(api: ApiServer) -> Self {
        let mut fixture = Self::start(api, &config(), &impatient()).await;
        tokio::time::timeout(PATIENCE, fixture.watches.wait_until_synced()).await.unwrap();
        fixture
    }

    /// The rcode of a Service's name, and its last octet, 0 without an address.
    fn answer(&self, service: &str) -> (u8, u8) {
        let qname = from_text(&format!("{service}.ns.svc.cluster.local")).unwrap();
        let query = Query::ask(1, &qname, rtype::A).unwrap();
        let client = Client { addr: IpAddr::V4(Ipv4Addr::LOCALHOST), transport: Transport::Tcp };
        let mut out = Vec::new();
        let snapshot = self.engine.load();
        snapshot.resolve(&query, &client, Upstream::NotAsked, &mut Scratch::new(), &mut out);
        let address = if out[7] == 0 { 0 } else { out[out.len() - 1] };
        (out[3] & 0xf, address)
    }

    fn address(&self, service: &str) -> u8 {
        self.answer(service).1
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "{what} did not happen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_address(&self, service: &str, address: u8) {
        self.until(&format!("{service} = {address}"), |fixture| fixture.address(service) == address).await;
    }

    /// Ends the watches by 410. A list without streaming is known before its watch is open.
    async fn expire_watches(&self) {
        self.until("a watch", |fixture| fixture.watches("services") > 0).await;
        self.api.expire_watches();
    }

    /// The queries of the requests for a kind, in order.
    fn requests(&self, plural: &str) -> Vec<String> {
        let ending = format!("/{plural}");
        let requests = self.api.requests().into_iter().filter(|request| request.path.ends_with(&ending));
        requests.map(|request| request.query).collect()
    }

    fn lists(&self, plural: &str) -> usize {
        self.requests(plural).iter().filter(|query| !query.contains("watch=true")).count()
    }

    fn streaming_lists(&self, plural: &str) -> usize {
        self.requests(plural).iter().filter(|query| query.contains("sendInitialEvents=true")).count()
    }

    fn watches(&self, plural: &str) -> usize {
        let watches = self.api.open_watches().into_iter();
        watches.filter(|watch| watch.path.ends_with(&format!("/{plural}"))).count()
    }
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
}

fn service(name: &str, address: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ns"},
        "spec": {"clusterIP": format!("10.0.0.{address}"), "ports": [{"port": 80}]},
    })
}

fn malformed_service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ns"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": "eighty"}]},
    })
}

async fn cluster() -> ApiServer {
    let api = ApiServer::start().await.unwrap();
    api.upsert(namespace());
    api.upsert(service("a", 1));
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn streaming_lists_are_followed_by_their_changes() {
    let fixture = Fixture::synced(cluster().await).await;
    assert_eq!((fixture.answer("a"), fixture.answer("b")), ((0, 1), (3, 0)));
    fixture.api.upsert(service("b", 2));
    fixture.api.upsert(service("a", 3));
    fixture.until_address("a", 3).await;
    assert_eq!(fixture.address("b"), 2);
    fixture.api.delete("Service", "ns", "b");
    fixture.until_address("b", 0).await;
    for plural in ["services", "namespaces", "endpointslices", "pods"] {
        assert_eq!((fixture.lists(plural), fixture.streaming_lists(plural)), (0, 1), "{plural}");
        assert_eq!(fixture.watches(plural), 1);
    }
    // Not watched without multicluster zones.
    assert_eq!(fixture.requests("serviceimports"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_are_sent() {
    let config = Config {
        labels: Some("app in (x, y),!old".to_owned()),
        namespace_labels: Some("team=dns".to_owned()),
        multicluster: vec!["cluster.local".to_owned()],
        ..config()
    };
    let mut fixture = Fixture::start(cluster().await, &config, &impatient()).await;
    tokio::time::timeout(PATIENCE, fixture.watches.wait_until_synced()).await.unwrap();
    let label = |plural: &str| {
        let query = fixture.requests(plural).remove(0);
        let value = query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
        value
            .replace("%20", " ")
            .replace("%28", "(")
            .replace("%2C", ",")
            .replace("%29", ")")
            .replace("%21", "!")
            .replace("%3D", "=")
    };
    for plural in ["services", "endpointslices", "pods"] {
        assert_eq!(label(plural), "app in (x,y),!old", "{plural}");
    }
    for plural in ["namespaces", "serviceimports"] {
        assert_eq!(label(plural), "team in (dns)", "{plural}");
    }
    let fields = "fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed%2Cstatus.phase%21%3DUnknown";
    assert!(fixture.requests("pods")[0].contains(fields), "{:?}", fixture.requests("pods"));
    assert!(!fixture.requests("services")[0].contains("fieldSelector"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_without_streaming_lists_are_listed_by_pages() {
    for ignore in [false, true] {
        let api = cluster().await;
        api.faults(|faults| (faults.watch_list, faults.ignore_send_initial_events) = (ignore, ignore));
        for number in 0..1200 {
            api.upsert(service(&format!("s{number}"), 7));
        }
        let fixture = Fixture::synced(api).await;
        assert_eq!((fixture.address("a"), fixture.address("s0"), fixture.address("s1199")), (1, 7, 7));
        let pages = fixture.requests("services");
        let pages: Vec<_> = pages.iter().filter(|query| !query.contains("watch=true")).collect();
        assert_eq!(pages.len(), 3, "{pages:?}");
        assert!(pages.iter().all(|query| query.contains("limit=500")));
        assert!(pages[1..].iter().all(|query| query.contains("continue=")));
        fixture.api.upsert(service("a", 2));
        fixture.until_address("a", 2).await;
        // A relist asks for no streaming list again.
        fixture.api.compact();
        fixture.api.upsert(service("a", 3));
        fixture.api.compact();
        fixture.api.drop_watches();
        fixture.until_address("a", 3).await;
        assert_eq!(fixture.streaming_lists("services"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_old_leads_to_a_new_list() {
    for in_stream in [false, true] {
        let fixture = Fixture::synced(cluster().await).await;
        fixture.api.faults(|faults| faults.expired_in_stream = in_stream);
        fixture.api.upsert(service("gone", 9));
        fixture.until_address("gone", 9).await;
        // What happens while the watch is down is forgotten by the server.
        fixture.api.faults(|faults| faults.watch_status = Some(503));
        fixture.api.drop_watches();
        fixture.api.delete("Service", "ns", "gone");
        fixture.api.upsert(service("new", 5));
        fixture.api.compact();
        assert_eq!((fixture.address("gone"), fixture.address("a")), (9, 1));
        fixture.api.faults(|faults| faults.watch_status = None);
        fixture.until_address("new", 5).await;
        fixture.until_address("gone", 0).await;
        assert_eq!(fixture.address("a"), 1);
        assert!(fixture.streaming_lists("services") >= 2);
        // Also where the server ends an open watch.
        let before = fixture.streaming_lists("services");
        fixture.expire_watches().await;
        fixture.until("a list", |fixture| fixture.streaming_lists("services") > before).await;
        fixture.api.upsert(service("a", 4));
        fixture.until_address("a", 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_drop() {
    let fixture = Fixture::synced(cluster().await).await;
    for round in 0..20_u8 {
        for number in 0..50 {
            fixture.api.upsert(service(&format!("s{number}"), 1 + (round + number) % 200));
            if number % 17 == 0 {
                fixture.api.drop_watches();
            }
        }
        fixture.api.delete("Service", "ns", &format!("s{round}"));
    }
    for number in 0..50 {
        let expected = if number == 19 { 0 } else { 1 + (19 + number) % 200 };
        fixture.until_address(&format!("s{number}"), expected).await;
    }
    // The watch was taken up where it had ended, without a new list.
    assert_eq!((fixture.lists("services"), fixture.streaming_lists("services")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stay_while_the_server_is_away_and_follow_what_it_comes_back_with() {
    let fixture = Fixture::synced(cluster().await).await;
    fixture.api.upsert(service("b", 2));
    fixture.until_address("b", 2).await;
    fixture.api.stop_listening().await.unwrap();
    fixture.api.replace_all(vec![namespace(), service("b", 8), service("c", 3)]);
    fixture.api.compact();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((fixture.answer("a"), fixture.answer("b"), fixture.answer("c")), ((0, 1), (0, 2), (3, 0)));
    assert!(fixture.engine.load().synced());
    fixture.api.start_listening().await.unwrap();
    fixture.until_address("c", 3).await;
    fixture.until_address("a", 0).await;
    assert_eq!((fixture.answer("a"), fixture.answer("b")), ((3, 0), (0, 8)));
    fixture.api.upsert(service("a", 6));
    fixture.until_address("a", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_in_the_middle_takes_nothing_away() {
    let api = cluster().await;
    api.faults(|faults| faults.watch_list = false);
    for number in 0..100 {
        api.upsert(service(&format!("s{number}"), 7));
    }
    let fixture = Fixture::synced(api).await;
    fixture.api.faults(|faults| faults.cut_lists_after = Some(10));
    let before = fixture.lists("services");
    fixture.expire_watches().await;
    fixture.until("several attempts", |fixture| fixture.lists("services") > before + 3).await;
    let present = (0..100).filter(|number| fixture.address(&format!("s{number}")) == 7).count();
    assert_eq!((present, fixture.address("a")), (100, 1));
    fixture.api.delete("Service", "ns", "s50");
    fixture.api.faults(|faults| faults.cut_lists_after = None);
    fixture.until_address("s50", 0).await;
    assert_eq!(fixture.address("s49"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_list_that_breaks_in_the_middle_takes_nothing_away() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = Script::default();
    let server = script.clone();
    // Ends with the process: it waits for connections.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let server = server.clone();
            std::thread::spawn(move || server.answer(stream.unwrap()));
        }
    });
    let config = Config { noendpoints: true, ..Config::default() };
    let engine = Arc::new(SharedEngine::new(Engine::new(&config).unwrap()));
    let client = ApiClient::new(&Source::Endpoint { urls: vec![url], tls: None }).await.unwrap();
    let limits = Limits::new(None, None, None);
    let watches = Watches::start(&engine, &config, &client, limits, &impatient()).unwrap();
    // The API server of the fixture is not asked; it only completes the value.
    let fixture = Fixture { api: ApiServer::start().await.unwrap(), engine, watches };
    // The first list has a and b, the second breaks behind a, the third has a and c.
    fixture.until_address("b", 2).await;
    script.release(2);
    fixture.until("the broken list", |_| script.lists() == 3).await;
    assert_eq!((fixture.address("a"), fixture.address("b"), fixture.address("c")), (1, 2, 0));
    script.release(3);
    fixture.until_address("c", 3).await;
    fixture.until_address("b", 0).await;
    assert_eq!(fixture.address("a"), 1);
}

/// An API server that answers each streaming list of Services by the next act of a play.
#[derive(Clone, Default)]
struct Script(Arc<(Mutex<Acts>, Condvar)>);

#[derive(Default)]
struct Acts {
    /// Streaming lists of Services asked for so far.
    lists: usize,
    /// The list that may be answered.
    released: usize,
}

impl Script {
    fn lists(&self) -> usize {
        self.0.0.lock().unwrap().lists
    }

    fn release(&self, list: usize) {
        self.0.0.lock().unwrap().released = list;
        self.0.1.notify_all();
    }

    fn wait_for(&self, list: usize) {
        let acts = self.0.0.lock().unwrap();
        let _acts = self.0.1.wait_while(acts, |acts| acts.released < list).unwrap();
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let send = |stream: &mut TcpStream, event: &str, object: &Value| {
            let line = json!({"type": event, "object": object}).to_string() + "\n";
            // The client may have gone.
            let _ = stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
        };
        let end = json!({"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}});
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        if request.contains("/namespaces?") {
            send(&mut stream, "ADDED", &namespace());
            send(&mut stream, "BOOKMARK", &end);
            self.wait_for(usize::MAX);
        }
        let act = {
            let mut acts = self.0.0.lock().unwrap();
            acts.lists += 1;
            acts.lists
        };
        if act > 2 {
            self.wait_for(act);
        }
        send(&mut stream, "ADDED", &service("a", 1));
        match act {
            1 => {
                send(&mut stream, "ADDED", &service("b", 2));
                send(&mut stream, "BOOKMARK", &end);
                self.wait_for(2);
                send(&mut stream, "ERROR", &json!({"code": 410, "reason": "Expired", "message": "too old"}));
            }
            // Cut off: a chunk is announced that does not come.
            2 => stream.write_all(b"ffff\r\n{\"type\":\"ADDED\",").unwrap(),
            _ => {
                send(&mut stream, "ADDED", &service("c", 3));
                send(&mut stream, "BOOKMARK", &end);
                self.wait_for(usize::MAX);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_objects_are_skipped_alone() {
    for streaming in [true, false] {
        let api = cluster().await;
        api.faults(|faults| faults.watch_list = streaming);
        api.upsert(malformed_service("bad"));
        api.upsert(service("b", 2));
        let fixture = Fixture::synced(api).await;
        assert_eq!((fixture.address("a"), fixture.address("b"), fixture.address("bad")), (1, 2, 0));
        assert_eq!(fixture.watches.troubles().malformed(), 1);
        // One that becomes malformed keeps what was known of it, through a new list too.
        fixture.api.upsert(malformed_service("b"));
        fixture.api.upsert(service("c", 3));
        fixture.until_address("c", 3).await;
        assert_eq!((fixture.address("b"), fixture.watches.troubles().malformed()), (2, 2));
        fixture.expire_watches().await;
        fixture.until("a list", |fixture| fixture.watches.troubles().malformed() >= 4).await;
        fixture.api.upsert(service("c", 4));
        fixture.until_address("c", 4).await;
        assert_eq!((fixture.address("b"), fixture.address("a")), (2, 1));
        // And it is gone when it is deleted.
        fixture.api.delete("Service", "ns", "b");
        fixture.until_address("b", 0).await;
        // Lines that are no events at all.
        for line in ["nonsense", "{}", "[]", "{\"type\":\"ADDED\"}", "{\"type\":\"NEW\",\"object\":{}}", "\u{0}"] {
            fixture.until("a watch", |fixture| fixture.watches("services") == 1).await;
            fixture.api.inject("Service", line);
        }
        fixture.api.upsert(service("c", 5));
        fixture.until_address("c", 5).await;
        assert_eq!(fixture.address("a"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_are_waited_out() {
    let api = cluster().await;
    api.faults(|faults| (faults.list_status, faults.watch_status) = (Some(500), Some(500)));
    let fixture = Fixture::start(api, &config(), &impatient()).await;
    fixture.until("an attempt", |fixture| !fixture.requests("services").is_empty()).await;
    // Not SERVFAIL's opposite: before the first list nothing is known not to exist.
    assert!(!fixture.watches.synced());
    assert_eq!(fixture.answer("a").0, 2);
    for status in [401, 403, 429] {
        fixture.api.faults(|faults| (faults.list_status, faults.watch_status) = (Some(status), Some(status)));
        let before = fixture.requests("services").len();
        fixture.until("more attempts", |fixture| fixture.requests("services").len() > before + 2).await;
    }
    fixture.api.faults(|faults| (faults.list_status, faults.watch_status) = (None, None));
    fixture.until_address("a", 1).await;
    fixture.until("sync", |fixture| fixture.watches.synced()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_missing_does_not_hold_up_the_others() {
    let api = cluster().await;
    api.faults(|faults| faults.absent = vec!["serviceimports".to_owned()]);
    let config = Config {
        zones: vec!["cluster.local".to_owned(), "clusterset.local".to_owned()],
        multicluster: vec!["clusterset.local".to_owned()],
        ..config()
    };
    let fixture = Fixture::start(api, &config, &impatient()).await;
    fixture.until_address("a", 1).await;
    fixture.api.upsert(service("a", 2));
    fixture.until_address("a", 2).await;
    assert!(!fixture.watches.synced());
    fixture.api.faults(|faults| faults.absent.clear());
    fixture.until("sync", |fixture| fixture.watches.synced()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_fell_silent_is_replaced() {
    let mut options = impatient();
    options.patience.silence = Duration::from_millis(700);
    let api = cluster().await;
    api.faults(|faults| faults.bookmark_interval = Duration::from_millis(100));
    let fixture = Fixture::start(api, &config(), &options).await;
    fixture.until_address("a", 1).await;
    assert!(fixture.api.silence_watches() > 0);
    fixture.api.upsert(service("a", 2));
    fixture.until_address("a", 2).await;
    assert_eq!(fixture.streaming_lists("services"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cluster_is_followed_to_its_last_state() {
    let fixture = Fixture::synced(cluster().await).await;
    for number in 0..5000_u32 {
        fixture.api.upsert(service(&format!("s{}", number % 100), 1 + u8::try_from(number / 100).unwrap()));
    }
    for number in 0..100 {
        fixture.until_address(&format!("s{number}"), 50).await;
    }
    assert_eq!(fixture.engine.load().counters().services, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_slow_requests_down_and_lose_nothing() {
    let api = cluster().await;
    let engine = Arc::new(SharedEngine::new(Engine::new(&config()).unwrap()));
    let client = ApiClient::new(&Source::Endpoint { urls: vec![api.url()], tls: None }).await.unwrap();
    let limits = Limits::new(Some(50.0), Some(1), Some(1));
    let watches = Watches::start(&engine, &config(), &client, limits, &impatient()).unwrap();
    let mut fixture = Fixture { api, engine, watches };
    tokio::time::timeout(PATIENCE, fixture.watches.wait_until_synced()).await.unwrap();
    assert_eq!(fixture.address("a"), 1);
}

mod whole_server {
    //! The server from a Corefile that names the fixture.

    use super::{Value, cluster, service};
    use crate::common::{answers, config, query, udp};
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::RecordType;
    use rustk8s_host::app::{App, AppOptions};
    use rustk8s_host::logging::LogSink;
    use rustk8s_tests::apiserver::ApiServer;
    use std::time::Duration;

    async fn serve(source: &str, timeout: &str) -> App {
        let corefile = format!(
            "cluster.local {{\nbind 127.0.0.1\nready 127.0.0.1:0\nkubernetes {{\n{source}\nstartup_timeout {timeout}\n}}\n}}"
        );
        let options = AppOptions::new(LogSink::start(std::io::sink()));
        App::start(&config(&corefile, Some(0)), options).await.unwrap()
    }

    async fn ask(app: &App, service: &str) -> (ResponseCode, Vec<String>) {
        let (address, packet) = (app.addresses()[0], query(&format!("{service}.ns.svc.cluster.local."), RecordType::A));
        let reply = tokio::task::spawn_blocking(move || udp(address, &packet)).await.unwrap();
        (reply.metadata.response_code, answers(&reply))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_start_waits_for_the_first_list() {
        let api: ApiServer = cluster().await;
        let kubeconfig = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("watch.kubeconfig");
        std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
        for source in [format!("endpoint {}", api.url()), format!("kubeconfig {} fixture", kubeconfig.display())] {
            let app = serve(&source, "30s").await;
            // The very first query.
            assert_eq!(ask(&app, "a").await, (ResponseCode::NoError, vec!["10.0.0.1".to_owned()]));
            assert_eq!(ask(&app, "b").await.0, ResponseCode::NXDomain);
            app.stop().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_starts_unsynced_after_the_timeout_and_says_servfail() {
        let api = cluster().await;
        api.faults(|faults| faults.hold_lists = true);
        let app = serve(&format!("endpoint {}", api.url()), "200ms").await;
        assert_eq!(ask(&app, "a").await.0, ResponseCode::ServFail);
        api.faults(|faults| faults.hold_lists = false);
        let mut answer = (ResponseCode::ServFail, Vec::new());
        for _ in 0..1000 {
            answer = ask(&app, "a").await;
            if answer.0 != ResponseCode::ServFail {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(answer, (ResponseCode::NoError, vec!["10.0.0.1".to_owned()]));
        let changed: Value = service("a", 9);
        api.upsert(changed);
        while ask(&app, "a").await.1 != ["10.0.0.9"] {}
        app.stop().await;
    }
}
