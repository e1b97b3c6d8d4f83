//! `kubernetes [ZONES...] { ... }`, also written `rustk8s`: names of a cluster.
//!
//! The options are those of CoreDNS's plugin, accepted and refused as in its `plugin/kubernetes/setup.go`, quirks
//! included: of most options that are repeated the last counts, `ttl` and `startup_timeout` ignore what follows their
//! value, `ignore` may lack its argument. New are `objects FILE...`, which serves manifests without a cluster, and
//! `engine native`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
pub use rustk8s::config::PodMode;

use super::selector;
use crate::corefile::address::{zones_from_arguments, zones_from_arguments_or_keys};
use crate::corefile::duration::{self, GoDuration};
use crate::corefile::error::Shown;
use crate::corefile::number::{parse_float, parse_integer};
use crate::corefile::{CorefileError, Directive, Dispenser, ErrorKind, Location, Token, Warning, ZoneAddr, glob};

/// The directive `kubernetes` or `rustk8s`.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the Corefile")]
pub struct KubernetesDirective {
    /// The zones served: lower case, fully qualified, with a trailing dot.
    pub zones: Vec<String>,
    /// The place in `zones` of the first that is not a reverse zone: the one that PTR records point into.
    pub primary_zone: usize,
    /// Only these namespaces are exposed; empty for all. Each once, in the order of the file.
    pub namespaces: Vec<String>,
    /// Only namespaces with matching labels are exposed. Excludes `namespaces`.
    pub namespace_labels: Option<String>,
    /// Only objects with matching labels are served.
    pub labels: Option<String>,
    /// How names of pods are answered.
    pub pods: PodMode,
    /// Endpoints without a hostname are named after their pod.
    pub endpoint_pod_names: bool,
    /// TTL of answers in seconds, 0 to 3600.
    pub ttl: u32,
    /// Endpoints are not watched: headless Services have no addresses.
    pub noendpoints: bool,
    /// Zones in which a name that does not exist is handed on: `.` for all, empty for none.
    pub fallthrough: Vec<String>,
    /// A Service without ready endpoints does not exist.
    pub ignore_empty_service: bool,
    /// The zones, of those served, for Services of the multi-cluster API.
    pub multicluster: Vec<String>,
    /// Names with a topology zone are answered.
    pub zonal: bool,
    /// How long the server waits for the cluster before it starts without. More than 0.
    pub startup_timeout: Duration,
    /// Where objects come from.
    pub source: Source,
    /// Requests a second to the API server; `None` for the client's default.
    pub apiserver_qps: Option<f32>,
    /// Requests to the API server at once above that rate; `None` for the client's default.
    pub apiserver_burst: Option<u64>,
    /// Requests to the API server that may be unanswered; `None` for no limit.
    pub apiserver_max_inflight: Option<u64>,
    /// Where the directive stands.
    pub at: Location,
}

/// Where objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The cluster that the server runs in, by its service account.
    InCluster,
    /// A kubeconfig: `kubeconfig FILE [CONTEXT]`.
    Kubeconfig {
        /// The file, relative to the folder that the server was started in.
        file: PathBuf,
        /// The context; `None` for the file's current one.
        context: Option<String>,
    },
    /// An API server: `endpoint URL...`.
    Endpoint {
        /// Its URLs, of which CoreDNS uses the first; never empty. Each has a scheme.
        urls: Vec<String>,
        /// `tls CERT KEY CACERT`.
        tls: Option<ClientTls>,
    },
    /// Manifests instead of a cluster: `objects FILE...`. The files exist, or did when the Corefile was read.
    Objects(Vec<PathBuf>),
}

/// The files of `tls CERT KEY CACERT`, relative to the folder that the server was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The client's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate authority of the API server.
    pub ca_cert: PathBuf,
}

/// The options, for messages.
const OPTIONS: &str = "accepted: apiserver_burst, apiserver_max_inflight, apiserver_qps, endpoint, endpoint_pod_names, engine, fallthrough, ignore, kubeconfig, labels, multicluster, namespace_labels, namespaces, noendpoints, objects, pods, startup_timeout, tls, ttl, zonal";

