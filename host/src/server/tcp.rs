//! TCP (RFC 7766): messages with their length before them, several on a connection, answered as they can be.

use super::listener::{Asker, Listener, Verdict, Work};
use rustk8s::wire::Transport;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections of the whole server. More wait in the kernel until one ends.
const MAX_CONNECTIONS: usize = 1024;
/// Below this many free places connections that do nothing are ended sooner (RFC 7766 section 6.2.3).
const FEW_FREE: usize = MAX_CONNECTIONS / 4;
/// How long a connection may do nothing: CoreDNS's idle timeout.
const IDLE: Duration = Duration::from_secs(10);
/// The same while places are few, and for what a client has begun to send: CoreDNS's read timeout.
const IDLE_UNDER_LOAD: Duration = Duration::from_secs(3);
/// How long a client may take to receive: CoreDNS's write timeout.
const WRITE: Duration = Duration::from_secs(5);
/// Queries of a connection that are worked on at once. More wait unread.
const MAX_PENDING: usize = 32;
/// Replies are collected up to this size before they are sent.
const REPLIES: usize = 64 << 10;
/// Transfers of the whole server at once: each keeps the state of the cluster that it began with.
const MAX_TRANSFERS: usize = 32;
/// How long a transfer may wait for another to end.
const TRANSFER_WAIT: Duration = Duration::from_secs(10);
/// Octets that are read at once.
const READ: usize = 4096;
/// A message, and the length before it.
const MAX_FRAME: usize = 2 + 65_535;

/// The places for connections and for transfers. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    places: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
}

impl Connections {
    /// All places are free.
    pub fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), transfers: Arc::new(Semaphore::new(MAX_TRANSFERS)) }
    }

    fn idle(&self) -> Duration {
        if self.places.available_permits() < FEW_FREE { IDLE_UNDER_LOAD } else { IDLE }
    }
}

/// Accepts connections until the server stops.
pub async fn serve(
    socket: TcpListener,
    listener: Arc<Listener>,
    connections: Connections,
    mut stopping: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let mut failing = false;
    let local = socket.local_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |address| address.ip());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &connections) => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                failing = false;
                let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let connection = Connection {
                    stream,
                    asker: Asker { client, local, transport: Transport::Tcp },
                    listener: Arc::clone(&listener),
                    connections: connections.clone(),
                    stopping: stopping.clone(),
                };
                tasks.spawn(async move {
                    // Clients come and go; nothing that happens to a connection is news.
                    let _ = connection.run().await;
                    drop(place);
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("TCP: accepting connections fails: {error}");
                }
                // Such as no file descriptor left: connections end in time.
                sleep(Duration::from_millis(100)).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    drop(socket);
    while tasks.join_next().await.is_some() {}
}

async fn accept(
    socket: &TcpListener,
    connections: &Connections,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(&connections.places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, place))
}

