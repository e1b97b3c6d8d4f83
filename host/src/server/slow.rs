//! UDP queries that someone must be asked about before they can be answered: off the threads that receive, in tasks,
//! and never more than a fixed number of them.

use super::listener::{Asker, Listener, Work};
use super::socket::{ReturnPath, UdpSocket};
use rustk8s::wire::{Query, Rcode, Transport};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Queries that may wait for a task.
const QUEUE: usize = 1024;
/// Queries that are worked on at once.
const TASKS: usize = 1024;

/// A query that was received by UDP.
pub struct SlowQuery {
    /// The message.
    pub packet: Vec<u8>,
    /// Where the reply goes.
    pub path: ReturnPath,
    /// The socket that it came by.
    pub socket: Arc<UdpSocket>,
    /// What is served there.
    pub listener: Arc<Listener>,
}

impl SlowQuery {
    /// Writes SERVFAIL: there is no room for the query now.
    pub fn write_overload(&self, out: &mut Vec<u8>) {
        let mut query = Query::new();
        if query.read(&self.packet).is_ok() {
            query.write_error(Rcode::SERVER_FAILURE, out);
        }
    }
}

/// The way to the tasks. Cheap to clone.
#[derive(Clone)]
pub struct SlowLane(mpsc::Sender<SlowQuery>);

impl SlowLane {
    /// Starts the task that gives queries to tasks.
    pub fn start(tasks: &mut JoinSet<()>, stopping: watch::Receiver<bool>) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        tasks.spawn(dispatch(queue, stopping));
        Self(sender)
    }

    /// Hands a query over without waiting.
    ///
    /// # Errors
    /// The query, where too many wait already.
    pub fn hand_over(&self, query: SlowQuery) -> Result<(), SlowQuery> {
        self.0.try_send(query).map_err(|error| match error {
            mpsc::error::TrySendError::Full(query) | mpsc::error::TrySendError::Closed(query) => query,
        })
    }
}

async fn dispatch(mut queue: mpsc::Receiver<SlowQuery>, mut stopping: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(TASKS));
    let mut running = JoinSet::new();
    loop {
        let query = tokio::select! {
            query = queue.recv() => query,
            // The server stops: what waits is still answered.
            _ = stopping.wait_for(|stop| *stop) => queue.try_recv().ok(),
        };
        let Some(query) = query else { break };
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        running.spawn(async move {
            answer(query).await;
            drop(permit);
        });
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

async fn answer(query: SlowQuery) {
    let local = query.socket.local_addr().ip();
    let asker = Asker { client: query.path.client(), local, transport: Transport::Udp };
    let mut work = Work::default();
    let mut out = Vec::new();
    query.listener.answer_slowly(&query.packet, &asker, &mut work, &mut out).await;
    if !out.is_empty() {
        // A reply that cannot be sent is lost, as datagrams are; the client asks again.
        let _ = query.socket.send(&out, &query.path);
    }
}
