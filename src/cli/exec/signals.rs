//! Receives signals and forwards them to the command.

use crate::cli::ignored_signals::IgnoredSignals;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

/// The forwarded signals: those that users and supervisors send to a command.
fn forwarded_signals() -> [(SignalKind, Signal); 6] {
    [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ]
}

/// Receives the forwarded signals. Once a receiver has been created, these signals do not end this process.
pub struct SignalReceiver(Vec<(unix::Signal, Signal)>);

impl SignalReceiver {
    /// Installs the handlers, except for ignored signals, which the command ignores too. Must be called in a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let ignored = IgnoredSignals::read();
        forwarded_signals()
            .into_iter()
            .filter(|(kind, _)| !ignored.contains(kind.as_raw_value()))
            .map(|(kind, signal)| Ok((unix::signal(kind)?, signal)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// A signal that has arrived already, if there is one.
    pub async fn next_arrived(&mut self) -> Option<Signal> {
        // tokio reports a signal only after it has polled its event queue, so a poll without waiting would miss it.
        timeout(Duration::from_millis(1), self.next()).await.ok()
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (stream, signal) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Forwards a signal to the command.
///
/// The terminal sends SIGINT and SIGQUIT (Ctrl-C and Ctrl-\) to the whole foreground process group, the command included, so
/// they are not forwarded while this process is in that group. tokio does not report the sender of a signal, so a SIGINT
/// or SIGQUIT from `kill` to only this process is not forwarded then either. SIGHUP is always forwarded, and may arrive
/// twice, because the foreground group of a closed terminal cannot be read.
pub fn forward(signal: Signal, child: u32) {
    if matches!(signal, Signal::INT | Signal::QUIT) && is_in_foreground() {
        return;
    }
    if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        // An error means that the command has ended.
        let _ = kill_process(pid, signal);
    }
}

/// Whether this process is in the foreground group of its controlling terminal. `/dev/tty` is this terminal even if standard input
/// is another file.
fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpid;

    #[tokio::test]
    async fn arrived_signal_is_reported_once() {
        let mut signals = SignalReceiver::new().expect("handlers");
        assert_eq!(signals.next_arrived().await, None);
        kill_process(getpid(), Signal::USR2).expect("a signal");
        assert_eq!(signals.next_arrived().await, Some(Signal::USR2));
        assert_eq!(signals.next_arrived().await, None);
    }
}
