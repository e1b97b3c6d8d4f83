//! The demo end to end: the built `rustk8s` on the embedded demo and on `corefile-examples/demo/Corefile`, asked by the
//! clients that people have: `dig`, `nslookup`, and the resolver of the C library.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use rustk8s_tests::demo::dig::{Reply, dig};
use rustk8s_tests::demo::directory::{TestDirectory, demo, demo_port};
use rustk8s_tests::demo::ports::{self, LOCALHOST, loopback};
use rustk8s_tests::demo::server::{Ended, Server, run_to_end};
use rustk8s_tests::demo::{binary, tools};

const DEV_ENT: &str = "10.98.204.110";
const PROD_ENT: &str = "10.97.77.237";

/// A look-up as a person types it, and the one record that answers it.
struct LookUp {
    ask: &'static [&'static str],
    owner: &'static str,
    ttl: u32,
    rtype: &'static str,
    data: &'static str,
    /// Owner and address in the additional section.
    additional: Option<(&'static str, &'static str)>,
}

const LOOK_UPS: [LookUp; 7] = [
    LookUp {
        ask: &["ent.dev.svc.cluster.local"],
        owner: "ent.dev.svc.cluster.local.",
        ttl: 5,
        rtype: "A",
        data: DEV_ENT,
        additional: None,
    },
    LookUp {
        ask: &["ent.prod.svc.cluster.local"],
        owner: "ent.prod.svc.cluster.local.",
        ttl: 5,
        rtype: "A",
        data: PROD_ENT,
        additional: None,
    },
    LookUp {
        ask: &["kubernetes.default.svc.cluster.local"],
        owner: "kubernetes.default.svc.cluster.local.",
        ttl: 5,
        rtype: "A",
        data: "10.96.0.1",
        additional: None,
    },
    LookUp {
        ask: &["kube-dns.kube-system.svc.cluster.local"],
        owner: "kube-dns.kube-system.svc.cluster.local.",
        ttl: 5,
        rtype: "A",
        data: "10.96.0.10",
        additional: None,
    },
    LookUp {
        ask: &["_dns._udp.kube-dns.kube-system.svc.cluster.local", "SRV"],
        owner: "_dns._udp.kube-dns.kube-system.svc.cluster.local.",
        ttl: 5,
        rtype: "SRV",
        data: "0 100 53 kube-dns.kube-system.svc.cluster.local.",
        additional: Some(("kube-dns.kube-system.svc.cluster.local.", "10.96.0.10")),
    },
    LookUp {
        ask: &["-x", "10.96.0.10"],
        owner: "10.0.96.10.in-addr.arpa.",
        ttl: 5,
        rtype: "PTR",
        data: "kube-dns.kube-system.svc.cluster.local.",
        additional: None,
    },
    LookUp {
        ask: &["dns-version.cluster.local", "TXT"],
        owner: "dns-version.cluster.local.",
        ttl: 28800,
        rtype: "TXT",
        data: "\"1.1.0\"",
        additional: None,
    },
];

fn directory(name: &str) -> TestDirectory {
    TestDirectory::new(env!("CARGO_TARGET_TMPDIR"), name)
}

/// A server on the Corefile and the manifests of this directory, on a port that is not the Corefile's.
fn serve(directory: &TestDirectory) -> Server {
    Server::start(directory.path(), &["-conf", &directory.corefile()])
}

/// Asks over one transport, with or without EDNS.
fn ask(server: IpAddr, port: u16, tcp: bool, edns: bool, question: &[&str]) -> Reply {
    let mut args = vec![if tcp { "+tcp" } else { "+notcp" }, if edns { "+edns=0" } else { "+noedns" }];
    args.extend_from_slice(question);
    let reply = dig(server, port, &args);
    assert_eq!(reply.transport, if tcp { "TCP" } else { "UDP" }, "{}", reply.text);
    assert_eq!(reply.edns, edns, "OPT is answered with OPT, and only then:\n{}", reply.text);
    reply
}

