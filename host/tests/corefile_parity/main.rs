//! The Corefiles that CoreDNS accepts are accepted here, and those that it refuses are refused here.
//!
//! The table is in `cases.rs`. The first test holds this server to it. The second runs the same Corefiles through a real
//! CoreDNS v1.15.0 and holds the table to what that does:
//!
//! ```text
//! COREDNS=PATH cargo test -p rustk8s-host --test corefile_parity -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used)]

mod cases;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use rustk8s_host::corefile::{Corefile, Settings};
use rustk8s_host::directives::{BindAddress, Config};

use cases::{CASES, Case, ENVIRONMENT, Verdict};

/// Writes the files of a case into a folder of its own.
fn write(case: &Case, test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corefile_parity").join(test).join(case.name);
    for (name, text) in case.files.iter().chain(&[("Corefile", case.corefile)]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn interfaces(name: &str) -> Option<Vec<BindAddress>> {
    let address = |ip: &str| BindAddress { ip: ip.parse().unwrap(), scope: None };
    (name == "lo").then(|| vec![address("127.0.0.1"), address("::1")])
}

#[test]
fn this_server_decides_as_the_table_says() {
    let environment =
        |name: &str| ENVIRONMENT.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let mut wrong = Vec::new();
    for case in CASES {
        let path = write(case, "ours").join("Corefile");
        let settings = Settings { port: None, environment: &environment };
        let result =
            Corefile::read(&path, &settings).and_then(|corefile| Config::from_corefile(&corefile, &interfaces));
        let result = result.map_err(|error| error.to_string());
        let fits = match (&case.verdict, &result) {
            (Verdict::Accepted | Verdict::OnlyHere(_), Ok(_)) => true,
            (Verdict::Refused(message) | Verdict::OnlyCoreDns(message, _), Err(error)) => error.contains(message),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{}: {:?}, not {:?}", case.name, result.err(), case.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
}

#[test]
#[ignore = "needs a CoreDNS v1.15.0, whose path is in the environment variable COREDNS"]
fn coredns_decides_as_the_table_says() {
    let coredns = std::env::var_os("COREDNS").expect("COREDNS is the path of a CoreDNS v1.15.0");
    let mut wrong = Vec::new();
    for case in CASES {
        let result = reference::start(Path::new(&coredns), &write(case, "coredns"), ENVIRONMENT);
        println!("{:<40} {}", case.name, result.as_ref().err().map_or("accepted", String::as_str));
        let accepted = matches!(case.verdict, Verdict::Accepted | Verdict::OnlyCoreDns(..));
        if result.is_ok() != accepted {
            wrong.push(format!("{}: {:?}, not {:?}", case.name, result.err(), case.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
