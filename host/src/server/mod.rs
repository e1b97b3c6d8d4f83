//! The DNS server: who listens where, and which server block answers.
//!
//! ```text
//! udp (a thread per core and address) ─┐                ┌─ zones: which server block ─ chain: its plugins
//! tcp (tokio)                         ─┴─ Listener::answer
//!                                      └─ slow (tokio): what has to ask someone first
//! ```

pub mod bind;
mod listener;
mod slow;
pub mod socket;
mod tcp;
mod udp;
mod zones;

pub use bind::{BindError, BoundSockets};
pub use listener::{Asker, Listener, Verdict, Work};
pub use zones::ZoneTable;

use bind::BoundAddress;
use slow::SlowLane;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The server while it serves.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stop_threads: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    stop_tasks: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Serves on sockets that are bound already: `listeners[i]` on `sockets[i]`. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system has no thread left. What has started by then is stopped.
    pub fn start(listeners: Vec<Arc<Listener>>, sockets: BoundSockets) -> io::Result<Self> {
        let (stop_tasks, stopping) = watch::channel(false);
        let mut server = Self {
            addresses: sockets.addresses.iter().map(BoundAddress::local_addr).collect(),
            stop_threads: Arc::default(),
            threads: Vec::new(),
            stop_tasks,
            tasks: JoinSet::new(),
        };
        let slow = SlowLane::start(&mut server.tasks, stopping.clone());
        let connections = tcp::Connections::new();
        for (listener, address) in listeners.into_iter().zip(sockets.addresses) {
            for (number, socket) in address.udp.into_iter().enumerate() {
                let worker = udp::Worker {
                    listener: Arc::clone(&listener),
                    socket: Arc::new(socket),
                    slow: slow.clone(),
                    stop: Arc::clone(&server.stop_threads),
                };
                let name = format!("udp-{}-{number}", address.port);
                server.threads.push(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
            }
            let tcp = tokio::net::TcpListener::from_std(address.tcp)?;
            server.tasks.spawn(tcp::serve(tcp, listener, connections.clone(), stopping.clone()));
        }
        Ok(server)
    }

    /// The addresses served, in the order of the listeners, their ports filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops: queries received are answered, connections may finish for at most `grace`.
    pub async fn stop(mut self, grace: Duration) {
        self.stop_threads.store(true, Ordering::Relaxed);
        // Receivers may be gone already.
        let _ = self.stop_tasks.send(true);
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has nothing left to stop.
                let _ = thread.join();
            }
        });
        // Threads look at the flag four times a second.
        let _ = joined.await;
        let _ = tokio::time::timeout(grace, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.abort_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_threads.store(true, Ordering::Relaxed);
    }
}
