//! The `rustk8s` program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The environment variable that names another binary to test, for example an installed one.
pub const OVERRIDE: &str = "RUSTK8S_BIN";

/// The path of `rustk8s`: the one that [`OVERRIDE`] names, else the one that Cargo builds now, in the profile of the
/// running test. Building it here makes `cargo test -p rustk8s-tests` test the sources as they are.
///
/// # Panics
/// When Cargo cannot build it.
pub fn rustk8s() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os(OVERRIDE) {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--package", "rustk8s-host", "--bin", "rustk8s", "--message-format", "json-render-diagnostics"])
        .args(["--profile", &profile(), "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .stderr(Stdio::inherit());
    let output = command.output().unwrap_or_else(|error| panic!("cannot run cargo ({command:?}): {error}"));
    assert!(output.status.success(), "cargo could not build rustk8s: {}", output.status);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "rustk8s")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo built rustk8s but named no executable")
}

/// The Cargo profile of the running test, from the directory that Cargo put it in: `target/PROFILE/deps/NAME`.
fn profile() -> String {
    let exe = std::env::current_exe().expect("a running test has a path");
    let directory = exe.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
    match directory {
        Some("debug") | None => "dev".to_owned(),
        Some(name) => name.to_owned(),
    }
}
