//! The HTTP endpoints `health` and `ready`: one server for each address, whichever server blocks name it.

pub mod health;
mod limited;
pub mod ready;

use crate::directives::HostPort;
use axum::Router;
use limited::Limited;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long requests may take once the server stops: CoreDNS's shutdownTimeout.
const GRACE: Duration = Duration::from_secs(5);

/// Why an endpoint cannot listen. One line, with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{plugin}: cannot listen on {address}: {problem}; give '{plugin}' another ADDRESS in the Corefile")]
pub struct HttpError {
    /// The directive.
    pub plugin: &'static str,
    /// The address as given.
    pub address: String,
    /// What the system says.
    pub problem: String,
}

/// Endpoints that are bound and not served yet.
#[derive(Default)]
pub struct Endpoints {
    bound: Vec<(HostPort, TcpListener, Router)>,
}

impl Endpoints {
    /// Adds an endpoint. Two at the same address share its socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn add(&mut self, plugin: &'static str, address: &HostPort, routes: Router) -> Result<(), HttpError> {
        // Port 0 is another port each time.
        let known = self.bound.iter().position(|(known, ..)| known == address && address.port != 0);
        if let Some((_, _, known)) = known.map(|place| &mut self.bound[place]) {
            *known = std::mem::take(known).merge(routes);
            return Ok(());
        }
        let listener = bind(address).await.map_err(|error| HttpError {
            plugin,
            address: format!("{}:{}", address.host, address.port),
            problem: match error.kind() {
                io::ErrorKind::AddrInUse => "it is in use by another process".to_owned(),
                _ => error.to_string(),
            },
        })?;
        self.bound.push((address.clone(), listener, routes));
        Ok(())
    }

    /// Serves until dropped or stopped.
    pub fn start(self) -> HttpServers {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for (_, listener, routes) in self.bound {
            addresses.extend(listener.local_addr());
            let mut stopping = stopping.clone();
            tasks.spawn(async move {
                let stopped = async move {
                    // An error means that the servers were dropped.
                    let _ = stopping.wait_for(|stop| *stop).await;
                };
                // Serving ends only by the signal.
                let _ = axum::serve(Limited::new(listener), routes).with_graceful_shutdown(stopped).await;
            });
        }
        HttpServers { addresses, stop, tasks }
    }
}

/// The endpoints while they are served.
pub struct HttpServers {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl HttpServers {
    /// The addresses, their ports filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops; requests that have begun are answered.
    pub async fn stop(mut self) {
        // Receivers may be gone already.
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

async fn bind(address: &HostPort) -> io::Result<TcpListener> {
    if address.host.is_empty() {
        return listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port)))
            .or_else(|_| listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port))));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((address.host.as_str(), address.port)).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// The status line and the body of a GET.
    pub(super) async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn endpoints_share_an_address() {
        let free = bind(&HostPort { host: "127.0.0.1".to_owned(), port: 0 }).await.unwrap();
        let port = free.local_addr().unwrap().port();
        let address = HostPort { host: "127.0.0.1".to_owned(), port };
        let busy = Endpoints::default().add("health", &address, health::routes()).await.unwrap_err().to_string();
        let expected =
            format!("health: cannot listen on 127.0.0.1:{port}: it is in use by another process; give 'health'");
        assert!(busy.starts_with(&expected), "{busy}");
        drop(free);
        let ready = ready::Readiness::new(false);
        let mut endpoints = Endpoints::default();
        endpoints.add("health", &address, health::routes()).await.unwrap();
        endpoints.add("ready", &address, ready.routes()).await.unwrap();
        let servers = endpoints.start();
        let [server] = servers.addresses() else { panic!() };
        assert_eq!(get(*server, "/health").await, ("HTTP/1.1 200 OK".to_owned(), "OK".to_owned()));
        assert_eq!(get(*server, "/ready").await.0, "HTTP/1.1 200 OK");
        assert_eq!(get(*server, "/other").await.0, "HTTP/1.1 404 Not Found");
        servers.stop().await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}
