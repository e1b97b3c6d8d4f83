//! The signals of the process, as CoreDNS takes them.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that concern the server, caught from the moment that this exists.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    reload: Signal,
}

impl Signals {
    /// Catches the signals. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            reload: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for a signal that ends the server; returns its name.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                // Sent when a terminal goes away; not a reason to stop, as in CoreDNS.
                _ = self.hangup.recv() => {}
                _ = self.reload.recv() => {
                    tracing::warn!("SIGUSR1: this server cannot reload its Corefile yet; restart it");
                }
            }
        }
    }
}