fn check_look_up(server: IpAddr, port: u16, tcp: bool, edns: bool, look_up: &LookUp) {
    let reply = ask(server, port, tcp, edns, look_up.ask);
    let text = &reply.text;
    assert_eq!(reply.status, "NOERROR", "{text}");
    assert_eq!(reply.flags, ["qr", "aa", "rd"], "{text}");
    let [record] = &reply.answer[..] else { panic!("not exactly one answer:\n{text}") };
    assert_eq!(
        (record.owner.as_str(), record.ttl, record.rtype.as_str(), record.data.as_str()),
        (look_up.owner, look_up.ttl, look_up.rtype, look_up.data),
        "{text}"
    );
    assert!(reply.authority.is_empty(), "{text}");
    let additional: Vec<_> = reply
        .additional
        .iter()
        .map(|record| (record.owner.as_str(), record.ttl, record.rtype.as_str(), record.data.as_str()))
        .collect();
    let expected: Vec<_> =
        look_up.additional.iter().map(|&(owner, address)| (owner, look_up.ttl, "A", address)).collect();
    assert_eq!(additional, expected, "{text}");
}

/// Every look-up of the demo over UDP and TCP, IPv4 and IPv6, with and without EDNS; then what does not exist.
fn check_demo(port: u16) {
    for &server in loopback() {
        for tcp in [false, true] {
            for edns in [true, false] {
                for look_up in &LOOK_UPS {
                    check_look_up(server, port, tcp, edns, look_up);
                }
                check_absent(server, port, tcp, edns, &["nothing.dev.svc.cluster.local"], "NXDOMAIN");
                check_absent(server, port, tcp, edns, &["ent.dev.svc.cluster.local", "AAAA"], "NOERROR");
            }
        }
    }
}

fn check_absent(server: IpAddr, port: u16, tcp: bool, edns: bool, question: &[&str], status: &str) {
    let reply = ask(server, port, tcp, edns, question);
    assert_eq!(reply.status, status, "{}", reply.text);
    assert!(reply.flags.iter().any(|flag| flag == "aa"), "{}", reply.text);
    assert!(reply.answer.is_empty(), "{}", reply.text);
    let [soa] = &reply.authority[..] else { panic!("not exactly one SOA:\n{}", reply.text) };
    assert_eq!((soa.owner.as_str(), soa.rtype.as_str()), ("cluster.local.", "SOA"), "{}", reply.text);
    let fields: Vec<_> = soa.data.split(' ').collect();
    let [mname, rname, _serial, rest @ ..] = &fields[..] else { panic!("not a SOA:\n{}", reply.text) };
    assert_eq!((*mname, *rname), ("ns.dns.cluster.local.", "hostmaster.cluster.local."), "{}", reply.text);
    assert_eq!(rest, ["7200", "1800", "86400", "5"], "{}", reply.text);
}

#[test]
fn the_embedded_demo_answers_dig() {
    let directory = directory("embedded");
    let server = Server::demo(directory.path());
    check_demo(server.port());
}

#[test]
fn the_corefile_of_the_demo_answers_dig() {
    let directory = directory("corefile");
    directory.copy_demo();
    let server = serve(&directory);
    check_demo(server.port());
}

#[test]
fn pods_and_endpoints_of_the_demo_have_names() {
    let directory = directory("pods");
    let server = Server::demo(directory.path());
    let answers = |question: &[&str]| {
        let reply = dig(LOCALHOST, server.port(), question);
        assert_eq!(reply.status, "NOERROR", "{}", reply.text);
        let mut data: Vec<_> = reply.data().into_iter().map(str::to_owned).collect();
        data.sort();
        data
    };
    // pods verified: the jump pod is in dev, and nowhere else.
    assert_eq!(answers(&["10-1-0-59.dev.pod.cluster.local"]), ["10.1.0.59"]);
    let elsewhere = dig(LOCALHOST, server.port(), &["10-1-0-59.prod.pod.cluster.local"]);
    assert_eq!(elsewhere.status, "NXDOMAIN", "{}", elsewhere.text);
    // The pods behind a ClusterIP Service have endpoint names, and addresses that lead back to them.
    assert_eq!(answers(&["10-1-0-57.ent.dev.svc.cluster.local"]), ["10.1.0.57"]);
    assert_eq!(answers(&["-x", "10.1.0.57"]), ["10-1-0-57.ent.dev.svc.cluster.local."]);
    assert_eq!(answers(&["-x", "10.1.0.55"]), ["10-1-0-55.kube-dns.kube-system.svc.cluster.local."]);
    assert_eq!(answers(&["-x", "10.1.0.56"]), ["10-1-0-56.kube-dns.kube-system.svc.cluster.local."]);
    // Every port of a Service at once: 53 by UDP, 53 by TCP, which is the same record, and 9153.
    assert_eq!(
        answers(&["kube-dns.kube-system.svc.cluster.local", "SRV"]),
        ["0 33 53 kube-dns.kube-system.svc.cluster.local.", "0 33 9153 kube-dns.kube-system.svc.cluster.local.",]
    );
}

