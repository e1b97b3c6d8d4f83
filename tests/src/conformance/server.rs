//! Server processes under test: a Corefile and a kubeconfig in a directory of their own,
//! free loopback ports, started, asked until ready, stopped by pid.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::reference::{self, ReferenceError};

/// Which program a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerKind {
    /// The reference, CoreDNS v1.15.0.
    CoreDns,
    /// `rustk8s`, of the newest build in the target directory.
    Host,
    /// Any program that takes `-conf FILE -dns.port N`.
    Binary(PathBuf),
}

impl FromStr for ServerKind {
    type Err = std::convert::Infallible;

    /// `coredns`, `host`, or the path of a program.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "coredns" => Self::CoreDns,
            "host" => Self::Host,
            path => Self::Binary(path.into()),
        })
    }
}

/// Why a server does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The reference could not be built.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// `rustk8s` is not built.
    #[error("no rustk8s binary in {0}: build it first (cargo build --release -p rustk8s-host), or give --server PATH")]
    NoHost(PathBuf),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server stopped by itself.
    #[error("{program} stopped at start ({status}). Its Corefile: {corefile}\nIts output:\n{output}")]
    Stopped {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The path of its Corefile.
        corefile: PathBuf,
        /// What it printed.
        output: String,
    },
    /// It runs and does not get ready.
    #[error("{program} was not ready after {seconds} s. Its Corefile: {corefile}\nIts output:\n{output}")]
    NotReady {
        /// The program.
        program: PathBuf,
        /// How long it was given.
        seconds: u64,
        /// The path of its Corefile.
        corefile: PathBuf,
        /// What it printed.
        output: String,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::System { what, source }
}

/// A program that can be started as a server, and how its Corefile differs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub binary: PathBuf,
    /// The directive that stands for `kubernetes` in its Corefile.
    pub directive: String,
    /// Lines added to the directive's block, as `engine wasm`.
    pub extra_options: Vec<String>,
}

impl Program {
    /// Finds the executable; builds it when it is the reference.
    pub fn find(kind: &ServerKind) -> Result<Self, ServerError> {
        let binary = match kind {
            ServerKind::CoreDns => reference::build()?,
            ServerKind::Host => newest_host()?,
            // Servers run in directories of their own: a relative path would not be found there.
            ServerKind::Binary(path) => {
                fs::canonicalize(path).map_err(system(format!("--server {}", path.display())))?
            }
        };
        Ok(Self { binary, directive: "kubernetes".to_owned(), extra_options: Vec::new() })
    }
}

fn newest_host() -> Result<PathBuf, ServerError> {
    if let Some(path) = std::env::var_os("RUSTK8S_BIN") {
        return Ok(path.into());
    }
    let target = reference::target_dir();
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("rustk8s"))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .ok_or(ServerError::NoHost(target))
}

/// A directory below the target directory, removed on drop unless kept.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// A new, empty directory whose name starts with `label`.
    pub fn new(label: &str) -> Result<Self, ServerError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{label}-{}-{count}", std::process::id());
        let path = reference::target_dir().join("conformance").join("run").join(name);
        fs::create_dir_all(&path).map_err(system(format!("create {}", path.display())))?;
        Ok(Self { path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it and returns the file's path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, ServerError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(system(format!("write {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if std::env::var_os("CONFORMANCE_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A port free for UDP and TCP on every address of this machine, never given out twice by this process:
/// CoreDNS binds with `SO_REUSEPORT`, so two servers on one port would share its queries without an error.
pub fn free_port() -> Result<u16, ServerError> {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    for _ in 0..200 {
        let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
        // A dual-stack socket where there is IPv6, else an IPv4 one.
        let tcp = TcpListener::bind(any)
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))
            .map_err(system("find a free port"))?;
        let address = tcp.local_addr().map_err(system("find a free port"))?;
        if UdpSocket::bind(address).is_err() {
            continue;
        }
        let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !given.contains(&address.port()) {
            given.push(address.port());
            return Ok(address.port());
        }
    }
    Err(ServerError::System { what: "find a free port".to_owned(), source: io::ErrorKind::AddrInUse.into() })
}

/// What a Corefile template's placeholders stand for, beyond the ports that the server gets for itself.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `%kubeconfig%`: written to a file, whose path is put in.
    pub kubeconfig: String,
    /// `%endpoint%`: the API server's URL.
    pub endpoint: String,
    /// `%upstream%`: `host:port` of the DNS server that forward uses.
    pub upstream: String,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    program: PathBuf,
    corefile: PathBuf,
    dir: WorkDir,
    /// The port it answers DNS on.
    pub dns_port: u16,
    /// The port of its `ready` endpoint.
    pub ready_port: u16,
}

