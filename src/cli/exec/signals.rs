//! Signals that are passed on to the command.

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{self, SignalKind};

/// What ends a process, or tells it something, and is told to ours in place of the command's.
fn forwarded() -> [(SignalKind, Signal); 6] {
    [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ]
}

/// The signals that come to this process from now on; none of them ends it any more.
pub struct Signals(Vec<(unix::Signal, Signal)>);

impl Signals {
    /// Begins to catch them. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        forwarded()
            .into_iter()
            .map(|(kind, signal)| Ok((unix::signal(kind)?, signal)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The next one.
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

/// Passes a signal on. What is typed at a terminal reaches the whole foreground there, the command too: it does not get
/// that twice.
pub fn pass_on(signal: Signal, child: u32) {
    let is_typed = matches!(signal, Signal::INT | Signal::QUIT);
    if is_typed && tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp()) {
        return;
    }
    if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}