#[test]
fn the_demo_says_where_it_listens_and_its_three_things_to_try_work() {
    let directory = directory("banner");
    let server = Server::demo(directory.path());
    let port = server.port();
    let printed = server.wait_for_output("three things to try", |text| dig_lines(text).count() >= 3);
    for &address in loopback() {
        let listener = SocketAddr::new(address, port).to_string();
        assert!(printed.contains(&listener), "{listener} is not in:\n{printed}");
    }
    for line in dig_lines(&printed) {
        assert!(line.contains(&format!("-p {port}")), "{line:?} asks another port than {port}");
        check_command_line(line);
    }
}

#[test]
fn what_readme_says_to_try_works() {
    let directory = directory("readme");
    let server = Server::demo(directory.path());
    let readme = include_str!("../../README.md");
    let default = format!("-p {} ", demo_port());
    let mut lines = 0;
    for line in dig_lines(readme) {
        assert!(line.contains(&default), "the demo listens on {}, but README says {line:?}", demo_port());
        check_command_line(&line.replace(&default, &format!("-p {} ", server.port())));
        lines += 1;
    }
    assert!(lines >= 3, "README has {lines} lines with dig to try, not three");
}

/// The lines of a text that are a `dig` command, without a comment behind it.
fn dig_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("dig @"))
        .map(|line| line.split('#').next().unwrap_or(line).trim_end())
}

/// Runs a line as a shell does: it must print an answer.
fn check_command_line(line: &str) {
    let printed = tools::output_of(Command::new("sh").args(["-c", line]));
    let answered = if line.contains("+short") {
        printed.lines().any(|line| !line.is_empty() && !line.starts_with(';'))
    } else {
        printed.contains("status: NOERROR") && printed.contains(";; ANSWER SECTION:")
    };
    assert!(answered, "{line:?} prints no answer:\n{printed}");
}

/// What the clients of the jump pod ask, by short name, and the address that its search path leads to.
const SEARCH: [(&str, &str); 5] = [
    // The first suffix of the path: its own namespace.
    ("ent", DEV_ENT),
    // The second: ent.prod.dev.svc.cluster.local does not exist.
    ("ent.prod", PROD_ENT),
    ("kubernetes.default", "10.96.0.1"),
    // The third.
    ("kube-dns.kube-system.svc", "10.96.0.10"),
    // No suffix at all: four dots are fewer than five, so every suffix was tried before.
    ("ent.prod.svc.cluster.local", PROD_ENT),
];

/// `/etc/resolv.conf` of the jump pod, but for the server's address.
const RESOLV_CONF: &str = "\
nameserver 127.0.0.1
search dev.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 timeout:20 attempts:1
";

#[test]
fn getent_and_nslookup_walk_the_search_path_of_the_jump_pod() {
    if let Err(why) = namespaces() {
        // A real walk all the same: glibc with a port of its own, and nslookup a suffix at a time.
        println!("no namespaces here ({why}): the search path is walked on an unprivileged port instead");
        check_search_path_on_a_port();
        return;
    }
    assert!(
        tools::output_of(Command::new("getconf").arg("GNU_LIBC_VERSION")).starts_with("glibc "),
        "getent is not glibc's"
    );
    let directory = directory("namespace");
    directory.copy_demo();
    directory.write("resolv.conf", RESOLV_CONF);
    directory.write("nsswitch.conf", "hosts: dns\n");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/search_path_in_namespace.sh");
    let names = SEARCH.iter().map(|&(name, _)| name).chain(["nothing"]);
    let questions: Vec<_> = names.map(|name| format!("getent {name}\nnslookup {name}\n")).collect();
    let input = directory.write("questions", &questions.concat());
    let printed = tools::output_of(
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--net"])
            .arg(script)
            .arg(binary::rustk8s())
            .arg(directory.corefile())
            .arg(directory.path())
            .stdin(Stdio::from(std::fs::File::open(input).unwrap())),
    );
    for (name, address) in SEARCH {
        let (text, status) = section(&printed, "getent", name);
        assert_eq!(status, 0, "{printed}");
        let mut found: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        found.dedup();
        assert_eq!(found, [address], "{printed}");

        let (text, status) = section(&printed, "nslookup", name);
        assert_eq!(status, 0, "{printed}");
        assert_eq!(nslookup_addresses(text), [address], "{printed}");
    }
    for program in ["getent", "nslookup"] {
        let (text, status) = section(&printed, program, "nothing");
        assert_ne!(status, 0, "{program} found what does not exist: {text}");
    }
}

