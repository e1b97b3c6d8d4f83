//! UDP: a thread for each socket receives a batch, answers it in place, and sends it.

use super::listener::{Asker, Listener, Verdict, Work};
use super::slow::{SlowLane, SlowQuery};
use super::socket::{Batch, UdpSocket};
use rustk8s::wire::Transport;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a thread works with.
pub struct Worker {
    /// What is served.
    pub listener: Arc<Listener>,
    /// The socket, which nobody else receives from.
    pub socket: Arc<UdpSocket>,
    /// For queries that someone must be asked about.
    pub slow: SlowLane,
    /// Set when the thread is to end.
    pub stop: Arc<AtomicBool>,
}

impl Worker {
    /// Serves until told to stop.
    pub fn run(self) {
        let mut batch = Batch::new();
        let mut work = Work::default();
        let mut failing = false;
        let local = self.socket.local_addr().ip();
        while !self.stop.load(Ordering::Relaxed) {
            match batch.receive(&self.socket) {
                Ok(_) => failing = false,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
                // An earlier reply could not be delivered; says nothing about the socket.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!("UDP {}: receiving fails: {error}", self.socket.local_addr());
                    }
                    // Such as no memory: not a reason to take all of a core.
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            }
            for (packet, path, reply) in batch.queries() {
                let asker = Asker { client: path.client(), local, transport: Transport::Udp };
                if self.listener.answer(packet, &asker, &mut work, reply) == Verdict::Later {
                    let (socket, listener) = (Arc::clone(&self.socket), Arc::clone(&self.listener));
                    let query = SlowQuery { packet: packet.to_vec(), path, socket, listener };
                    reply.clear();
                    if let Err(query) = self.slow.hand_over(query) {
                        query.write_overload(reply);
                    }
                }
            }
            // A reply that cannot be sent is lost, as datagrams are; the client asks again.
            batch.send(&self.socket);
        }
    }
}
