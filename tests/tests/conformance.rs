//! The quick form of the conformance suite: one seed, every option set.
//!
//! `cargo run --release -p rustk8s-tests --bin conformance -- --seeds A-B` runs more.

use std::process::{Command, Output};

fn conformance(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("the conformance program does not start: {error}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The suite itself: a CoreDNS answers as a CoreDNS does, on option sets of every kind.
#[test]
fn the_reference_agrees_with_itself() {
    let sets = "plain,verified,multicluster-all,forward,autopath,external";
    let output = conformance(&["--server", "coredns", "--sets", sets, "--questions", "1500"]);
    assert!(output.status.success(), "{}", text(&output));
}

/// The suite itself: it notices a server with one other option.
#[test]
fn another_ttl_is_noticed() {
    let output = conformance(&[
        "--server",
        "coredns",
        "--option",
        "ttl 77",
        "--sets",
        "plain",
        "--questions",
        "200",
        "--no-shrink",
    ]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("answer has others"), "{text}");
}

/// The server answers as CoreDNS does: every option set that it takes, on one cluster each. The table's last line, and the
/// sets that need directives which it has not, are printed (`--nocapture`).
#[test]
fn rustk8s_answers_as_coredns() {
    let output = conformance(&["--server", "host", "--questions", "2500"]);
    let text = text(&output);
    for line in text.lines().filter(|line| line.starts_with("skipped:") || line.starts_with("conformance:")) {
        println!("{line}");
    }
    assert!(output.status.success(), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("conformance:") && line.contains(" 0 differ, 0 sets failed")),
        "{text}"
    );
}