#[test]
fn glibc_and_nslookup_find_short_names_on_an_unprivileged_port() {
    check_search_path_on_a_port();
}

fn check_search_path_on_a_port() {
    let directory = directory("search");
    directory.copy_demo();
    let server = serve(&directory);
    let program = directory.join("glibc_lookup");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/glibc_lookup.c");
    tools::output_of(
        Command::new("cc")
            .args(["-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"])
            .args([&program, &source]),
    );
    let look_up = |name: &str| {
        tools::run(
            Command::new(&program)
                .arg(server.port().to_string())
                .arg(name)
                .env("LOCALDOMAIN", "dev.svc.cluster.local svc.cluster.local cluster.local")
                .env("RES_OPTIONS", "ndots:5 timeout:20 attempts:1"),
        )
    };
    for (name, address) in SEARCH {
        let output = look_up(name);
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(found.lines().collect::<Vec<_>>(), [address], "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let nothing = look_up("nothing");
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");

    // nslookup takes one suffix on its command line.
    for (suffix, name, address) in
        [("dev.svc.cluster.local", "ent", DEV_ENT), ("svc.cluster.local", "ent.prod", PROD_ENT)]
    {
        let text = tools::output_of(
            Command::new("nslookup").arg(format!("-port={}", server.port())).arg(format!("-domain={suffix}")).args([
                "-ndots=5",
                name,
                "127.0.0.1",
            ]),
        );
        assert_eq!(nslookup_addresses(&text), [address], "{text}");
    }
}

/// Why this machine does not let its users have namespaces of their own, if it does not.
fn namespaces() -> Result<(), String> {
    // What the script does first, and what fails without the right: a loopback and a mount of our own.
    let output = tools::run(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "--net"]).args([
        "sh",
        "-c",
        "ip link set lo up && mount --bind /etc/hosts /etc/resolv.conf",
    ]));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// What the script printed for one look-up, and the status of the program.
fn section<'a>(printed: &'a str, program: &str, name: &str) -> (&'a str, i32) {
    let (_, rest) = printed
        .split_once(&format!("== {program} {name}\n"))
        .unwrap_or_else(|| panic!("the script did not look {name} up with {program}:\n{printed}"));
    let (text, rest) = rest.split_once("-- ").unwrap_or_else(|| panic!("{program} {name} did not end:\n{printed}"));
    (text, rest.lines().next().unwrap().parse().unwrap())
}

/// The addresses that nslookup found: those below the blank line that ends the server's own address.
fn nslookup_addresses(text: &str) -> Vec<&str> {
    let answers = text.split_once("\n\n").map_or("", |(_, answers)| answers);
    answers.lines().filter_map(|line| line.strip_prefix("Address: ")).collect()
}

#[test]
fn without_ipv6_the_demo_serves_ipv4_and_says_so() {
    if let Err(why) = namespaces() {
        println!("not tested: no namespaces here ({why})");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo_without_ipv6.sh");
    let corefile = demo().join("Corefile").to_str().unwrap().to_owned();
    let directory = directory("without-ipv6");
    for arguments in [&[][..], &["-conf", &corefile]] {
        let printed = tools::output_of(
            Command::new("unshare")
                .args(["--user", "--map-root-user", "--net"])
                .args([&script, binary::rustk8s()])
                .args(arguments)
                .current_dir(directory.path())
                .stdin(Stdio::null()),
        );
        assert!(printed.contains("[WARNING]") && printed.contains("no IPv6 loopback address"), "{printed}");
        assert!(printed.contains("127.0.0.1") && !printed.contains("[::1]"), "{printed}");
        assert!(printed.ends_with(&format!("answer {DEV_ENT}\n")), "{printed}");
    }
}

#[test]
fn editing_a_manifest_changes_the_answer() {
    let directory = directory("edit");
    directory.copy_demo();
    let ask = || {
        let server = serve(&directory);
        let reply = dig(LOCALHOST, server.port(), &["ent.dev.svc.cluster.local"]);
        reply.data().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ask(), [DEV_ENT]);
    directory.edit("dev.yaml", DEV_ENT, "10.98.204.111");
    assert_eq!(ask(), ["10.98.204.111"]);
}

#[test]
fn objects_on_the_command_line_need_no_corefile() {
    let directory = directory("objects");
    let file = |name: &str| demo().join(name).to_str().unwrap().to_owned();
    let server = Server::start(directory.path(), &["--objects", &file("namespaces.yaml"), &file("prod.yaml")]);
    let prod = dig(LOCALHOST, server.port(), &["ent.prod.svc.cluster.local"]);
    assert_eq!(prod.data(), [PROD_ENT], "{}", prod.text);
    // dev.yaml was not given: its namespace is there, its Service is not.
    let dev = dig(LOCALHOST, server.port(), &["ent.dev.svc.cluster.local"]);
    assert_eq!(dev.status, "NXDOMAIN", "{}", dev.text);
}

#[test]
fn sigterm_stops_the_server_cleanly() {
    let directory = directory("sigterm");
    let server = Server::demo(directory.path());
    let port = server.port();
    let status = server.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    ports::hold(port).unwrap();
}

/// A start that must fail: exit code 2, nothing on standard output that says it serves, and one line that says all of
/// `words`.
fn check_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [line] = lines[..] else { panic!("not one line on standard error: {ended:?}") };
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    assert_eq!(ended.stdout, "", "a start that fails says nothing else");
}

