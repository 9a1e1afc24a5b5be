//! Where connections come in: one by one, while there is room, and again after the process had run out of descriptors.

use super::room::{Place, Room};
use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

/// How long the process waits for descriptors or memory before it accepts again.
const BREATH: Duration = Duration::from_millis(100);
/// How seldom the log tells of one trouble.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What the kernel keeps of an answer that is on its way. Left alone it grows to megabytes, of which a thousand peers that read
/// nothing make gigabytes; this is enough for 64 MB a second at a millisecond's distance.
const SEND_BUFFER: u32 = 64 * 1024;
/// How many connections may wait in the kernel, where it allows so many.
const QUEUE: u32 = 4096;

/// Listens on an address. `[::]` takes IPv4 too, and is `0.0.0.0` on a machine without IPv6.
///
/// # Errors
/// When the system does not let it.
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

/// A kernel with `ipv6.disable=1`, and sandboxes without the family, refuse the socket or its address.
fn is_without_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // `net.ipv6.bindv6only=1` would make it IPv6 alone.
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    // Connections that are accepted inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// A listener, and the room behind it.
pub struct Entrance {
    listener: TcpListener,
    room: Arc<Room>,
    proxies: Arc<[IpNet]>,
    starved: Trouble,
    crowded: Trouble,
}

impl Entrance {
    /// For so many at once; each of the proxies may take all there is.
    pub fn new(listener: TcpListener, connections: usize, proxies: Arc<[IpNet]>) -> Self {
        let (starved, crowded) = Default::default();
        Self { listener, room: Room::new(connections), proxies, starved, crowded }
    }

    /// The next connection that may stay; none where another try is due.
    pub async fn accept(&mut self) -> Option<(TcpStream, SocketAddr, Place)> {
        let permit = self.room.wait().await?;
        let (stream, peer) = match self.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                self.failed(&error).await;
                return None;
            }
        };
        if self.starved.ends() {
            tracing::info!("accepting connections again");
        }
        // An IPv4 peer of a listener on [::] is ::ffff:a.b.c.d to the system, and a.b.c.d to everything here.
        let address = peer.ip().to_canonical();
        let peer = SocketAddr::new(address, peer.port());
        let is_proxy = self.proxies.iter().any(|net| net.contains(&address));
        let place = self.room.enter(permit, address, is_proxy);
        if place.is_none() && self.crowded.is_to_be_told() {
            tracing::warn!(%address, "connection limit reached for this address; refusing its new connections");
        }
        Some((stream, peer, place?))
    }

    /// Lets nobody in any more, and waits until all connections have ended.
    pub async fn close(self) {
        drop(self.listener);
        self.room.empty().await;
    }

    async fn failed(&mut self, error: &io::Error) {
        // A peer that was gone before it was accepted: the next one is waiting already.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            return;
        }
        if self.starved.is_to_be_told() {
            tracing::warn!(os = error.raw_os_error(), "accept failed; out of file descriptors or memory");
        }
        // Trying again at once would only burn the processor.
        sleep(BREATH).await;
    }
}

/// What the log tells of now and then, however often it happens.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
    lasts: bool,
}

impl Trouble {
    fn is_to_be_told(&mut self) -> bool {
        if self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return false;
        }
        self.told = Some(Instant::now());
        self.lasts = true;
        true
    }

    /// Whether it was told of, and its end was not.
    fn ends(&mut self) -> bool {
        std::mem::take(&mut self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_told_of_once_in_a_while_and_its_end_once() {
        let mut trouble = Trouble::default();
        assert!(!trouble.ends(), "it has not begun");
        assert!(trouble.is_to_be_told());
        assert!(!trouble.is_to_be_told());
        assert!(trouble.ends() && !trouble.ends());
        assert!(!trouble.is_to_be_told(), "it comes and goes");
        assert!(!trouble.ends(), "its beginning was not told");
        tokio::time::advance(TOLD_EVERY).await;
        assert!(trouble.is_to_be_told());
    }
}