impl KubernetesDirective {
    /// Reads the directive. `keys` are those of its server block, whose zones it serves if it names none.
    pub fn parse(directive: &Directive, keys: &[ZoneAddr], warnings: &mut Vec<Warning>) -> Result<Self, CorefileError> {
        let mut words = directive.dispenser();
        // The tokens start with the name.
        words.next_token();
        let kubernetes = Self::parse_stanza(&mut words, keys, warnings)?;
        if words.next_token() { Err(words.repeated()) } else { Ok(kubernetes) }
    }

    fn parse_stanza(
        words: &mut Dispenser<'_>,
        keys: &[ZoneAddr],
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, CorefileError> {
        let at = words.location();
        let arguments = words.remaining_arguments();
        let zones = zones_from_arguments_or_keys(&arguments, keys);
        let Some(primary_zone) = zones.iter().position(|zone| !is_reverse(zone)) else {
            let problem =
                if zones.is_empty() { "none of its arguments is a zone" } else { "all its zones are reverse zones" };
            return Err(words.refuse(
                format!("{problem}: a non-reverse zone name must be used"),
                "accepted: kubernetes [ZONES...] with at least one zone such as cluster.local",
            ));
        };
        let mut kubernetes = Self {
            zones,
            primary_zone,
            namespaces: Vec::new(),
            namespace_labels: None,
            labels: None,
            pods: PodMode::Disabled,
            endpoint_pod_names: false,
            ttl: 5,
            noendpoints: false,
            fallthrough: Vec::new(),
            ignore_empty_service: false,
            multicluster: Vec::new(),
            zonal: false,
            startup_timeout: Duration::from_secs(5),
            source: Source::InCluster,
            apiserver_qps: None,
            apiserver_burst: None,
            apiserver_max_inflight: None,
            at,
        };
        let mut sources = Sources::default();
        while words.next_option() {
            kubernetes.parse_option(words, &mut sources, warnings)?;
        }
        kubernetes.check(words)?;
        kubernetes.source = sources.choose(words, &kubernetes.at, warnings)?;
        Ok(kubernetes)
    }

    fn parse_option(
        &mut self,
        words: &mut Dispenser<'_>,
        sources: &mut Sources,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), CorefileError> {
        let option = words.value();
        let at = words.location();
        let tokens = words.remaining_tokens();
        let arguments: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
        let wrong_arguments = |usage: &str| Err(words.wrong_arguments(option, &arguments, usage));
        match option {
            "endpoint_pod_names" => match arguments[..] {
                [] => self.endpoint_pod_names = true,
                _ => return wrong_arguments("endpoint_pod_names"),
            },
            "pods" => {
                const USAGE: &str = "pods disabled|insecure|verified";
                self.pods = match arguments[..] {
                    ["disabled"] => PodMode::Disabled,
                    ["insecure"] => PodMode::Insecure,
                    ["verified"] => PodMode::Verified,
                    [other] => {
                        let problem = format!("option 'pods': wrong value {}", Shown(other));
                        return Err(words.refuse(problem, format!("accepted: {USAGE}")));
                    }
                    _ => return wrong_arguments(USAGE),
                };
            }
            "namespaces" => {
                if arguments.is_empty() {
                    return wrong_arguments("namespaces NAMESPACE...");
                }
                for namespace in arguments {
                    if !self.namespaces.iter().any(|known| known == namespace) {
                        self.namespaces.push(namespace.to_owned());
                    }
                }
            }
            "endpoint" => {
                let [first, ref others @ ..] = arguments[..] else { return wrong_arguments("endpoint URL") };
                if !others.is_empty() {
                    let message = format!("endpoint: only the first URL, {first}, is used, as in CoreDNS");
                    warnings.push(Warning { at, message });
                }
                sources.endpoint = Some(arguments.iter().map(|url| (*url).to_owned()).collect());
            }
            "tls" => match arguments[..] {
                [cert, key, ca_cert] => {
                    sources.tls = Some(ClientTls { cert: cert.into(), key: key.into(), ca_cert: ca_cert.into() });
                }
                _ => return wrong_arguments("tls CERT KEY CACERT"),
            },
            "labels" | "namespace_labels" => {
                if arguments.is_empty() {
                    let usage = format!("{option} SELECTOR");
                    return wrong_arguments(&usage);
                }
                let selector = Some(selector::parse(words, option, &arguments)?);
                if option == "labels" {
                    self.labels = selector;
                } else {
                    self.namespace_labels = selector;
                }
            }
            "fallthrough" => {
                self.fallthrough =
                    if arguments.is_empty() { vec![".".to_owned()] } else { zones_from_arguments(&arguments) };
            }
            "ttl" => {
                const ACCEPTED: &str = "accepted: 0 to 3600 seconds";
                // More arguments are ignored, as in CoreDNS.
                let [value, ..] = arguments[..] else { return wrong_arguments("ttl SECONDS") };
                let ttl = parse_integer(value)
                    .map_err(|error| words.refuse(format!("option 'ttl': {}: {error}", Shown(value)), ACCEPTED))?;
                self.ttl = u32::try_from(ttl)
                    .ok()
                    .filter(|ttl| *ttl <= 3600)
                    .ok_or_else(|| words.refuse(format!("option 'ttl': {ttl} is out of range"), ACCEPTED))?;
            }
            "noendpoints" => match arguments[..] {
                [] => self.noendpoints = true,
                _ => return wrong_arguments("noendpoints"),
            },
            "zonal" => match arguments[..] {
                [] => self.zonal = true,
                _ => return wrong_arguments("zonal"),
            },
            "ignore" => match arguments[..] {
                // Without an argument it does nothing; more than one are ignored. Both as in CoreDNS.
                [] => {}
                ["empty_service", ..] => self.ignore_empty_service = true,
                [other, ..] => {
                    let problem = format!("option 'ignore': unknown value {}", Shown(other));
                    return Err(words.refuse(problem, "accepted: ignore empty_service"));
                }
            },
            "kubeconfig" => match arguments[..] {
                [file] => sources.kubeconfig = Some((file.into(), None)),
                [file, context] => sources.kubeconfig = Some((file.into(), Some(context.to_owned()))),
                _ => return wrong_arguments("kubeconfig FILE [CONTEXT]"),
            },
            "multicluster" => self.multicluster = zones_from_arguments(&arguments),
            "startup_timeout" => {
                // More arguments are ignored, as in CoreDNS.
                let [value, ..] = arguments[..] else { return wrong_arguments("startup_timeout DURATION") };
                let timeout = GoDuration::parse(value).map_err(|error| {
                    let problem = format!("option 'startup_timeout': {}: {error}", Shown(value));
                    words.refuse(problem, duration::ACCEPTED)
                })?;
                // CoreDNS reads such a value, and then dies on it.
                if timeout.nanoseconds() <= 0 {
                    let problem = format!("option 'startup_timeout': {} is not more than 0", Shown(value));
                    return Err(words.refuse(problem, "accepted: a duration of at least 1ns, as in 5s"));
                }
                self.startup_timeout = timeout.to_std();
            }
            "apiserver_qps" => {
                const ACCEPTED: &str = "accepted: requests a second, 0 or more, 0 for the default";
                let [value] = arguments[..] else { return wrong_arguments("apiserver_qps NUMBER") };
                let refuse = |problem: &dyn std::fmt::Display| {
                    words.refuse(format!("option 'apiserver_qps': {}: {problem}", Shown(value)), ACCEPTED)
                };
                let qps = parse_float(value).map_err(|error| refuse(&error))?;
                if qps < 0.0 {
                    return Err(refuse(&"it must be at least 0"));
                }
                // Not a number compares as not more than 0, and so is the default, as in CoreDNS.
                self.apiserver_qps = (qps > 0.0).then_some(qps);
            }
            "apiserver_burst" => self.apiserver_burst = parse_count(words, option, &arguments)?,
            "apiserver_max_inflight" => self.apiserver_max_inflight = parse_count(words, option, &arguments)?,
            "objects" => {
                if arguments.is_empty() {
                    return wrong_arguments("objects FILE...");
                }
                for token in tokens {
                    sources.objects.extend(find_objects(words, token)?);
                }
            }
            "engine" => match arguments[..] {
                ["native"] => {}
                ["wasm", ..] => {
                    let problem = "option 'engine': this build has no WASM engine";
                    return Err(words.refuse(problem, "accepted: engine native"));
                }
                [other] => {
                    let problem = format!("option 'engine': unknown engine {}", Shown(other));
                    return Err(words.refuse(problem, "accepted: engine native"));
                }
                _ => return wrong_arguments("engine native"),
            },
            _ => return Err(words.refuse(format!("unknown option {}", Shown(option)), OPTIONS)),
        }
        Ok(())
    }

    /// What options say of each other.
    fn check(&self, words: &Dispenser<'_>) -> Result<(), CorefileError> {
        if !self.namespaces.is_empty() && self.namespace_labels.is_some() {
            let problem = "options 'namespaces' and 'namespace_labels' cannot both be set";
            return Err(words.refuse(problem, "keep one of them"));
        }
        for zone in &self.multicluster {
            if !self.zones.contains(zone) {
                let problem = format!("option 'multicluster': it is not authoritative for zone {}", Shown(zone));
                return Err(words.refuse(problem, format!("accepted: zones that it serves: {}", self.zones.join(" "))));
            }
        }
        if self.zonal && self.noendpoints {
            let problem = "option 'zonal' answers from endpoints, which 'noendpoints' leaves out";
            return Err(words.refuse(problem, "remove noendpoints or zonal"));
        }
        Ok(())
    }

    /// The part of the options that decides what is answered, for the engine. `hash_seed` is to be random.
    pub fn engine_config(&self, hash_seed: u64) -> rustk8s::config::Config {
        rustk8s::config::Config {
            zones: self.zones.clone(),
            namespaces: self.namespaces.clone(),
            namespace_labels: self.namespace_labels.clone(),
            labels: self.labels.clone(),
            pods: self.pods,
            endpoint_pod_names: self.endpoint_pod_names,
            ttl: self.ttl,
            noendpoints: self.noendpoints,
            fallthrough: self.fallthrough.clone(),
            ignore_empty_service: self.ignore_empty_service,
            multicluster: self.multicluster.clone(),
            zonal: self.zonal,
            hash_seed,
            ..rustk8s::config::Config::default()
        }
    }
}

/// Below `in-addr.arpa.` or `ip6.arpa.`; these two themselves are not, as in CoreDNS.
fn is_reverse(zone: &str) -> bool {
    zone.ends_with(".in-addr.arpa.") || zone.ends_with(".ip6.arpa.")
}

/// The value of `apiserver_burst` or `apiserver_max_inflight`: 0 is the default.
fn parse_count(words: &Dispenser<'_>, option: &str, arguments: &[&str]) -> Result<Option<u64>, CorefileError> {
    let [value] = arguments[..] else {
        return Err(words.wrong_arguments(option, arguments, &format!("{option} NUMBER")));
    };
    let refuse = |problem: &dyn std::fmt::Display| {
        let problem = format!("option '{option}': {}: {problem}", Shown(value));
        words.refuse(problem, "accepted: a whole number, 0 or more, 0 for the default")
    };
    let count = parse_integer(value).map_err(|error| refuse(&error))?;
    let count = u64::try_from(count).map_err(|_| refuse(&"it must be at least 0"))?;
    Ok((count > 0).then_some(count))
}

/// The files that an argument of `objects` names, relative to the folder of the file that it stands in.
fn find_objects(words: &Dispenser<'_>, token: &Token) -> Result<Vec<PathBuf>, CorefileError> {
    const ACCEPTED: &str =
        "accepted: manifests, and patterns such as manifests/*.yaml, relative to the folder of this file";
    let refuse = |problem: String| {
        CorefileError::new(ErrorKind::Option, token.at.clone(), format!("option 'objects': {problem}"))
            .in_directive(words.directive())
            .accepted(ACCEPTED)
    };
    let folder = Path::new(token.at.file.as_ref()).parent().unwrap_or(Path::new(""));
    let path = folder.join(&token.text);
    // A file whose very name looks like a pattern comes before what the pattern would match.
    if path.is_file() {
        return Ok(vec![path]);
    }
    if path.is_dir() {
        return Err(refuse(format!("{} is a folder", Shown(&path.to_string_lossy()))));
    }
    if !glob::is_pattern(&token.text) {
        let problem = match path.metadata() {
            // A pipe or the like.
            Ok(_) => return Ok(vec![path]),
            Err(error) => format!("cannot read {}: {error}", Shown(&path.to_string_lossy())),
        };
        return Err(refuse(problem));
    }
    let files =
        glob::glob(&path.to_string_lossy()).map_err(|error| refuse(format!("{}: {error}", Shown(&token.text))))?;
    let files: Vec<PathBuf> = files.into_iter().filter(|file| !file.is_dir()).collect();
    if files.is_empty() {
        Err(refuse(format!("no file matches {}", Shown(&path.to_string_lossy()))))
    } else {
        Ok(files)
    }
}

/// The options that tell where objects come from, of which one is used.
#[derive(Debug, Default)]
struct Sources {
    kubeconfig: Option<(PathBuf, Option<String>)>,
    endpoint: Option<Vec<String>>,
    tls: Option<ClientTls>,
    objects: Vec<PathBuf>,
}

impl Sources {
    /// `kubeconfig` comes before `endpoint`, as in CoreDNS; `objects` excludes both.
    fn choose(
        self,
        words: &Dispenser<'_>,
        at: &Location,
        warnings: &mut Vec<Warning>,
    ) -> Result<Source, CorefileError> {
        let mut ignored = |option: &str, because: &str| {
            warnings.push(Warning { at: at.clone(), message: format!("option '{option}' is ignored: {because}") });
        };
        if !self.objects.is_empty() {
            if self.kubeconfig.is_some() || self.endpoint.is_some() || self.tls.is_some() {
                let problem = "option 'objects' serves manifests instead of a cluster";
                return Err(words.refuse(problem, "remove objects, or remove kubeconfig, endpoint and tls"));
            }
            return Ok(Source::Objects(self.objects));
        }
        if let Some((file, context)) = self.kubeconfig {
            if self.endpoint.is_some() {
                ignored("endpoint", "'kubeconfig' comes before it");
            }
            if self.tls.is_some() {
                ignored("tls", "'kubeconfig' comes before it");
            }
            return Ok(Source::Kubeconfig { file, context });
        }
        let Some(urls) = self.endpoint else {
            if self.tls.is_some() {
                ignored("tls", "there is no 'endpoint'");
            }
            return Ok(Source::InCluster);
        };
        let urls = urls.iter().map(|url| endpoint_url(url, self.tls.is_some()).ok_or(url));
        let urls = urls.collect::<Result<Vec<_>, _>>().map_err(|url| {
            let problem = format!("option 'endpoint': {} is not the URL of an API server", Shown(url));
            words.refuse(problem, "accepted: http://HOST[:PORT], https://HOST[:PORT], or HOST[:PORT]")
        })?;
        Ok(Source::Endpoint { urls, tls: self.tls })
    }
}

/// The URL of an API server. As in Kubernetes's client library it may be a host and port alone, whose scheme then
/// depends on whether there are certificates.
fn endpoint_url(text: &str, tls: bool) -> Option<String> {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    let url = match (has_scheme, tls) {
        (true, _) => text.to_owned(),
        (false, true) => format!("https://{text}"),
        (false, false) => format!("http://{text}"),
    };
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    // The part behind the host: nothing, a colon, or a port.
    let port = authority.as_str().rsplit_once(authority.host())?.1.trim_start_matches(':');
    let port_fits = port.is_empty() || port.parse::<u16>().is_ok();
    // A bare host has no path, and what looks like one was another scheme.
    let path_fits = has_scheme || matches!(uri.path(), "" | "/");
    (!authority.host().is_empty() && port_fits && path_fits && uri.query().is_none()).then_some(url)
}
