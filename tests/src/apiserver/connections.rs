//! The listener and the connections of one address: accepting, cutting, going away and coming back on the same port.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    sync::{Mutex as AsyncMutex, oneshot, watch},
    task::{AbortHandle, JoinHandle},
};

use super::{Shared, routes};

/// Connections at once; further ones are closed at once.
const MOST: usize = 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The open connections.
pub(crate) struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, AbortHandle>>,
    count: watch::Sender<usize>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), open: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Connections {
    /// Closes one connection in the middle of whatever it does.
    pub fn close(&self, id: u64) {
        if let Some(task) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            task.abort();
        }
    }

    /// Closes every connection.
    pub fn close_all(&self) {
        for task in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            task.abort();
        }
    }

    /// Waits until these connections have gone.
    pub async fn gone(&self, ids: &[u64]) {
        let open = || {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            ids.iter().any(|id| open.contains_key(id))
        };
        let mut count = self.count.subscribe();
        while open() {
            // The sender is ours: it cannot have gone.
            let _ = count.changed().await;
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

/// Takes the connection off the list when its task ends, however it ends.
struct Registration {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let connections = &self.shared.connections;
        let left = {
            let mut open = connections.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&self.id);
            open.len()
        };
        connections.count.send_replace(left);
    }
}

/// The address of a server, listening or not.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Bound, but never listens: while the server is away connections are refused, and no one else gets the port.
    _reservation: TcpSocket,
    state: AsyncMutex<Option<Accepting>>,
}

/// The task that accepts connections, and owns the listening socket.
struct Accepting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens on 127.0.0.1. Port 0 chooses a free one.
    pub fn open(shared: &Arc<Shared>, runtime: &Handle, port: u16) -> io::Result<Self> {
        let reservation = TcpSocket::new_v4()?;
        // Connections of before may still be in TIME_WAIT.
        reservation.set_reuseaddr(true)?;
        reservation.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        // Only now: another server on this port is an error, our own listening socket beside this one is not.
        reservation.set_reuseport(true)?;
        let address = reservation.local_addr()?;
        let accepting = listen(shared, runtime, address)?;
        Ok(Self {
            shared: Arc::clone(shared),
            address,
            _reservation: reservation,
            state: AsyncMutex::new(Some(accepting)),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listening socket and every connection. On return nothing answers on the port.
    pub async fn stop(&self) {
        let mut state = self.state.lock().await;
        let Some(Accepting { stop, task }) = state.take() else { return };
        // The task holds the receiver until it ends.
        let _ = stop.send(());
        let _ = task.await;
        let ids = self.shared.connections.ids();
        self.shared.connections.close_all();
        self.shared.connections.gone(&ids).await;
    }

    /// Listens again, on the same port.
    pub async fn start(&self, runtime: &Handle) -> io::Result<()> {
        let mut state = self.state.lock().await;
        if state.is_none() {
            *state = Some(listen(&self.shared, runtime, self.address)?);
        }
        Ok(())
    }
}

fn listen(shared: &Arc<Shared>, runtime: &Handle, address: SocketAddr) -> io::Result<Accepting> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    let _context = runtime.enter();
    Ok(accept(shared, runtime, socket.listen(BACKLOG)?))
}

fn accept(shared: &Arc<Shared>, runtime: &Handle, listener: TcpListener) -> Accepting {
    let (stop, mut stopped) = oneshot::channel();
    let shared = Arc::clone(shared);
    let task = runtime.spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => serve(&shared, stream),
                    // No file descriptor left, or the like: it passes.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
    });
    Accepting { stop, task }
}

fn serve(shared: &Arc<Shared>, stream: TcpStream) {
    let connections = &shared.connections;
    let mut open = connections.open.lock().unwrap_or_else(PoisonError::into_inner);
    // Under the lock: whoever sets the fault closes what is on the list after that.
    if open.len() >= MOST || shared.faults.borrow().unavailable {
        return;
    }
    // Events are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    let id = connections.next.fetch_add(1, Ordering::Relaxed);
    let registration = Registration { shared: Arc::clone(shared), id };
    let task = tokio::spawn(async move {
        let shared = &registration.shared;
        let service = service_fn(move |request| routes::answer(Arc::clone(shared), id, request));
        // An error is the client's end of the connection, or a body that was cut on purpose.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
    open.insert(id, task.abort_handle());
    connections.count.send_replace(open.len());
}
