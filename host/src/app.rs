//! The whole server, put together from a configuration: engines and where their objects come from, server blocks,
//! sockets, HTTP endpoints. Everything that can fail is tried before anything is served.

use crate::access_log::AccessLog;
use crate::autopath::Autopath;
use crate::chain::Chain;
use crate::corefile::{Location, Transport};
use crate::directives::autopath::search_of_file;
use crate::directives::{
    Config, HostPort, K8sExternalDirective, KubernetesDirective, ReadyMonitor, ServerConfig, Source,
};
use crate::error_log::ErrorLog;
use crate::http::ready::Readiness;
use crate::http::{Endpoints, HttpError, HttpServers, health};
use crate::interfaces::{self, InterfaceAddress};
use crate::logging::LogSink;
use crate::manifests::{ManifestError, Manifests};
use crate::metadata::Metadata;
use crate::random::random_u64;
use crate::server::bind::ListenAddress;
use crate::server::{BindError, BoundSockets, Listener, Server, ZoneTable};
use crate::transfer::TransferRules;
use crate::watch::limits::Limits;
use crate::watch::{ApiClient, ClientError, WatchOptions, Watches, apply};
use rustk8s::Engine;
use rustk8s::external::{ExternalConfig, ExternalView};
use rustk8s::name::NameError;
use rustk8s::object::Event;
use rustk8s::shared::SharedEngine;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long connections may finish when the server stops: CoreDNS's graceTimeout.
const GRACE: Duration = Duration::from_secs(5);

/// What a configuration leaves open.
pub struct AppOptions {
    /// UDP sockets, and threads, of each address.
    pub udp_threads: usize,
    /// How clusters are watched.
    pub watch: WatchOptions,
    /// Objects that take the place of what the directives name.
    pub objects: Option<Manifests>,
    /// Where the lines of `log` and `errors` go.
    pub log: LogSink,
}

impl AppOptions {
    /// A UDP thread for each core, and objects from where the directives say.
    pub fn new(log: LogSink) -> Self {
        let udp_threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { udp_threads, watch: WatchOptions::default(), objects: None, log }
    }
}

/// Why the server does not start. One line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An HTTP endpoint cannot be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The API server cannot be spoken to.
    #[error("{at}: {error}")]
    Client {
        /// The directive.
        at: Location,
        /// Why.
        error: ClientError,
    },
    /// A directive that was read cannot be carried out.
    #[error("{at}: {problem}")]
    Directive {
        /// The directive.
        at: Location,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The system gives no thread or the like.
    #[error("the system refuses what the server needs: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The exit code: 2 for what another flag, Corefile or manifest puts right (another port, too), 1 for what the machine
    /// refuses.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::System(_) => 1,
            Self::Bind(_) | Self::Http(_) | Self::Manifest(_) | Self::Client { .. } | Self::Directive { .. } => 2,
        }
    }
}

/// The server while it runs.
pub struct App {
    server: Server,
    http: HttpServers,
    readiness: Readiness,
    lameduck: Duration,
    /// Ends when dropped.
    _watches: Vec<Watches>,
    _reports: JoinSet<()>,
}

/// An engine, and what feeds it.
struct Cluster {
    directive: KubernetesDirective,
    config: rustk8s::Config,
    engine: Arc<SharedEngine>,
    /// `None` where manifests do.
    client: Option<ApiClient>,
}

