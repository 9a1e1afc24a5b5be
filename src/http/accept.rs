//! Accepts connections up to the connection limit, and pauses when descriptors run out.

use super::connection_limit::{ConnectionLimit, Slot};
use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// Pause after a failed accept, until descriptors or memory are free.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Shortest time between two log lines about the same condition.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Size of the kernel's send buffer. By default it grows to megabytes, and a thousand peers that read nothing
/// would take gigabytes. This size suffices for 64 MB per second at a round trip of one millisecond.
const SEND_BUFFER: u32 = 64 * 1024;
/// Number of connections that may wait in the kernel, unless the kernel's own limit is lower.
const BACKLOG: u32 = 4096;

/// Listens on an address. `[::]` accepts IPv4 too; on a machine without IPv6, `0.0.0.0` is used instead.
///
/// # Errors
/// If the system refuses the socket or the address.
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

/// A kernel with `ipv6.disable=1`, and sandboxes without the address family, refuse the socket or its address.
fn is_without_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // With `net.ipv6.bindv6only=1` it would take IPv6 only.
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
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
    /// Proxies have no limit per address.
    pub fn new(listener: TcpListener, connections: usize, proxies: Arc<[IpNet]>) -> Self {
        let (out_of_descriptors, address_at_limit) = Default::default();
        Self { listener, limit: ConnectionLimit::new(connections), proxies, out_of_descriptors, address_at_limit }
    }

    /// The next connection within the limit; `None` if the caller is to try again.
    pub async fn accept(&mut self) -> Option<(TcpStream, SocketAddr, Slot)> {
        let permit = self.limit.wait().await?;
        let (stream, peer) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.failed(&error).await;
                return None;
            }
        };
        if self.out_of_descriptors.ends() {
            tracing::info!("accepting connections again");
        }
        // The system reports an IPv4 peer of a listener on [::] as ::ffff:a.b.c.d; here it is a.b.c.d.
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
        self.limit.empty().await;
    }

    async fn failed(&mut self, error: &io::Error) {
        // The peer was gone before it was accepted; the next one may be waiting already.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if self.out_of_descriptors.should_log() {
            tracing::warn!(os = error.raw_os_error(), "accept failed; out of file descriptors or memory");
        }
        // An immediate retry would only use CPU time.
        sleep(RETRY_AFTER).await;
    }
}

/// A condition that is logged at most once per [`LOG_EVERY`].
#[derive(Default)]
struct LoggedCondition {
    logged: Option<Instant>,
    lasts: bool,
}

impl LoggedCondition {
    fn should_log(&mut self) -> bool {
        if self.logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            return false;
        }
        self.logged = Some(Instant::now());
        self.lasts = true;
        true
    }

    /// Whether its beginning was logged and its end was not.
    fn ends(&mut self) -> bool {
        std::mem::take(&mut self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_logged_once_per_interval_and_its_end_once() {
        let mut condition = LoggedCondition::default();
        assert!(!condition.ends(), "it has not begun");
        assert!(condition.should_log());
        assert!(!condition.should_log());
        assert!(condition.ends() && !condition.ends());
        assert!(!condition.should_log(), "it comes and goes");
        assert!(!condition.ends(), "its begin was not logged");
        tokio::time::advance(LOG_EVERY).await;
        assert!(condition.should_log());
    }
}
