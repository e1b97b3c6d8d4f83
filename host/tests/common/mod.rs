//! A server in this process, on ports that the system chooses, and clients for it.
#![allow(clippy::unwrap_used, dead_code)]

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use rustk8s_host::app::{App, AppOptions, StartError};
use rustk8s_host::corefile::{Corefile, Settings};
use rustk8s_host::directives::Config;
use rustk8s_host::logging::LogSink;
use rustk8s_host::manifests::Manifests;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than any answer takes; reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct TestServer {
    app: Option<App>,
    runtime: tokio::runtime::Runtime,
    lines: Lines,
    sink: LogSink,
    pub addresses: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
}

/// What the server has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The loopback addresses of this machine; a container may lack `::1`.
pub fn loopback() -> Vec<IpAddr> {
    let all: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let (found, missing): (Vec<_>, Vec<_>) = all.iter().partition(|ip| UdpSocket::bind((**ip, 0)).is_ok());
    for ip in missing {
        println!("not tested: this machine has no {ip}");
    }
    found
}

/// Reads a Corefile. `port` takes the place of those that it names; 0 is one that is free.
pub fn config(corefile: &str, port: Option<u16>) -> Config {
    let settings = Settings { port, environment: &|_| None };
    let corefile = Corefile::parse("Corefile", corefile.as_bytes(), &settings).unwrap();
    Config::from_corefile(&corefile, &|_| None).unwrap()
}

impl TestServer {
    /// Serves a Corefile; its `kubernetes` directives get the objects of a manifest.
    pub fn start(corefile: &str, manifest: &str) -> Self {
        Self::try_start(corefile, Some(0), manifest).unwrap()
    }

    pub fn try_start(corefile: &str, port: Option<u16>, manifest: &str) -> Result<Self, StartError> {
        let mut manifests = Manifests::default();
        manifests.add("test.yaml", manifest).unwrap();
        let lines = Lines::default();
        let sink = LogSink::start(lines.clone());
        let options = AppOptions { objects: Some(manifests), ..AppOptions::new(sink.clone()) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = runtime.block_on(App::start(&config(corefile, port), options))?;
        let (addresses, http) = (app.addresses().to_vec(), app.http_addresses().to_vec());
        Ok(Self { app: Some(app), runtime, lines, sink, addresses, http })
    }

    pub fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            self.runtime.block_on(app.stop());
        }
    }

    /// Stops in the background; returns at once.
    pub fn begin_stop(&mut self) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(self.app.take().unwrap().stop())
    }

    pub fn wait(&self, task: tokio::task::JoinHandle<()>) {
        self.runtime.block_on(task).unwrap();
    }

    pub fn log(&self) -> Vec<String> {
        self.sink.flush();
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Asks the first address by UDP.
    pub fn ask(&self, qname: &str, qtype: RecordType) -> Message {
        udp(self.addresses[0], &query(qname, qtype))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn query(qname: &str, qtype: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(qname).unwrap(), qtype));
    message.to_vec().unwrap()
}

/// Sends a packet, returns the reply as sent.
pub fn udp_bytes(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let client = udp_client(server);
    client.send(packet).unwrap();
    let mut buffer = vec![0; 65_535];
    let length = client.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

pub fn udp_client(server: SocketAddr) -> UdpSocket {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(local).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

pub fn udp(server: SocketAddr, packet: &[u8]) -> Message {
    Message::from_vec(&udp_bytes(server, packet)).unwrap()
}

pub fn tcp_client(server: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// A packet with its length before it.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], packet].concat()
}

pub fn read_frame(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    Message::from_vec(&reply).unwrap()
}

pub fn tcp(server: SocketAddr, packet: &[u8]) -> Message {
    let mut stream = tcp_client(server);
    stream.write_all(&frame(packet)).unwrap();
    read_frame(&mut stream)
}

/// The data of the answers, as text.
pub fn answers(message: &Message) -> Vec<String> {
    let text = |data: &RData| data.to_string();
    let mut texts: Vec<_> = message.answers.iter().map(|record| text(&record.data)).collect();
    texts.sort();
    texts
}