impl App {
    /// Starts the server. Needs a tokio runtime.
    ///
    /// Waits until all clusters are known, or each one's `startup_timeout` is over.
    ///
    /// # Errors
    /// What stands in the way; nothing stays started then.
    pub async fn start(config: &Config, options: AppOptions) -> Result<Self, StartError> {
        let interfaces = interfaces::addresses();
        let mut clusters = Vec::new();
        let mut chains = Vec::new();
        let readiness = Readiness::new(
            config
                .servers
                .iter()
                .any(|server| server.ready.as_ref().is_some_and(|ready| ready.monitor == ReadyMonitor::Continuously)),
        );
        for server in &config.servers {
            let mut engine = None;
            if let Some(directive) = &server.kubernetes {
                let cluster = Cluster::new(server, directive, &interfaces, &options).await?;
                readiness.wait_for_engine(Arc::clone(&cluster.engine));
                engine = Some(Arc::clone(&cluster.engine));
                clusters.push(cluster);
            }
            chains.push(Arc::new(chain(server, engine, &options.log)?));
        }
        let (addresses, listeners) = listeners(&config.servers, &chains, &interfaces)?;
        let sockets = BoundSockets::bind(&addresses, options.udp_threads)?;
        let http = endpoints(&config.servers, &readiness).await?.start();
        let watches = watch(clusters, &options.watch).await?;
        let server = Server::start(listeners, sockets)?;
        let lameduck = config.servers.iter().filter_map(|server| server.health.as_ref()).map(|health| health.lameduck);
        let lameduck = lameduck.max().unwrap_or_default();
        Ok(Self { server, http, readiness, lameduck, _watches: watches, _reports: report_errors(chains) })
    }

    /// The addresses that answer DNS, UDP and TCP, in the order of the Corefile.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// The addresses of `health` and `ready`.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        self.http.addresses()
    }

    /// Stops as CoreDNS does: not ready at once, serving on for the lameduck time, then no more.
    pub async fn stop(self) {
        self.readiness.stop();
        if !self.lameduck.is_zero() {
            tracing::info!(plugin = "health", "Going into lameduck mode for {:?}", self.lameduck);
            tokio::time::sleep(self.lameduck).await;
        }
        self.server.stop(GRACE).await;
        self.http.stop().await;
    }
}

impl Cluster {
    async fn new(
        server: &ServerConfig,
        directive: &KubernetesDirective,
        interfaces: &[InterfaceAddress],
        options: &AppOptions,
    ) -> Result<Self, StartError> {
        let config = rustk8s::Config { pod_labels: server.metadata.is_some(), ..engine_config(directive) };
        let mut engine = Engine::new(&config)
            .map_err(|error| StartError::Directive { at: directive.at.clone(), problem: error.to_string() })?;
        // As CoreDNS's boundIPs, which reads the addresses of `bind` as CIDR and so finds none.
        let local: Vec<IpAddr> =
            if server.bind.is_none() { interfaces.iter().map(|interface| interface.ip).collect() } else { Vec::new() };
        engine.set_local_ips(&local);
        let mut client = None;
        match (&options.objects, &directive.source) {
            (Some(manifests), _) => apply_manifests(&mut engine, manifests),
            (None, Source::Objects(files)) => {
                let manifests = Manifests::read(files)?;
                tracing::info!(plugin = "kubernetes", "{}", manifests.summary());
                apply_manifests(&mut engine, &manifests);
            }
            (None, source) => {
                let at = || directive.at.clone();
                client = Some(ApiClient::new(source).await.map_err(|error| StartError::Client { at: at(), error })?);
            }
        }
        Ok(Self { directive: directive.clone(), config, engine: Arc::new(SharedEngine::new(engine)), client })
    }
}

/// What of a directive concerns the engine.
fn engine_config(directive: &KubernetesDirective) -> rustk8s::Config {
    rustk8s::Config {
        zones: directive.zones.clone(),
        namespaces: directive.namespaces.clone(),
        namespace_labels: directive.namespace_labels.clone(),
        labels: directive.labels.clone(),
        pods: directive.pods,
        endpoint_pod_names: directive.endpoint_pod_names,
        ttl: directive.ttl,
        noendpoints: directive.noendpoints,
        fallthrough: directive.fallthrough.clone(),
        ignore_empty_service: directive.ignore_empty_service,
        multicluster: directive.multicluster.clone(),
        zonal: directive.zonal,
        pod_labels: false,
        hash_seed: random_u64(),
    }
}

