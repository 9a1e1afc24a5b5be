//! Accepts connections up to the connection limit, and pauses when file descriptors run out.

use super::connection_limit::{ConnectionLimit, ConnectionSlot};
use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// Pause after a failed accept, in which file descriptors or memory may become free.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two log lines about the same condition.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Size of the kernel's send buffer of a connection. By default it grows to megabytes, so a thousand peers that read nothing would
/// take gigabytes. This size suffices for 64 MB per second at a round-trip time of one millisecond.
const SEND_BUFFER: u32 = 64 * 1024;
/// Number of connections that may wait in the kernel to be accepted, unless `net.core.somaxconn` is lower.
const BACKLOG: u32 = 4096;

/// Listens on an address. `[::]` also accepts IPv4; on a machine without IPv6, `0.0.0.0` is used instead.
///
/// # Errors
/// When the system refuses the socket or the address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match listen_on(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            tracing::info!(%address, "IPv6 is not available; using IPv4 only");
            listen_on(address)
        }
        outcome => outcome,
    }
}

/// Whether the error is that of a kernel with `ipv6.disable=1`, or of a sandbox without IPv6.
fn is_without_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // With `net.ipv6.bindv6only=1` the socket would accept IPv6 only.
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit this option.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A listener with a connection limit.
pub struct Acceptor {
    listener: TcpListener,
    limit: Arc<ConnectionLimit>,
    proxies: Arc<[IpNet]>,
    out_of_descriptors: LoggedCondition,
    address_at_limit: LoggedCondition,
}

impl Acceptor {
    /// At most `connections` connections are open at a time; more wait in the kernel's queue. The limit per address does not apply
    /// to `proxies`.
    pub fn new(listener: TcpListener, connections: usize, proxies: Arc<[IpNet]>) -> Self {
        let (out_of_descriptors, address_at_limit) = Default::default();
        Self { listener, limit: ConnectionLimit::new(connections), proxies, out_of_descriptors, address_at_limit }
    }

    /// Waits for the next connection. `None` if accepting it failed or it was refused; then call again.
    pub async fn accept(&mut self) -> Option<(TcpStream, SocketAddr, ConnectionSlot)> {
        let permit = self.limit.acquire().await?;
        let (stream, peer) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.handle_error(&error).await;
                return None;
            }
        };
        if self.out_of_descriptors.take_logged() {
            tracing::info!("accepting connections again");
        }
        // On a listener on [::], the address of an IPv4 peer is ::ffff:a.b.c.d. It becomes a.b.c.d.
        let address = peer.ip().to_canonical();
        let peer = SocketAddr::new(address, peer.port());
        let is_proxy = self.proxies.iter().any(|net| net.contains(&address));
        let slot = self.limit.admit(permit, address, is_proxy);
        if slot.is_none() && self.address_at_limit.should_log() {
            tracing::warn!(%address, "connection limit reached for this address; refusing its new connections");
        }
        Some((stream, peer, slot?))
    }

    /// Stops listening, and waits until all connections have ended.
    pub async fn close(self) {
        drop(self.listener);
        self.limit.wait_until_empty().await;
    }

    /// Logs the error and pauses, unless the peer itself has disconnected.
    async fn handle_error(&mut self, error: &io::Error) {
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if self.out_of_descriptors.should_log() {
            tracing::warn!(os = error.raw_os_error(), "accept failed; out of file descriptors or memory");
        }
        // An immediate retry would fail, too, and only use CPU time.
        sleep(RETRY_PAUSE).await;
    }
}

/// A condition that is logged at most once per [`LOG_INTERVAL`].
#[derive(Default)]
struct LoggedCondition {
    logged_at: Option<Instant>,
    is_logged: bool,
}

impl LoggedCondition {
    /// Whether to log the condition now: true at most once per [`LOG_INTERVAL`].
    fn should_log(&mut self) -> bool {
        if self.logged_at.is_some_and(|logged_at| logged_at.elapsed() < LOG_INTERVAL) {
            return false;
        }
        self.logged_at = Some(Instant::now());
        self.is_logged = true;
        true
    }

    /// Whether the condition was logged since the last call, so that its end should be logged.
    fn take_logged(&mut self) -> bool {
        std::mem::take(&mut self.is_logged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_and_its_end_are_logged_once_per_interval() {
        let mut condition = LoggedCondition::default();
        assert!(!condition.take_logged(), "it has not begun");
        assert!(condition.should_log());
        assert!(!condition.should_log());
        assert!(condition.take_logged() && !condition.take_logged());
        assert!(!condition.should_log(), "it begins again within the interval");
        assert!(!condition.take_logged(), "its beginning was not logged");
        tokio::time::advance(LOG_INTERVAL).await;
        assert!(condition.should_log());
    }
}
