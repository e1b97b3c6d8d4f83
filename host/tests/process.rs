//! The program itself: what it prints, and how it ends.
#![allow(clippy::unwrap_used)]

mod common;

use common::{answers, query, udp};
use hickory_proto::rr::RecordType;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn rustk8s() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rustk8s"));
    // No Corefile is there.
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

/// Runs to the end, which must be one line on standard error.
fn failure(arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = rustk8s().args(arguments).output().unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "");
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    (status.code().unwrap(), stderr.trim_end().to_owned())
}

/// A file for one test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts the program; returns with it what it has printed up to a line that has `until`.
    fn start(arguments: &[&str], until: &str) -> (Self, String) {
        let mut child = rustk8s().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let running = Self(child);
        let mut text = String::new();
        while !text.lines().next_back().is_some_and(|line| line.contains(until)) {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
        }
        (running, text)
    }

    fn terminate(mut self) -> i32 {
        let status = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(status.success());
        self.0.wait().unwrap().code().unwrap()
    }
}

#[test]
fn mistakes_end_it_with_one_line_and_code_2() {
    let broken = file("broken.yaml", "apiVersion: v1\n---\nkind: [\n");
    let broken = broken.to_str().unwrap();
    let unknown = file("unknown.corefile", ".:0 {\n    bind 127.0.0.1\n    nonsense\n}\n");
    let unknown = unknown.to_str().unwrap();
    let two = file("two.corefile", ".:53 {\n}\n.:54 {\n}\n");
    let two = two.to_str().unwrap();
    let malformed = file(
        "malformed.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: dev}\nspec: {ports: [{port: web}]}\n",
    );
    let malformed = malformed.to_str().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["-nonsense"], "rustk8s: unknown flag -nonsense"),
        (&["-conf", "no/such/file"], "rustk8s: no/such/file"),
        (&["-conf", unknown], &format!("rustk8s: {unknown}:3: directive 'nonsense'")),
        (&["-conf", two, "-dns.port", "0"], &format!("rustk8s: {two}:3: cannot serve dns://.:0, which {two}:1 serves")),
        (&["--objects", "no/such.yaml"], "rustk8s: manifest no/such.yaml: "),
        (
            &["--objects", malformed],
            &format!("rustk8s: manifest {malformed}, document 1, Service dev/bad: spec.ports[0].port: "),
        ),
        (&["--objects", broken], &format!("rustk8s: manifest {broken}, document 2, line ")),
    ];
    for (arguments, expected) in cases {
        let (code, text) = failure(arguments);
        assert!(text.starts_with(expected), "{arguments:?}: {text}");
        assert_eq!(code, 2, "{text}");
    }
}

#[test]
fn the_demo_answers_and_says_what_to_try() {
    let (running, text) = Running::start(&["-dns.port", "0"], "Stop with Ctrl-C");
    let tries = text.lines().filter(|line| line.trim_start().starts_with("dig @127.0.0.1 -p ")).count();
    assert_eq!(tries, 3, "{text}");
    let listening = text.lines().find_map(|line| line.strip_prefix("Listening on ")).unwrap();
    let address: SocketAddr = listening.split([' ', ',']).next().unwrap().parse().unwrap();
    for (qname, expected) in [
        ("ent.dev.svc.cluster.local.", "10.98.204.110"),
        ("ent.prod.svc.cluster.local.", "10.97.77.237"),
        ("kubernetes.default.svc.cluster.local.", "10.96.0.1"),
        ("kube-dns.kube-system.svc.cluster.local.", "10.96.0.10"),
    ] {
        assert_eq!(answers(&udp(address, &query(qname, RecordType::A))), [expected]);
    }
    // The same port again.
    let port = address.port().to_string();
    let (code, text) = failure(&["-dns.port", &port]);
    assert!(
        text.contains(&format!("UDP 127.0.0.1:{port} is in use by another process; choose another port")),
        "{text}"
    );
    assert_eq!(code, 2);
    assert_eq!(running.terminate(), 0);
}

#[test]
fn dns_port_takes_the_place_of_the_ports_of_a_corefile() {
    let corefile = file("ports.corefile", ".:53 {\n bind 127.0.0.1\n}\nexample.org:53 {\n bind 127.0.0.1\n}\n");
    let (running, text) = Running::start(&["-conf", corefile.to_str().unwrap(), "-dns.port=0"], "rustk8s-");
    let listening: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("listening on ")).collect();
    let [address] = &listening[..] else { panic!("{text}") };
    let address: SocketAddr = address.parse().unwrap();
    assert!(address.port() > 1023, "{text}");
    assert_eq!(udp(address, &query("example.org.", RecordType::A)).metadata.id, 4711);
    assert_eq!(running.terminate(), 0);
}

#[test]
fn manifests_are_served_without_a_corefile() {
    let good = file(
        "objects.json",
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"dev"}},
            {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"other","namespace":"dev"}},
            {"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"dev"},"spec":{"clusterIP":"10.0.0.7","ports":[{"port":80}]}}]}"#,
    );
    let (running, text) = Running::start(&["-p=0", "--objects", good.to_str().unwrap()], "rustk8s-");
    assert!(text.contains("objects read from manifests: 2; of kinds that make no names: 1 ('Deployment')"), "{text}");
    let address = text.lines().find_map(|line| line.strip_prefix("listening on ")).unwrap().parse().unwrap();
    assert_eq!(answers(&udp(address, &query("a.dev.svc.cluster.local.", RecordType::A))), ["10.0.0.7"]);
    assert_eq!(running.terminate(), 0);
}

#[test]
fn help_and_version() {
    for (flag, expected) in [("-help", "usage: rustk8s"), ("--version", "rustk8s ")] {
        let output = rustk8s().arg(flag).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(expected));
    }
}