/// Fills an engine with objects: all that there are, so that it is synced.
fn apply_manifests(engine: &mut Engine, manifests: &Manifests) {
    let now = apply::unix_seconds();
    let kinds: Vec<_> = engine.kinds().collect();
    for kind in &kinds {
        engine.begin_replace(*kind);
    }
    for object in manifests.objects.iter().filter(|object| kinds.contains(&object.kind())) {
        engine.apply(Event::Upsert(object.clone()), now);
    }
    for kind in kinds {
        engine.end_replace(kind, now);
    }
}

fn chain(server: &ServerConfig, engine: Option<Arc<SharedEngine>>, sink: &LogSink) -> Result<Chain, StartError> {
    let errors = match &server.errors {
        Some(directive) => Some(ErrorLog::new(directive, sink.clone()).map_err(|error| StartError::Directive {
            at: directive.at.clone(),
            problem: format!("directive 'errors': option 'consolidate': {error}"),
        })?),
        None => None,
    };
    let log = match server.log.first() {
        Some(first) => Some(AccessLog::new(&server.log, sink.clone()).map_err(|error| StartError::Directive {
            at: first.at.clone(),
            problem: format!("directive 'log': a name is not a domain name: {error}"),
        })?),
        None => None,
    };
    let mut chain = Chain::new(errors, log, engine);
    if let Some(directive) = &server.k8s_external {
        chain = chain.with_external(external_view(directive)?);
    }
    if let Some(directive) = &server.metadata {
        chain = chain.with_metadata(Metadata::new(directive).map_err(|error| StartError::Directive {
            at: directive.at.clone(),
            problem: format!("directive 'metadata': a zone is not a domain name: {error}"),
        })?);
    }
    if let Some(directive) = &server.autopath {
        let pods = directive.plugin.as_deref().is_some_and(|plugin| matches!(plugin, "kubernetes" | "rustk8s"));
        // As CoreDNS, which does without where there is none.
        let own_search = search_of_file(Path::new("/etc/resolv.conf")).unwrap_or_default();
        let autopath = Autopath::new(directive, pods && server.kubernetes.is_some(), &own_search);
        chain = chain.with_autopath(autopath.map_err(|error| StartError::Directive {
            at: directive.at.clone(),
            problem: format!(
                "directive 'autopath': a zone, or a name of the search path, is not a domain name: {error}"
            ),
        })?);
    }
    if let Some(first) = server.transfer.first() {
        let bad_zone = |error: NameError| StartError::Directive {
            at: first.at.clone(),
            problem: format!("directive 'transfer': a zone is not a domain name: {error}"),
        };
        let rules = TransferRules::new(&server.transfer).map_err(bad_zone)?;
        let zones = server.kubernetes.iter().flat_map(|directive| &directive.zones).map(|zone| wire_zone(zone));
        chain = chain.with_transfer(rules, zones.collect::<Result<_, _>>().map_err(bad_zone)?);
    }
    Ok(chain)
}

fn external_view(directive: &K8sExternalDirective) -> Result<ExternalView, StartError> {
    let config = ExternalConfig {
        zones: directive.zones.clone(),
        apex: directive.apex.clone(),
        ttl: directive.ttl,
        headless: directive.headless,
        fallthrough: directive.fallthrough.clone(),
    };
    ExternalView::new(&config).map_err(|error| StartError::Directive {
        at: directive.at.clone(),
        problem: format!("directive 'k8s_external': {error}"),
    })
}