/// A Corefile for one server: placeholders replaced, the directive renamed, extra options put in.
pub fn corefile(
    template: &str,
    program: &Program,
    surroundings: &Surroundings,
    kubeconfig: &Path,
    ready_port: u16,
) -> String {
    let text = template
        .replace("%bind%", "127.0.0.1 ::1")
        .replace("%ready%", &format!("127.0.0.1:{ready_port}"))
        .replace("%kubeconfig%", &kubeconfig.display().to_string())
        .replace("%endpoint%", &surroundings.endpoint)
        .replace("%upstream%", &surroundings.upstream)
        .replace("%resolvconf%", &beside(kubeconfig, "resolv.conf"))
        .replace("%tls%", &["client.crt", "client.key", "ca.crt"].map(|f| beside(kubeconfig, f)).join(" "));
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let word = line.trim_start();
        let indent = &line[..line.len() - word.len()];
        if let Some(rest) = word.strip_prefix("kubernetes").filter(|r| r.is_empty() || r.starts_with([' ', '\t'])) {
            out.push_str(indent);
            out.push_str(&program.directive);
            out.push_str(rest);
            out.push('\n');
            if rest.trim_end().ends_with('{') {
                for option in &program.extra_options {
                    out.push_str(indent);
                    out.push_str("    ");
                    out.push_str(option);
                    out.push('\n');
                }
            }
        } else {
            out.push_str(&line.replace("autopath @kubernetes", &format!("autopath @{}", program.directive)));
            out.push('\n');
        }
    }
    out
}

fn beside(kubeconfig: &Path, file: &str) -> String {
    kubeconfig.with_file_name(file).display().to_string()
}

impl Server {
    /// Starts `program` with a Corefile made from `template`; does not wait for it.
    pub fn spawn(program: &Program, template: &str, surroundings: &Surroundings) -> Result<Self, ServerError> {
        let dir = WorkDir::new("server")?;
        let (dns_port, ready_port) = (free_port()?, free_port()?);
        let kubeconfig = dir.write("kubeconfig", &surroundings.kubeconfig)?;
        if template.contains("%tls%") {
            dir.write("client.crt", include_str!("testdata/client.crt"))?;
            dir.write("client.key", include_str!("testdata/client.key"))?;
            dir.write("ca.crt", include_str!("testdata/ca.crt"))?;
        }
        if template.contains("%resolvconf%") {
            dir.write("resolv.conf", "nameserver 127.0.0.1\nsearch dev.svc.cluster.local svc.cluster.local cluster.local example.test\noptions ndots:5\n")?;
        }
        let text = corefile(template, program, surroundings, &kubeconfig, ready_port);
        let corefile = dir.write("Corefile", &text)?;
        let log = dir.path().join("log");
        let log = fs::File::create(&log).map_err(system(format!("create {}", log.display())))?;
        let errors = log.try_clone().map_err(system("share the log file"))?;
        let child = Command::new(&program.binary)
            .arg("-conf")
            .arg(&corefile)
            .arg("-dns.port")
            .arg(dns_port.to_string())
            .current_dir(dir.path())
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(system(format!("start {}", program.binary.display())))?;
        Ok(Self { child, program: program.binary.clone(), corefile, dir, dns_port, ready_port })
    }

    /// Starts a server and waits until its `ready` endpoint says 200.
    pub fn start(program: &Program, template: &str, surroundings: &Surroundings) -> Result<Self, ServerError> {
        let mut server = Self::spawn(program, template, surroundings)?;
        server.wait_ready(Duration::from_secs(30))?;
        Ok(server)
    }

    /// Waits until `ready` says 200.
    pub fn wait_ready(&mut self, patience: Duration) -> Result<(), ServerError> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.check_running()?;
            if http_get(self.ready_port, "/ready").is_some_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(15));
        }
        Err(ServerError::NotReady {
            program: self.program.clone(),
            seconds: patience.as_secs(),
            corefile: self.corefile.clone(),
            output: self.output(),
        })
    }

    /// An error when the process has ended.
    pub fn check_running(&mut self) -> Result<(), ServerError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(ServerError::Stopped {
                program: self.program.clone(),
                status,
                corefile: self.corefile.clone(),
                output: self.output(),
            }),
            Ok(None) => Ok(()),
            Err(source) => Err(ServerError::System { what: "look after the server".to_owned(), source }),
        }
    }

    /// Waits until the process ends by itself; `None` when it still runs after `patience`.
    pub fn wait_exit(&mut self, patience: Duration) -> Option<std::process::ExitStatus> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The text of its Corefile.
    pub fn corefile_text(&self) -> String {
        fs::read_to_string(&self.corefile).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status and body of a GET on 127.0.0.1; `None` when nothing answers.
pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.take(1 << 20).read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corefile_names_the_directive_of_its_program() {
        let program = Program {
            binary: "x".into(),
            directive: "rustk8s".to_owned(),
            extra_options: vec!["engine wasm".to_owned()],
        };
        let template = ". {\n    autopath @kubernetes\n    kubernetes cluster.local {\n        kubeconfig %kubeconfig%\n    }\n    ready %ready%\n}";
        let text = corefile(template, &program, &Surroundings::default(), Path::new("/k"), 8181);
        let expected = ". {\n    autopath @rustk8s\n    rustk8s cluster.local {\n        engine wasm\n        kubeconfig /k\n    }\n    ready 127.0.0.1:8181\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn ports_are_given_once() {
        let mut ports: Vec<u16> = (0..50).filter_map(|_| free_port().ok()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
    }
}
