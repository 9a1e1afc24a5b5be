//! Signals that are forwarded to the command.

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{self, SignalKind};

/// Signals that end or notify a process, sent to ours instead of the command's.
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

/// The signals received from now on; none of them ends this process.
pub struct Signals(Vec<(unix::Signal, Signal)>);

impl Signals {
    /// Starts catching signals. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        forwarded()
            .into_iter()
            .map(|(kind, signal)| Ok((unix::signal(kind)?, signal)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The next signal.
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

/// Forwards a signal. A signal from the terminal reaches the whole foreground group, the command included: it does not get
/// it twice.
pub fn pass_on(signal: Signal, child: u32) {
    let is_typed = matches!(signal, Signal::INT | Signal::QUIT);
    if is_typed && tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp()) {
        return;
    }
    if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        // The command may have ended already.
        let _ = kill_process(pid, signal);
    }
}
