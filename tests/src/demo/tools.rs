//! The programs that the tests use as clients.

use std::process::{Command, Output};

/// Runs a command to its end and returns what it printed, whatever its exit status.
///
/// # Panics
/// When the program is not on this machine: says which Debian package brings it.
pub fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => {
            let program = command.get_program().to_string_lossy().into_owned();
            panic!("cannot run {program}: {error}. {}", hint(&program));
        }
    }
}

/// Runs a command that must succeed and returns its standard output.
///
/// # Panics
/// When the program is missing or fails.
pub fn output_of(command: &mut Command) -> String {
    let output = run(command);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

fn hint(program: &str) -> String {
    let package = match program {
        "dig" | "nslookup" => "bind9-dnsutils",
        "unshare" | "mount" | "kill" => "util-linux, mount and procps",
        "getent" | "getconf" => "libc-bin",
        "ip" => "iproute2",
        "cc" => "gcc and libc6-dev",
        _ => return "The tests of the demo need it.".to_owned(),
    };
    format!("Install {package} (Debian's name), or run .ci/run, which does.")
}
