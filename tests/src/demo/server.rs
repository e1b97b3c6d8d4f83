//! A running `rustk8s`.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{binary, ports, tools};

/// Guard against a hang; no test asserts it. A debug build on a machine under load may be slow.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that comes soon.
const STEP: Duration = Duration::from_millis(20);

/// A server on a free port of the loopback addresses, stopped when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Server {
    /// Starts `rustk8s ARGS… -dns.port PORT`, and waits until it answers for `cluster.local`. What it prints goes to files in `directory`.
    ///
    /// # Panics
    /// When it stops by itself, or does not answer.
    pub fn start(directory: &Path, args: &[&str]) -> Server {
        // Another process may take the port between the look and the start: then another port.
        for _ in 0..5 {
            let port = ports::free_port();
            let mut server = Server::spawn(directory, port, args);
            match server.wait_until_it_answers() {
                Ok(()) => return server,
                Err(stopped) if ports::hold(port).is_err() => eprintln!("again on another port: {stopped}"),
                Err(stopped) => panic!("{stopped}"),
            }
        }
        panic!("five free ports in a row were taken before rustk8s could bind them");
    }

    /// The embedded demo: `rustk8s -dns.port PORT`.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn demo(directory: &Path) -> Server {
        Server::start(directory, &[])
    }

    fn spawn(directory: &Path, port: u16, args: &[&str]) -> Server {
        let stdout = directory.join(format!("{port}.stdout"));
        let stderr = directory.join(format!("{port}.stderr"));
        let file = |path: &Path| File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let child = Command::new(binary::rustk8s())
            .args(args)
            .args(["-dns.port", &port.to_string()])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary::rustk8s().display()));
        Server { child, port, stdout, stderr }
    }

    /// The port of all its listeners.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    /// Waits until what it printed fulfils a condition; output may come after the answer that it tells of.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait_for_output(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let printed = self.printed();
            if condition(&printed) {
                return printed;
            }
            assert!(start.elapsed() < PATIENCE, "rustk8s did not print {what}; it printed:\n{printed}");
            thread::sleep(STEP);
        }
    }

    /// Sends SIGTERM, as Kubernetes does, and waits for the end.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn terminate(mut self) -> ExitStatus {
        tools::output_of(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        wait(&mut self.child)
            .unwrap_or_else(|| panic!("rustk8s goes on after SIGTERM; it printed:\n{}", self.printed()))
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !answers(self.port) {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Err(format!("rustk8s stopped ({status}); it printed:\n{}", self.printed()));
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("rustk8s does not answer; it printed:\n{}", self.printed()));
            }
            thread::sleep(STEP);
        }
        // Somebody else's server may answer on a port that ours could not get.
        match self.child.try_wait().expect("a child can be waited for") {
            Some(status) => Err(format!("rustk8s stopped ({status}); it printed:\n{}", self.printed())),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped by itself: both calls fail then, and nothing is left to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("rustk8s on port {} printed:\n{}", self.port, self.printed());
        }
    }
}

/// What a run that stops by itself left.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `rustk8s ARGS…` that must stop by itself.
///
/// # Panics
/// When it goes on running.
pub fn run_to_end(directory: &Path, args: &[&str]) -> Ended {
    let (stdout, stderr) = (directory.join("ended.stdout"), directory.join("ended.stderr"));
    let file = |path: &Path| File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut child = Command::new(binary::rustk8s())
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(file(&stdout))
        .stderr(file(&stderr))
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary::rustk8s().display()));
    let status = wait(&mut child);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (stdout, stderr) = (read(&stdout), read(&stderr));
    let status = status.unwrap_or_else(|| panic!("rustk8s {args:?} goes on running; it printed:\n{stdout}{stderr}"));
    Ended { code: status.code(), stdout, stderr }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        thread::sleep(STEP);
    }
    None
}

/// Whether all listeners answer `dns-version.cluster.local TXT` with NOERROR.
fn answers(port: u16) -> bool {
    const QUERY: &[u8] =
        b"\x47\x11\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0bdns-version\x07cluster\x05local\x00\x00\x10\x00\x01";
    ports::loopback().iter().all(|&addr| {
        let Ok(socket) = UdpSocket::bind((addr, 0)) else { return false };
        let mut reply = [0; 512];
        socket.set_read_timeout(Some(Duration::from_millis(200))).is_ok()
            && socket.connect((addr, port)).is_ok()
            && socket.send(QUERY).is_ok()
            && socket.recv(&mut reply).is_ok_and(|len| len > 12)
            && reply[..2] == QUERY[..2]
            && rcode(&reply) == 0
    })
}

fn rcode(message: &[u8]) -> u8 {
    message[3] & 0x0f
}
