//! The signals that `claviger serve` handles.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks the process to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRequest {
    /// `SIGTERM`: stop issuing, serve redemptions until no ticket can be lost, then stop.
    Drain,
    /// `SIGINT`: stop at once.
    Stop,
    /// `SIGHUP`: reload policies, certificates and tokens.
    Reload,
}

pub struct SignalHandlers {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl SignalHandlers {
    /// Installs the handlers.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Drain,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hangup.recv() => SignalRequest::Reload,
        }
    }
}