/// Who listens where: as CoreDNS, each address has the zones of all server blocks that listen there.
fn listeners(
    servers: &[ServerConfig],
    chains: &[Arc<Chain>],
    interfaces: &[InterfaceAddress],
) -> Result<(Vec<ListenAddress>, Vec<Arc<Listener>>), StartError> {
    let mut order = Vec::new();
    let mut tables: BTreeMap<ListenAddress, ZoneTable> = BTreeMap::new();
    for (server, chain) in servers.iter().zip(chains) {
        for key in &server.keys {
            if key.transport != Transport::Dns {
                let problem = format!(
                    "this server does not speak {}:// yet; remove the server block, or keep CoreDNS for it",
                    key.transport
                );
                return Err(StartError::Directive { at: key.at.clone(), problem });
            }
            let zone = wire_zone(&key.zone).map_err(|error| StartError::Directive {
                at: key.at.clone(),
                problem: format!("zone '{}' is not a domain name: {error}", key.zone),
            })?;
            for address in listen_addresses(server, key.port, interfaces) {
                if !order.contains(&address) {
                    order.push(address.clone());
                }
                tables.entry(address).or_default().insert(zone.clone(), Arc::clone(chain));
            }
        }
    }
    // Every address of the order has a table.
    let listeners =
        order.iter().map(|address| Arc::new(Listener::new(tables.remove(address).unwrap_or_default()))).collect();
    Ok((order, listeners))
}

/// A zone in wire form and lower case.
fn wire_zone(zone: &str) -> Result<Box<[u8]>, NameError> {
    let mut zone = rustk8s::name::from_text(zone)?;
    zone.make_ascii_lowercase();
    Ok(zone)
}

fn listen_addresses(server: &ServerConfig, port: u16, interfaces: &[InterfaceAddress]) -> Vec<ListenAddress> {
    match &server.bind {
        None => vec![ListenAddress { ip: None, scope: 0, port }],
        Some(bind) => bind
            .addresses
            .iter()
            .map(|address| ListenAddress {
                ip: Some(address.ip),
                scope: interfaces::scope_of(interfaces, address),
                port,
            })
            .collect(),
    }
}

async fn endpoints(servers: &[ServerConfig], readiness: &Readiness) -> Result<Endpoints, HttpError> {
    let mut endpoints = Endpoints::default();
    let mut ready_at: Vec<&HostPort> = Vec::new();
    let mut health_at: Vec<&HostPort> = Vec::new();
    for server in servers {
        if let Some(health) = server.health.as_ref().filter(|health| !health_at.contains(&&health.address)) {
            health_at.push(&health.address);
            endpoints.add("health", &health.address, health::routes()).await?;
        }
        if let Some(ready) = server.ready.as_ref().filter(|ready| !ready_at.contains(&&ready.address)) {
            ready_at.push(&ready.address);
            endpoints.add("ready", &ready.address, readiness.routes()).await?;
        }
    }
    Ok(endpoints)
}

/// Starts the watches of all clusters, and waits for them as long as their directives say.
async fn watch(clusters: Vec<Cluster>, options: &WatchOptions) -> io::Result<Vec<Watches>> {
    let mut watches = Vec::new();
    let mut timeout = Duration::ZERO;
    for Cluster { directive, config, engine, client } in clusters {
        let Some(client) = client else { continue };
        let limits = Limits::new(directive.apiserver_qps, directive.apiserver_burst, directive.apiserver_max_inflight);
        watches.push(Watches::start(&engine, &config, &client, limits, options)?);
        timeout = timeout.max(directive.startup_timeout);
    }
    if watches.is_empty() {
        return Ok(watches);
    }
    let started = Instant::now();
    let all_synced = async {
        for watch in &mut watches {
            watch.wait_until_synced().await;
        }
    };
    let hint = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        tracing::info!(plugin = "kubernetes", "waiting for Kubernetes API before starting server");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = all_synced => tracing::info!(plugin = "kubernetes", "synced with the Kubernetes API in {:.1?}", started.elapsed()),
        () = tokio::time::sleep(timeout) => tracing::warn!(plugin = "kubernetes", "starting server with unsynced Kubernetes API"),
        () = hint => {}
    }
    Ok(watches)
}

/// Logs the counts of `errors { consolidate }` once their periods are over.
fn report_errors(chains: Vec<Arc<Chain>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if chains.iter().any(|chain| chain.consolidates()) {
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                for chain in &chains {
                    chain.report_failures(Instant::now());
                }
            }
        });
    }
    tasks
}