struct Connection {
    stream: TcpStream,
    asker: Asker,
    listener: Arc<Listener>,
    connections: Connections,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut work = Work::default();
        let mut received: Vec<u8> = Vec::with_capacity(READ);
        let mut reply = Vec::new();
        let mut replies = Vec::new();
        let mut pending: JoinSet<Vec<u8>> = JoinSet::new();
        let mut open = true;
        while open || !pending.is_empty() {
            let may_read = open && pending.len() < MAX_PENDING;
            // A message that has begun must arrive; a client that waits for our answers is not idle.
            let patience = if received.is_empty() { self.connections.idle() } else { IDLE_UNDER_LOAD };
            tokio::select! {
                read = timeout(patience, read_some(&mut self.stream, &mut received)), if may_read => match read {
                    Ok(Ok(0)) => open = false,
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) if pending.is_empty() => return Ok(()),
                    Err(_) => open = false,
                },
                Some(done) = pending.join_next(), if !pending.is_empty() => {
                    push_frame(&mut replies, &done.unwrap_or_default());
                }
                _ = self.stopping.wait_for(|stop| *stop), if open => open = false,
            }
            let mut at = 0;
            while let Some((packet, end)) = next_frame(&received, at) {
                if pending.len() >= MAX_PENDING {
                    break;
                }
                match self.listener.answer(packet, &self.asker, &mut work, &mut reply) {
                    Verdict::Reply if reply.is_empty() => {}
                    Verdict::Reply => push_frame(&mut replies, &reply),
                    Verdict::Later => {
                        pending.spawn(answer_later(Arc::clone(&self.listener), packet.to_vec(), self.asker));
                    }
                    Verdict::Transfer => self.transfer(packet, &mut work, &mut reply, &mut replies).await?,
                }
                at = end;
                if replies.len() >= REPLIES {
                    self.send(&mut replies).await?;
                }
            }
            received.drain(..at);
            self.send(&mut replies).await?;
            // What one large message needed is not kept for the life of the connection.
            if received.is_empty() {
                received.shrink_to(READ);
            }
            reply.shrink_to(READ);
        }
        self.stream.shutdown().await
    }

    /// Sends a zone as it is at this moment, message by message: no more of it is held than [`REPLIES`], and a client that
    /// does not read is dropped.
    async fn transfer(
        &mut self,
        packet: &[u8],
        work: &mut Work,
        reply: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> io::Result<()> {
        let started = Instant::now();
        let listener = Arc::clone(&self.listener);
        let transfers = Arc::clone(&self.connections.transfers);
        let Ok(Ok(_place)) = timeout(TRANSFER_WAIT, transfers.acquire()).await else {
            listener.refuse_transfer(packet, &self.asker, work, reply);
            push_frame(replies, reply);
            return Ok(());
        };
        let Some(mut transfer) = listener.begin_transfer(packet, &self.asker, work, reply) else {
            push_frame(replies, reply);
            return Ok(());
        };
        let (mut octets, mut records) = (0, 0);
        while transfer.next_message(reply) {
            octets += reply.len();
            records += reply.get(6..8).map_or(0, |count| usize::from(u16::from_be_bytes([count[0], count[1]])));
            push_frame(replies, reply);
            if replies.len() >= REPLIES {
                self.send(replies).await?;
            }
        }
        listener.log_transfer(packet, &self.asker, work, reply, octets, started);
        tracing::info!(plugin = "transfer", "Outgoing transfer of {records} records to {}", self.asker.client.ip());
        Ok(())
    }

    async fn send(&mut self, replies: &mut Vec<u8>) -> io::Result<()> {
        if !replies.is_empty() {
            timeout(WRITE, self.stream.write_all(replies)).await??;
            replies.clear();
            replies.shrink_to(READ);
        }
        Ok(())
    }
}

async fn answer_later(listener: Arc<Listener>, packet: Vec<u8>, asker: Asker) -> Vec<u8> {
    let mut out = Vec::new();
    listener.answer_slowly(&packet, &asker, &mut Work::default(), &mut out).await;
    out
}

/// Reads what is there, up to one whole frame. Can be dropped at any time without losing what was read.
async fn read_some(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let room = MAX_FRAME.saturating_sub(received.len()).clamp(1, READ);
    received.reserve(room);
    stream.take(room as u64).read_buf(received).await
}

/// The message at `at`, if it is there as a whole, and where the next begins.
fn next_frame(received: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = received.get(at..)?.first_chunk::<2>()?;
    let end = at + 2 + usize::from(u16::from_be_bytes(*length));
    Some((received.get(at + 2..end)?, end))
}

fn push_frame(replies: &mut Vec<u8>, reply: &[u8]) {
    // Replies are cut to 65,535 octets; one that were longer could not be sent at all.
    if let Ok(length) = u16::try_from(reply.len())
        && length > 0
    {
        replies.extend_from_slice(&length.to_be_bytes());
        replies.extend_from_slice(reply);
    }
}
