//! Tests of the directives: the cases of the reference's `setup_test.go` of each plugin, and what they lack.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::corefile::Settings;

fn interfaces(name: &str) -> Option<Vec<BindAddress>> {
    let address =
        |ip: &str, scope: Option<&str>| BindAddress { ip: ip.parse().unwrap(), scope: scope.map(str::to_owned) };
    match name {
        "lo" => Some(vec![address("127.0.0.1", None), address("::1", None)]),
        "eth0" => Some(vec![address("10.1.2.3", None), address("fe80::1", Some("eth0"))]),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, CorefileError> {
    let settings = Settings { port: None, environment: &|_| None };
    Config::from_corefile(&Corefile::parse("Corefile", text.as_bytes(), &settings)?, &interfaces)
}

/// Reads a directive in a server block of its own.
fn read_directive(text: &str) -> Result<ServerConfig, CorefileError> {
    read(&format!("example.org {{\n{text}\n}}")).map(|mut config| config.servers.remove(0))
}

fn kubernetes(text: &str) -> Result<KubernetesDirective, CorefileError> {
    read_directive(&format!("kubernetes {text}")).map(|server| server.kubernetes.unwrap())
}

/// Reads options of `kubernetes coredns.local`.
fn options(text: &str) -> Result<KubernetesDirective, CorefileError> {
    kubernetes(&format!("coredns.local {{\n{text}\n}}"))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn message<T: std::fmt::Debug>(result: Result<T, CorefileError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn kubernetes_defaults() {
    assert_eq!(
        kubernetes("").unwrap(),
        KubernetesDirective {
            zones: vec!["example.org.".into()],
            primary_zone: 0,
            namespaces: vec![],
            namespace_labels: None,
            labels: None,
            pods: PodMode::Disabled,
            endpoint_pod_names: false,
            ttl: 5,
            noendpoints: false,
            fallthrough: vec![],
            ignore_empty_service: false,
            multicluster: vec![],
            zonal: false,
            startup_timeout: Duration::from_secs(5),
            source: Source::InCluster,
            apiserver_qps: None,
            apiserver_burst: None,
            apiserver_max_inflight: None,
            at: Location { file: "Corefile".into(), line: 2 },
        }
    );
    assert_eq!(options(""), kubernetes("coredns.local"));
}

#[test]
fn kubernetes_zones() {
    let zones = |text: &str| kubernetes(text).map(|kubernetes| (kubernetes.zones.join(" "), kubernetes.primary_zone));
    assert_eq!(zones("coredns.local Test.LOCAL.").unwrap(), ("coredns.local. test.local.".into(), 0));
    assert_eq!(
        zones("in-addr.arpa ip6.arpa cluster.local").unwrap(),
        ("in-addr.arpa. ip6.arpa. cluster.local.".into(), 0),
        "these two are no reverse zones to CoreDNS, only what is below them"
    );
    assert_eq!(
        zones("10.0.0.0/15 a..b dns://cluster.local:53").unwrap(),
        ("0.10.in-addr.arpa. 1.10.in-addr.arpa. cluster.local.".into(), 2)
    );
    let from_keys =
        read("cluster.local:54 dns://b 10.0.0.0/8 {\n rustk8s\n}").unwrap().servers.remove(0).kubernetes.unwrap();
    assert_eq!(from_keys.zones, ["cluster.local.", "b.", "10.in-addr.arpa."]);
    for text in ["10.0.0.0/8", "0.10.in-addr.arpa 8.b.d.0.1.0.0.2.ip6.arpa", "a..b"] {
        assert!(message(kubernetes(text)).contains("non-reverse zone name must be used"), "{text}");
    }
    assert!(message(read("10.0.0.0/8 {\n kubernetes\n}")).contains("all its zones are reverse zones"));
}

#[test]
fn kubernetes_options_are_read() {
    let all = options(
        "namespaces demo test\n namespaces demo more\n labels environment in (production, staging, qa),application=nginx
         pods verified\n endpoint_pod_names\n ttl 30\n fallthrough\n ignore empty_service\n zonal
         multicluster coredns.local\n startup_timeout 1m\n kubeconfig file context
         apiserver_qps 50.0\n apiserver_burst 100\n apiserver_max_inflight 25\n engine native",
    )
    .unwrap();
    assert_eq!(all.namespaces, ["demo", "test", "more"]);
    assert_eq!(all.labels.as_deref(), Some("environment in (production, staging, qa),application=nginx"));
    assert_eq!(all.pods, PodMode::Verified);
    assert!(all.endpoint_pod_names && all.ignore_empty_service && all.zonal && !all.noendpoints);
    assert_eq!((all.ttl, all.startup_timeout), (30, Duration::from_mins(1)));
    assert_eq!((all.fallthrough, all.multicluster), (vec![".".to_owned()], vec!["coredns.local.".to_owned()]));
    assert_eq!(all.source, Source::Kubeconfig { file: "file".into(), context: Some("context".into()) });
    assert_eq!((all.apiserver_qps, all.apiserver_burst, all.apiserver_max_inflight), (Some(50.0), Some(100), Some(25)));

    let field = |text: &str| options(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(field("pods insecure").pods, PodMode::Insecure);
    assert_eq!(field("pods verified\n pods disabled").pods, PodMode::Disabled, "the last counts");
    assert_eq!(field("ttl 0").ttl, 0);
    assert_eq!(field("ttl +3600 more").ttl, 3600, "what follows is ignored");
    assert!(!field("ignore").ignore_empty_service);
    assert!(field("ignore empty_service ixnay").ignore_empty_service);
    assert!(field("noendpoints").noendpoints);
    assert_eq!(
        field("fallthrough ip6.arpa 10.0.0.0/15 Foo.com a..b").fallthrough,
        ["ip6.arpa.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa.", "foo.com."]
    );
    assert_eq!(field("fallthrough a..b").fallthrough, [""; 0]);
    assert_eq!(field("multicluster").multicluster, [""; 0]);
    assert_eq!(
        field("namespace_labels istio-injection=enabled").namespace_labels.as_deref(),
        Some("istio-injection=enabled")
    );
    assert_eq!(field("labels a=b\n labels c").labels.as_deref(), Some("c"));
    assert_eq!(field("startup_timeout 1.5h later").startup_timeout, Duration::from_mins(90));
    assert_eq!(field("apiserver_qps 0").apiserver_qps, None);
    assert_eq!(field("apiserver_qps NaN").apiserver_qps, None);
    assert_eq!(field("apiserver_burst 0").apiserver_burst, None);
    // Several options on a line: the braces of the block decide, not lines.
    assert!(kubernetes("coredns.local { noendpoints\n}").unwrap().noendpoints);
}

#[test]
fn kubernetes_sources() {
    let source = |text: &str| options(text).map(|kubernetes| kubernetes.source);
    let endpoint = |urls: &[&str], tls: Option<ClientTls>| Source::Endpoint {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        tls,
    };
    assert_eq!(source("endpoint http://localhost:9090").unwrap(), endpoint(&["http://localhost:9090"], None));
    assert_eq!(
        source("endpoint http://a:1\n endpoint https://b/base http://c").unwrap(),
        endpoint(&["https://b/base", "http://c"], None)
    );
    assert_eq!(source("endpoint localhost:9090").unwrap(), endpoint(&["http://localhost:9090"], None));
    let tls = ClientTls { cert: "cert".into(), key: "key".into(), ca_cert: "ca".into() };
    assert_eq!(source("tls cert key ca\n endpoint 10.0.0.1").unwrap(), endpoint(&["https://10.0.0.1"], Some(tls)));
    assert_eq!(source("kubeconfig f").unwrap(), Source::Kubeconfig { file: "f".into(), context: None });
    assert_eq!(
        source("kubeconfig f c\n endpoint http://a").unwrap(),
        Source::Kubeconfig { file: "f".into(), context: Some("c".into()) }
    );
    assert_eq!(source("tls cert key ca").unwrap(), Source::InCluster);
    for text in [
        "endpoint http://",
        "endpoint localhost:9090/path",
        "endpoint ftp://a",
        "endpoint http://a?b",
        "endpoint \"a b\"",
    ] {
        assert!(message(source(text)).contains("is not the URL of an API server"), "{text}");
    }
    let warnings: Vec<_> = read(
        ". {\n kubernetes {\n kubeconfig f\n tls a b c\n endpoint a b\n }\n}\nb {\n kubernetes {\n tls a b c\n }\n}",
    )
    .unwrap()
    .warnings
    .iter()
    .map(ToString::to_string)
    .collect();
    assert_eq!(
        warnings,
        [
            "Corefile:5: endpoint: only the first URL, a, is used, as in CoreDNS",
            "Corefile:2: option 'endpoint' is ignored: 'kubeconfig' comes before it",
            "Corefile:2: option 'tls' is ignored: 'kubeconfig' comes before it",
            "Corefile:9: option 'tls' is ignored: there is no 'endpoint'",
        ]
    );
}

#[test]
fn kubernetes_objects() {
    let folder = std::env::temp_dir().join(format!("rustk8s-objects-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("more")).unwrap();
    for name in ["b.yaml", "a.yaml", "c.json", "more/d.yaml", "[x].yaml"] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    let read = |options: &str| {
        let corefile = folder.join("Corefile").to_string_lossy().into_owned();
        let text = format!(". {{\n kubernetes cluster.local {{\n{options}\n}}\n}}");
        let settings = Settings { port: None, environment: &|_| None };
        let corefile = Corefile::parse(&corefile, text.as_bytes(), &settings)?;
        let config = Config::from_corefile(&corefile, &interfaces)?;
        Ok::<_, CorefileError>(match config.servers[0].kubernetes.clone().map(|kubernetes| kubernetes.source) {
            Some(Source::Objects(files)) => {
                files.iter().map(|file| file.strip_prefix(&folder).unwrap().to_owned()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        })
    };
    let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(
        read("objects b.yaml c.json\n objects more/d.yaml").unwrap(),
        files(&["b.yaml", "c.json", "more/d.yaml"])
    );
    assert_eq!(read("objects [ab].yaml").unwrap(), files(&["a.yaml", "b.yaml"]));
    assert_eq!(read("objects [x].yaml").unwrap(), files(&["[x].yaml"]), "a file comes before a pattern");
    let table = [
        ("objects", "option 'objects' lacks its value; accepted: objects FILE..."),
        ("objects none.yaml", "option 'objects': cannot read '"),
        ("objects none*.yaml", "option 'objects': no file matches '"),
        ("objects more", "more' is a folder; accepted: manifests, and patterns such as"),
        ("objects [", "option 'objects': '[': syntax error in pattern"),
        ("objects a.yaml\n kubeconfig f", "option 'objects' serves manifests instead of a cluster; remove objects, or"),
        ("endpoint a\n objects a.yaml", "option 'objects' serves manifests instead of a cluster; remove objects, or"),
    ];
    for (options, expected) in table {
        let message = message(read(options));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("Corefile:"), "{message}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn kubernetes_refusals_tell_what_is_accepted() {
    let table = [
        ("endpoint", "option 'endpoint' lacks its value; accepted: endpoint URL"),
        ("namespaces", "option 'namespaces' lacks its value; accepted: namespaces NAMESPACE..."),
        ("labels", "option 'labels' lacks its value; accepted: labels SELECTOR"),
        ("labels environment in (production, qa", "option 'labels': 'environment in (production, qa': "),
        ("labels a>1", "option 'labels': 'a>1': "),
        ("namespace_labels", "option 'namespace_labels' lacks its value; accepted: namespace_labels SELECTOR"),
        ("namespace_labels =", "option 'namespace_labels': '=': "),
        ("pods", "option 'pods' lacks its value; accepted: pods disabled|insecure|verified"),
        ("pods giant_seed", "option 'pods': wrong value 'giant_seed'; accepted: pods disabled|insecure|verified"),
        ("pods insecure verified", "option 'pods' has 2 values; accepted: pods disabled|insecure|verified"),
        ("endpoint_pod_names giant_seed", "option 'endpoint_pod_names' takes no value, but has 'giant_seed'"),
        ("noendpoints ixnay on the endpointsay", "option 'noendpoints' takes no values, but has 4"),
        ("zonal us-west-2a", "option 'zonal' takes no value, but has 'us-west-2a'"),
        ("zonal\n noendpoints", "option 'zonal' answers from endpoints, which 'noendpoints' leaves out"),
        ("kubeconfig", "option 'kubeconfig' lacks its value; accepted: kubeconfig FILE [CONTEXT]"),
        ("kubeconfig file context extraarg", "option 'kubeconfig' has 3 values; accepted: kubeconfig FILE [CONTEXT]"),
        ("tls a b", "option 'tls' has 2 values; accepted: tls CERT KEY CACERT"),
        ("ttl", "option 'ttl' lacks its value; accepted: ttl SECONDS"),
        ("ttl 3601", "option 'ttl': 3601 is out of range; accepted: 0 to 3600 seconds"),
        ("ttl -1", "option 'ttl': -1 is out of range; accepted: 0 to 3600 seconds"),
        ("ttl 5s", "option 'ttl': '5s': it is not a number; accepted: 0 to 3600 seconds"),
        ("ttl 99999999999999999999", "option 'ttl': '99999999999999999999': it is out of range"),
        ("ignore ixnay on the endpointsay", "option 'ignore': unknown value 'ixnay'; accepted: ignore empty_service"),
        (
            "multicluster clusterset.local",
            "option 'multicluster': it is not authoritative for zone 'clusterset.local.'; accepted: zones that it serves: coredns.local.",
        ),
        ("multicluster coredns.local test.local", "not authoritative for zone 'test.local.'"),
        ("namespaces foo bar\n namespace_labels a=b", "options 'namespaces' and 'namespace_labels' cannot both be set"),
        ("startup_timeout", "option 'startup_timeout' lacks its value; accepted: startup_timeout DURATION"),
        ("startup_timeout 5", "option 'startup_timeout': '5': it lacks a unit; accepted: a number with a unit of ns"),
        ("startup_timeout 0s", "option 'startup_timeout': '0s' is not more than 0"),
        ("startup_timeout -1s", "option 'startup_timeout': '-1s' is not more than 0"),
        ("apiserver_qps", "option 'apiserver_qps' lacks its value; accepted: apiserver_qps NUMBER"),
        ("apiserver_qps 1 2", "option 'apiserver_qps' has 2 values"),
        ("apiserver_qps -10", "option 'apiserver_qps': '-10': it must be at least 0"),
        ("apiserver_qps fast", "option 'apiserver_qps': 'fast': it is not a number"),
        ("apiserver_qps 1e39", "option 'apiserver_qps': '1e39': it is out of range"),
        ("apiserver_burst -5", "option 'apiserver_burst': '-5': it must be at least 0"),
        ("apiserver_burst 1.5", "option 'apiserver_burst': '1.5': it is not a number"),
        ("apiserver_max_inflight -1", "option 'apiserver_max_inflight': '-1': it must be at least 0"),
        ("apiserver_max_inflight", "option 'apiserver_max_inflight' lacks its value"),
        ("engine wasm", "option 'engine': this build has no WASM engine; accepted: engine native"),
        ("engine wasm rustk8s.wasm", "option 'engine': this build has no WASM engine"),
        ("engine steam", "option 'engine': unknown engine 'steam'; accepted: engine native"),
        ("engine", "option 'engine' lacks its value; accepted: engine native"),
        ("resyncperiod 5m", "unknown option 'resyncperiod'; accepted: apiserver_burst, "),
        ("upstream", "unknown option 'upstream'; accepted: "),
        (
            "noendpoints\n }\n kubernetes cluster.local {",
            "it can be used only once in a server block; keep one of them",
        ),
    ];
    for (text, expected) in table {
        let message = message(options(text));
        assert!(message.contains(expected), "{text}: {message}");
        assert!(
            message.starts_with("Corefile:") && message.contains(": directive 'kubernetes': "),
            "{text}: {message}"
        );
    }
    assert_eq!(
        message(options("\n pods maybe")),
        "Corefile:4: directive 'kubernetes': option 'pods': wrong value 'maybe'; accepted: pods disabled|insecure|verified"
    );
    // All on one line: the closing brace is an argument, as in CoreDNS.
    assert_eq!(
        message(kubernetes("coredns.local { pods verified }\n")),
        "Corefile:2: directive 'kubernetes': option 'pods' has the value '}'; the brace that closes a block stands on a line of its own"
    );
}

#[test]
fn kubernetes_and_rustk8s_are_one() {
    assert_eq!(
        message(read(". {\n kubernetes a\n rustk8s b\n}")),
        "Corefile:2: directive 'kubernetes': 'rustk8s' and 'kubernetes' are two names of the same directive; keep one of them in a server block"
    );
    let renamed = read(". {\n rustk8s a {\n pods verified\n }\n}").unwrap();
    assert_eq!(
        renamed.servers[0].kubernetes,
        read(". {\n kubernetes a {\n pods verified\n }\n}").unwrap().servers[0].kubernetes
    );
    assert!(message(read(". {\n rustk8s a {\n pods\n }\n}")).contains("directive 'rustk8s': option 'pods'"));
}

#[test]
fn the_engine_takes_what_is_read() {
    let directive = options("namespaces a\n pods insecure\n ttl 9\n fallthrough x\n labels b=c").unwrap();
    let config = directive.engine_config(7);
    assert_eq!(config.zones, ["coredns.local."]);
    assert_eq!((config.ttl, config.pods, config.hash_seed), (9, PodMode::Insecure, 7));
    assert_eq!((config.namespaces, config.fallthrough), (vec!["a".to_owned()], vec!["x.".to_owned()]));
    assert_eq!(config.labels.as_deref(), Some("b=c"));
}

#[test]
fn errors_cases() {
    let errors = |text: &str| read_directive(text).map(|server| server.errors.unwrap());
    let table = [
        ("errors", false, 0),
        ("errors stdout", false, 0),
        ("errors {\n stacktrace\n}", true, 0),
        ("errors {\n stacktrace\n consolidate 1m ^exact$\n}", true, 1),
        ("errors {\n consolidate 1m \"format error\"\n}", false, 1),
        ("errors {\n consolidate 1m error1\n consolidate 5s error2\n}", false, 2),
        ("errors {\n consolidate 1m error show_first\n}", false, 1),
        ("errors {\n consolidate 1m error warning show_first\n}", false, 1),
    ];
    for (text, stacktrace, count) in table {
        let read = errors(text).unwrap();
        assert_eq!((read.stacktrace, read.consolidate.len()), (stacktrace, count), "{text}");
    }
    let consolidate =
        errors("errors {\n consolidate 1m30s a.*b debug show_first\n consolidate 5s c\n}").unwrap().consolidate;
    assert_eq!(
        consolidate,
        [
            Consolidate {
                period: Duration::from_secs(90),
                pattern: "a.*b".into(),
                level: LogLevel::Debug,
                show_first: true
            },
            Consolidate {
                period: Duration::from_secs(5),
                pattern: "c".into(),
                level: LogLevel::Error,
                show_first: false
            },
        ]
    );
    for (word, level) in [("warning", LogLevel::Warning), ("error", LogLevel::Error), ("info", LogLevel::Info)] {
        assert_eq!(errors(&format!("errors {{\n consolidate 1m .* {word}\n}}")).unwrap().consolidate[0].level, level);
    }
    let long = format!("errors {{\n consolidate 1m {}\n}}", "a".repeat(10_001));
    let table = [
        ("errors errors.txt", "cannot log to 'errors.txt'; accepted: stdout, or nothing"),
        ("errors a b", "2 arguments; accepted: stdout"),
        ("errors\nerrors", "it can be used only once in a server block"),
        ("errors {\n log visible\n}", "unknown option 'log'; accepted: stacktrace, consolidate"),
        ("errors {\n consolidate\n}", "option 'consolidate' lacks its duration or pattern"),
        ("errors {\n consolidate 1m\n}", "option 'consolidate' lacks its duration or pattern"),
        ("errors {\n consolidate 1m .* extra\n}", "unknown word 'extra'"),
        ("errors {\n consolidate 1m .* info show_first more\n}", "option 'consolidate' has 5 values"),
        ("errors {\n consolidate abc .*\n}", "option 'consolidate': 'abc': it is not a duration"),
        ("errors {\n consolidate 1 .*\n}", "option 'consolidate': '1': it lacks a unit"),
        ("errors {\n consolidate 1m ())\n}", "option 'consolidate': pattern '())': a ) closes nothing"),
        ("errors {\n consolidate 1m error warning error\n}", "more than one level"),
        ("errors {\n consolidate 1m error show_first warning\n}", "the level stands behind show_first"),
        (&long, "it is longer than 10000 bytes"),
    ];
    for (text, expected) in table {
        let message = message(errors(text));
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn log_cases() {
    use ResponseClass::{All, Denial, Error};
    type Rule<'a> = (&'a str, &'a str, &'a [ResponseClass]);
    let combined_and_more = format!("{{when}} {} {{/forward/upstream}}", log::COMBINED_FORMAT);
    let common = log::COMMON_FORMAT;
    let combined = log::COMBINED_FORMAT;
    let table: &[(&str, &[Rule<'_>])] = &[
        ("log", &[(".", common, &[All])]),
        ("log example.org", &[("example.org.", common, &[All])]),
        ("log example.org. {common}", &[("example.org.", common, &[All])]),
        ("log Example.org {combined}", &[("Example.org.", combined, &[All])]),
        (
            "log example.org.\nlog example.net {combined}",
            &[("example.org.", common, &[All]), ("example.net.", combined, &[All])],
        ),
        ("log example.org example.net", &[("example.org.", common, &[All]), ("example.net.", common, &[All])]),
        ("log a b {host}", &[("a.", "{host}", &[All]), ("b.", "{host}", &[All])]),
        ("log a b {when} {\n class denial\n}", &[("a.", "{when}", &[Denial]), ("b.", "{when}", &[Denial])]),
        ("log {\n class denial error denial\n}", &[(".", common, &[Denial, Error])]),
        ("log {\n class denial\n class error\n}", &[(".", common, &[Denial, Error])]),
        ("log a {\n class denial\n}\nlog b", &[("a.", common, &[Denial]), ("b.", common, &[All])]),
        ("log example.org \"{when} {combined} {/forward/upstream}\"", &[("example.org.", &combined_and_more, &[All])]),
        // A single argument is a name.
        ("log {combined}", &[("{combined}.", common, &[All])]),
    ];
    for (text, expected) in table {
        let rules = read_directive(text).unwrap().log;
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| {
                (rule.name_scope.as_str(), rule.format.as_str(), rule.classes.iter().copied().collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, format, classes)| (*name, *format, classes.to_vec())).collect();
        assert_eq!(rules, expected, "{text}");
    }
    let table = [
        ("log {\n class abracadabra\n}", "option 'class': unknown class 'abracadabra'; accepted: class all|success"),
        ("log {\n class\n}", "option 'class' lacks its value"),
        ("log {\n unknown\n}", "unknown option 'unknown'"),
    ];
    for (text, expected) in table {
        let message = message(read_directive(text));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn health_cases() {
    let health = |text: &str| read_directive(text).map(|server| server.health.unwrap());
    let table = [
        ("health", ":8080", 0),
        ("health localhost:1234", "localhost:1234", 0),
        ("health localhost:1234 {\n lameduck 4s\n}", "localhost:1234", 4),
        ("health {\n lameduck -4s\n}", ":8080", 0),
        ("health [::1]:80 {\n lameduck 4s\n lameduck 5s\n}\nhealth", "[::1]:80", 5),
    ];
    for (text, address, lameduck) in table {
        let read = health(text).unwrap();
        assert_eq!((read.address.to_string().as_str(), read.lameduck.as_secs()), (address, lameduck), "{text}");
    }
    let table = [
        ("health bla", "address 'bla' has no port; accepted: [HOST]:PORT"),
        ("health bla:a", "address 'bla:a': port 'a' is not a number"),
        ("health bla bla", "2 addresses"),
        ("health localhost:1234 {\n lameduck a\n}", "option 'lameduck': 'a': it is not a duration"),
        ("health {\n lameduck\n}", "option 'lameduck' lacks its value; accepted: lameduck DURATION"),
        ("health {\n lamedudk 4\n}", "unknown option 'lamedudk'; accepted: lameduck"),
    ];
    for (text, expected) in table {
        let message = message(health(text));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn ready_cases() {
    let ready = |text: &str| read_directive(text).map(|server| server.ready.unwrap());
    let table = [
        ("ready", ":8181", ReadyMonitor::UntilReady),
        ("ready localhost:1234", "localhost:1234", ReadyMonitor::UntilReady),
        ("ready {\n monitor until-ready\n}", ":8181", ReadyMonitor::UntilReady),
        ("ready localhost:1234 {\n monitor continuously\n}", "localhost:1234", ReadyMonitor::Continuously),
    ];
    for (text, address, monitor) in table {
        let read = ready(text).unwrap();
        assert_eq!((read.address.to_string().as_str(), read.monitor), (address, monitor), "{text}");
    }
    let table = [
        ("ready bla", "address 'bla' has no port"),
        ("ready bla bla", "2 addresses"),
        (
            "ready {\n monitor 404\n}",
            "option 'monitor': unknown value '404'; accepted: monitor until-ready|continuously",
        ),
        ("ready {\n monitor\n}", "option 'monitor' lacks its value"),
        ("ready {\n monitro continuously\n}", "unknown option 'monitro'"),
        ("ready\nready", "it can be used only once in a server block"),
    ];
    for (text, expected) in table {
        let message = message(ready(text));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn bind_cases() {
    let bind = |text: &str| {
        let server = read_directive(text)?;
        let addresses = server.bind.unwrap().addresses;
        Ok::<_, CorefileError>(addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let table: &[(&str, &[&str])] = &[
        ("bind 1.2.3.4", &["1.2.3.4"]),
        ("bind 1.2.3.4 ::5", &["1.2.3.4", "::5"]),
        ("bind ::1 1.2.3.4 ::5 127.9.9.0", &["::1", "1.2.3.4", "::5", "127.9.9.0"]),
        ("bind 1.2.3.4 lo", &["1.2.3.4", "127.0.0.1", "::1"]),
        ("bind lo {\n except 127.0.0.1\n}", &["::1"]),
        ("bind lo\nbind 1.2.3.4 ::1", &["127.0.0.1", "::1", "1.2.3.4"]),
        ("bind eth0 {\n except 10.1.2.3\n}", &["fe80::1%eth0"]),
        ("bind eth0 lo {\n except ::1\n except eth0\n}", &["127.0.0.1", "::1"]),
        ("bind lo {\n except lo\n}", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(bind(text).unwrap(), *expected, "{text}");
    }
    let table = [
        ("bind", "an address is missing; accepted: IPv4 or IPv6 addresses, and names of interfaces"),
        ("bind 1.2.3.invalid", "'1.2.3.invalid' is neither an IP address nor an interface of this machine"),
        ("bind ::1 noone", "'noone' is neither"),
        ("bind fe80::1%eth0", "'fe80::1%eth0' is neither"),
        ("bind lo {\n except\n}", "option 'except' lacks its addresses"),
        ("bind lo {\n except noone\n}", "'noone' is neither"),
        ("bind lo {\n exempt ::1\n}", "unknown option 'exempt'"),
    ];
    for (text, expected) in table {
        let message = message(bind(text));
        assert!(message.contains(expected), "{message}");
    }
    let scoped: IpAddr = "fe80::1".parse().unwrap();
    assert_eq!(BindAddress { ip: scoped, scope: Some("lo".into()) }.to_string(), "fe80::1%lo");
}

/// `plugin/k8s_external/setup_test.go`, and refusals that it lacks.
#[test]
fn k8s_external_cases() {
    type Row = (&'static str, &'static [&'static str], &'static str, u32, bool, &'static [&'static str]);
    let external =
        |text: &str| read_directive(&format!("kubernetes\n{text}")).map(|server| server.k8s_external.unwrap());
    let table: &[Row] = &[
        ("k8s_external", &["example.org."], "dns", 5, false, &[]),
        ("k8s_external Example.net", &["example.net."], "dns", 5, false, &[]),
        ("k8s_external a 10.0.0.0/8 {\n apex testdns more\n}", &["a.", "10.in-addr.arpa."], "testdns", 5, false, &[]),
        ("k8s_external a {\n headless\n ttl 3600 more\n}", &["a."], "dns", 3600, true, &[]),
        ("k8s_external a {\n fallthrough\n}", &["a."], "dns", 5, false, &["."]),
        (
            "k8s_external a {\n fallthrough ip6.arpa inaddr.arpa foo.com\n}",
            &["a."],
            "dns",
            5,
            false,
            &["ip6.arpa.", "inaddr.arpa.", "foo.com."],
        ),
        ("k8s_external a {\n ttl 0\n}\nk8s_external b {\n headless\n}", &["b."], "dns", 0, true, &[]),
    ];
    for (text, zones, apex, ttl, headless, fallthrough) in table {
        let read = external(text).unwrap();
        assert_eq!((&read.zones, &read.fallthrough), (&owned(zones), &owned(fallthrough)), "{text}");
        assert_eq!((read.apex.as_str(), read.ttl, read.headless), (*apex, *ttl, *headless), "{text}");
    }
    let table = [
        ("k8s_external {\n ttl\n}", "option 'ttl' lacks its value; accepted: ttl SECONDS"),
        ("k8s_external {\n ttl x\n}", "option 'ttl': 'x': it is not a number"),
        ("k8s_external {\n ttl -1\n}", "option 'ttl': -1 is out of range; accepted: 0 to 3600 seconds"),
        ("k8s_external {\n ttl 3601\n}", "option 'ttl': 3601 is out of range"),
        ("k8s_external {\n apex\n}", "option 'apex' lacks its value"),
        ("k8s_external {\n headless please\n}", "unknown option 'please'"),
        ("k8s_external {\n zone\n}", "unknown option 'zone'; accepted: apex, fallthrough, headless, ttl"),
    ];
    for (text, expected) in table {
        let message = message(external(text));
        assert!(message.contains(expected), "{message}");
    }
    let alone = message(read_directive("k8s_external example.org"));
    assert_eq!(
        alone,
        "Corefile:2: directive 'k8s_external': kubernetes plugin not loaded; add the directive 'kubernetes' to this server block"
    );
}

/// `plugin/transfer/setup_test.go`, and refusals that it lacks.
#[test]
fn transfer_cases() {
    let transfer = |text: &str| read_directive(text).map(|server| server.transfer);
    let address = |text: &str| TransferClient::Address(text.parse().unwrap());
    let read = transfer(
        "transfer example.net example.org {\n to 1.2.3.4 5.6.7.8:1053 [1::2]:34 [fe80::1%eth0]:53 1::3\n source 2001:db8::53\n}
        transfer example.com example.edu {\n to * 1.2.3.4\n to 1.2.3.5:port\n}
        transfer {\n to ::ffff:1.2.3.4\n}",
    );
    let read = read.unwrap();
    let zones: Vec<_> = read.iter().map(|rule| rule.zones.join(" ")).collect();
    assert_eq!(zones, ["example.net. example.org.", "example.com. example.edu.", "example.org."]);
    let first: Vec<_> = ["1.2.3.4", "5.6.7.8", "1::2", "fe80::1", "1::3"].into_iter().map(address).collect();
    assert_eq!(read[0].to, first);
    assert_eq!(read[0].source, Some("2001:db8::53".parse().unwrap()));
    assert_eq!(read[1].to, [TransferClient::Any, address("1.2.3.4"), address("1.2.3.5")]);
    assert_eq!((&read[2].to[..], read[2].source), (&[address("1.2.3.4")][..], None));
    let table = [
        ("transfer", "'to' is required"),
        ("transfer example.net example.org {\n}", "'to' is required"),
        ("transfer example.net {\n invalid option\n}", "unknown option 'invalid'; accepted: source, to"),
        ("transfer {\n to\n}", "option 'to' lacks its value"),
        ("transfer {\n to example.com 1.2.3.4\n}", "option 'to': 'example.com' is not an IP address"),
        ("transfer {\n to [1::2]\n}", "option 'to': '[1::2]' is not an IP address"),
        ("transfer {\n to 1.2.3.0/24\n}", "'1.2.3.0/24' is not an IP address"),
        ("transfer {\n to 1.2.3.4\n source\n}", "option 'source' lacks its value"),
        ("transfer {\n to 1.2.3.4\n source ::1 ::2\n}", "option 'source' has 2 values"),
        ("transfer {\n to 1.2.3.4\n source example.org\n}", "option 'source': 'example.org' is not an IP address"),
        ("transfer {\n to 1.2.3.4\n source 192.0.2.53\n source ::1\n}", "option 'source': it is given already"),
    ];
    for (text, expected) in table {
        let message = message(transfer(text));
        assert!(message.contains(expected), "{message}");
    }
}

/// `plugin/autopath/setup_test.go`, and refusals that it lacks.
#[test]
fn autopath_cases() {
    type Row<'a> = (&'a str, &'a [&'a str], Option<&'a str>, &'a [&'a str]);
    let autopath = |text: &str| read_directive(text).map(|server| server.autopath.unwrap());
    let file = std::env::temp_dir().join(format!("rustk8s-autopath-{}", std::process::id()));
    std::fs::write(&file, "nameserver 1.2.3.4\ndomain foo.com\nsearch bar.com baz.com\noptions ndots:5\n").unwrap();
    let file_text = file.display().to_string();
    let by_file = format!("autopath {file_text}");
    let both = format!("autopath a {file_text}\nautopath b @kubernetes");
    let table: &[Row<'_>] = &[
        ("autopath @kubernetes", &["example.org."], Some("kubernetes"), &[]),
        ("autopath Example.net @kubernetes", &["example.net."], Some("kubernetes"), &[]),
        ("autopath 10.0.0.0/8 a @rustk8s", &["10.in-addr.arpa.", "a."], Some("rustk8s"), &[]),
        ("autopath @nobody", &["example.org."], Some("nobody"), &[]),
        ("kubernetes\nautopath @kubernetes", &["example.org."], Some("kubernetes"), &[]),
        (&by_file, &["example.org."], None, &["bar.com.", "baz.com."]),
        (&both, &["b."], Some("kubernetes"), &["bar.com.", "baz.com."]),
    ];
    for (text, zones, plugin, search) in table {
        let read = autopath(text).unwrap();
        assert_eq!((&read.zones, &read.search), (&owned(zones), &owned(search)), "{text}");
        assert_eq!(read.plugin.as_deref(), *plugin, "{text}");
    }
    std::fs::remove_file(file).unwrap();
    let table = [
        ("autopath", "no resolv-conf specified; accepted: autopath [ZONES...] @kubernetes"),
        ("autopath kubernetes", "failed to read 'kubernetes': "),
        ("autopath \"\"", "failed to read ''"),
        ("log\nautopath @log", "log does not implement the AutoPather interface; accepted: @kubernetes"),
        ("autopath @autopath", "autopath does not implement the AutoPather interface"),
    ];
    for (text, expected) in table {
        let message = message(autopath(text));
        assert!(message.contains(expected), "{message}");
    }
}

/// `plugin/metadata/setup_test.go`.
#[test]
fn metadata_cases() {
    let metadata = |text: &str| read_directive(text).map(|server| server.metadata.unwrap().zones);
    assert_eq!(metadata("metadata").unwrap(), ["example.org."]);
    assert_eq!(metadata("metadata Example.com.").unwrap(), ["example.com."]);
    assert_eq!(metadata("metadata example.com. net.").unwrap(), ["example.com.", "net."]);
    let table = [
        ("metadata example.com. {\n some_param\n}", "it has no options; accepted: metadata [ZONES...]"),
        ("metadata example.com. { some_param }", "it has no options"),
        ("metadata\nmetadata", "it can be used only once"),
    ];
    for (text, expected) in table {
        let message = message(metadata(text));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn overlapping_blocks_are_refused() {
    let good = [
        ". {\n}\nexample.org {\n}",
        ".:53 {\n}\n.:54 {\n}",
        ". {\n bind 127.0.0.1\n}\n. {\n bind 127.0.0.2\n}",
        ". {\n bind 127.0.0.1\n}\nexample.org {\n}",
        ". {\n bind lo {\n except lo\n }\n}\n. {\n}",
    ];
    for text in good {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let bad = [
        (". {\n}\n. {\n}", "Corefile:3: cannot serve dns://.:53, which Corefile:1 serves already; give one"),
        ("a A. {\n}", "Corefile:1: cannot serve dns://a.:53, which Corefile:1 serves already"),
        ("10.0.0.0/8 {\n}\n10.in-addr.arpa {\n}", "Corefile:3: cannot serve dns://10.in-addr.arpa.:53, which"),
        (
            ". {\n}\n. {\n bind lo\n}",
            "Corefile:3: cannot serve dns://.:53 on 127.0.0.1, which overlaps with dns://.:53",
        ),
        (". {\n bind lo\n}\n. {\n}", "Corefile:4: cannot serve dns://.:53, which overlaps with dns://.:53 on ::1"),
        (". {\n bind lo\n}\n. {\n bind ::1\n}", "Corefile:4: cannot serve dns://.:53 on ::1, which Corefile:1 serves"),
    ];
    for (text, expected) in bad {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overlap);
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn overlaps_of_blocks_that_the_command_line_gives_one_port() {
    let read = |text: &str| {
        let settings = Settings { port: Some(1053), environment: &|_| None };
        Config::from_corefile(&Corefile::parse("Corefile", text.as_bytes(), &settings)?, &interfaces)
    };
    for text in [".:53 {\n}\nexample.org:54 {\n}", ".:53 {\n bind 127.0.0.1\n}\n.:54 {\n bind 127.0.0.2\n}"] {
        let ports: Vec<_> = read(text).unwrap().servers.iter().map(|server| server.keys[0].port).collect();
        assert_eq!(ports, [1053, 1053], "{text}");
    }
    for text in [".:53 {\n}\n\n.:54 {\n}", "a:53 {\n}\n\n.:54 a:54 {\n}", ".:53 .:54 {\n}"] {
        let error = read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overlap);
        let line = if text.starts_with(".:53 .") { 1 } else { 4 };
        assert!(error.to_string().starts_with(&format!("Corefile:{line}: cannot serve dns://")), "{text}: {error}");
        assert!(error.to_string().contains(":1053, which Corefile:1 serves already; -dns.port 1053 gives"), "{error}");
    }
}

#[test]
fn what_is_not_supported_differs_from_what_is_unknown() {
    let error = read(". {\n errors\n dnssec\n}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedDirective);
    assert!(
        error.to_string().starts_with(
            "Corefile:3: directive 'dnssec': this is a plugin of CoreDNS that this server does not have yet; remove it, or keep CoreDNS for this server block; supported are: autopath, bind, errors, "
        ),
        "{error}"
    );
    assert_eq!(read(". {\n dnssecc\n}").unwrap_err().kind(), ErrorKind::UnknownDirective);
    assert!(message(read("")).starts_with("Corefile:1: no server block"));
}

#[test]
fn transports_that_are_not_served_are_refused() {
    for scheme in ["tls", "https", "https3", "grpc", "quic"] {
        let message = message(read(&format!(". {{\n}}\n{scheme}://example.org {{\n}}")));
        assert!(message.starts_with(&format!("Corefile:3: {scheme}://example.org.:")), "{message}");
        assert!(
            message.contains("is not served yet; remove it, or keep CoreDNS for it; served are: dns://"),
            "{message}"
        );
    }
}

/// The table of plugins says of each directive what `ServerConfig::read` does with it.
#[test]
fn the_table_of_plugins_is_true() {
    for plugin in plugin_order::PLUGINS {
        let refused = read(&format!(". {{\n {}\n}}", plugin.name))
            .is_err_and(|error| error.kind() == ErrorKind::UnsupportedDirective);
        assert_eq!(refused, !plugin.supported, "{}", plugin.name);
    }
}

/// Options in any order, with odd arguments.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "bind",
        "ready",
        "health",
        "errors",
        "log",
        "kubernetes",
        "rustk8s",
        "{\n",
        "\n}\n",
        "\n",
        "\n",
        "{",
        "}",
        "pods",
        "verified",
        "ttl",
        "5",
        "labels",
        "a=b",
        "fallthrough",
        "ignore",
        "endpoint",
        "http://a",
        "consolidate",
        "1m",
        ".*",
        "class",
        "all",
        "except",
        "lo",
        "127.0.0.1",
        ":8080",
        "lameduck",
        "1s",
        "monitor",
        "continuously",
        "zonal",
        "multicluster",
        "cluster.local",
        "apiserver_qps",
        "namespaces",
        "tls",
        "kubeconfig",
        "objects",
        "\"\"",
        "{common}",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_options_end(text in soup()) {
        let settings = Settings { port: None, environment: &|_| None };
        let text = format!("a.example.org {{\n{text}\n}}");
        if let Ok(corefile) = Corefile::parse("/nonexistent/Corefile", text.as_bytes(), &settings)
            && let Ok(config) = Config::from_corefile(&corefile, &interfaces) {
            for server in &config.servers {
                prop_assert!(!server.keys.is_empty());
                if let Some(kubernetes) = &server.kubernetes {
                    prop_assert!(kubernetes.ttl <= 3600);
                    prop_assert!(kubernetes.zones.len() > kubernetes.primary_zone);
                    prop_assert!(kubernetes.startup_timeout > Duration::ZERO);
                }
            }
        }
    }
}