#[test]
fn a_bad_flag_stops_the_start() {
    let directory = directory("flag");
    check_refused(&run_to_end(directory.path(), &["--nonsense"]), &["--nonsense"]);
    check_refused(&run_to_end(directory.path(), &["-dns.port", "70000"]), &["-dns.port", "70000"]);
    check_refused(&run_to_end(directory.path(), &["-conf"]), &["-conf"]);
    check_refused(&run_to_end(directory.path(), &["-conf", "no/such/Corefile"]), &["no/such/Corefile"]);
}

#[test]
fn a_bad_corefile_stops_the_start() {
    let directory = directory("corefile-bad");
    directory.copy_demo();
    let text = std::fs::read_to_string(directory.join("Corefile")).unwrap();
    let line = text.lines().position(|line| line == "    errors").unwrap() + 1;
    directory.edit("Corefile", "    errors\n", "    erors\n");
    let corefile = directory.corefile();
    check_refused(&run_to_end(directory.path(), &["-conf", &corefile]), &[&format!("{corefile}:{line}: "), "'erors'"]);
}

#[test]
fn a_bad_manifest_stops_the_start() {
    let directory = directory("manifest-bad");
    directory.copy_demo();
    let corefile = directory.corefile();
    let check = |words: &[&str]| check_refused(&run_to_end(directory.path(), &["-conf", &corefile]), words);

    // Not YAML: the file and the place.
    directory.edit("dev.yaml", "kind: List", "kind: [List");
    check(&["dev.yaml, document 1, line "]);
    directory.edit("dev.yaml", "kind: [List", "kind: List");

    // Not a Service: the file, the document, the object and the field.
    let port = |port: &str| format!("port: {port}\n      protocol: TCP\n      targetPort");
    directory.edit("dev.yaml", &port("8080"), &port("web"));
    check(&["dev.yaml, document 1, item ", ", Service dev/ent: spec.ports[0].port: "]);
    directory.edit("dev.yaml", &port("web"), &port("8080"));

    // An address that is none, and one that is changed in one place of two.
    directory.edit("dev.yaml", DEV_ENT, "10.98.204.310");
    check(&["dev.yaml, document 1, item ", ", Service dev/ent: spec.clusterIP", "10.98.204.310"]);
    directory.edit("dev.yaml", "10.98.204.310", DEV_ENT);
    directory.edit("dev.yaml", &format!("clusterIP: {DEV_ENT}"), "clusterIP: 10.98.204.111");
    check(&["dev.yaml, document 1, item ", ", Service dev/ent: spec.clusterIP: '10.98.204.111'", "change both"]);

    // Not there.
    std::fs::write(directory.join("Corefile"), ". {\n  kubernetes {\n    objects no.yaml\n  }\n}\n").unwrap();
    check(&["Corefile:3: ", "no.yaml"]);
}

#[test]
fn a_busy_port_says_which_and_how_to_choose_another() {
    let directory = directory("busy");
    let port = ports::free_port();
    let _busy = ports::hold(port).unwrap();
    let ended = run_to_end(directory.path(), &["-dns.port", &port.to_string()]);
    check_refused(&ended, &[&port.to_string(), "-dns.port"]);
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    // Its sockets could share the port with those of the first: each would then get some of the queries.
    let directory = directory("second");
    let first = Server::demo(directory.path());
    let port = first.port().to_string();
    check_refused(&run_to_end(directory.path(), &["-dns.port", &port]), &[&port, "-dns.port"]);
    check_demo(first.port());
}
