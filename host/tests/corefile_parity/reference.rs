//! Asks a real CoreDNS whether it accepts a Corefile. It has no option to only check one, so it is started, and stopped
//! as soon as it says that it listens, or that it waits for a cluster.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What CoreDNS says once it has accepted the Corefile: its version, or, for the directive `kubernetes`, that it waits.
const ACCEPTED: [&str; 3] = ["CoreDNS-", "waiting for Kubernetes API", "starting server with unsynced"];

/// The directive `kubernetes` was accepted, but these tests do not run in a cluster.
const NO_CLUSTER: &str = "unable to load in-cluster configuration";

/// CoreDNS's reaction to `folder/Corefile`: accepted, or the error that it ends with.
pub fn start(coredns: &Path, folder: &Path, environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new(coredns);
    command.args(["-conf", "Corefile", "-dns.port", "0"]).current_dir(folder);
    command.env_remove("KUBERNETES_SERVICE_HOST").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", coredns.display())));
    let (sender, lines) = channel();
    forward_lines(process.0.stdout.take().unwrap(), sender.clone());
    forward_lines(process.0.stderr.take().unwrap(), sender);
    wait_for_decision(&lines)
}

fn wait_for_decision(lines: &Receiver<String>) -> Result<(), String> {
    let mut seen = String::new();
    loop {
        match lines.recv_timeout(Duration::from_mins(1)) {
            Ok(line) if ACCEPTED.iter().any(|accepted| line.contains(accepted)) => return Ok(()),
            Ok(line) if line.contains(NO_CLUSTER) => return Ok(()),
            // What it says about processors.
            Ok(line) if line.starts_with("maxprocs: ") => {}
            Ok(line) => seen = if seen.is_empty() { line } else { format!("{seen} / {line}") },
            // Both outputs ended: it exited, with its error as the last words.
            Err(RecvTimeoutError::Disconnected) => return Err(seen),
            Err(RecvTimeoutError::Timeout) => panic!("CoreDNS neither starts nor ends; it says: {seen}"),
        }
    }
}

fn forward_lines(output: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}

/// Ends the process when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
