//! Slow connections, a fixed number of each shape; each is reopened after the server has closed it.

use super::Parameters;
use super::honest::trusting;
use crate::rig::oidc::TestServer;
use futures_util::future::join_all;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// The behaviour of a slow connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Connects and sends nothing, not even a TLS handshake.
    Silent,
    /// Sends half of a request line, or half of a `ClientHello`.
    Half,
    /// Sends its headers byte by byte.
    HeadDripped,
    /// Announces a body and never sends it.
    BodyNever,
    /// Sends the body byte by byte.
    BodyDripped,
    /// Stays open after an answer.
    Idle,
    /// Sends requests repeatedly and reads no answer.
    Unread,
    /// The same, but reads a little once a second.
    Sipped,
}

impl Shape {
    pub const ALL: [Self; 8] = [
        Self::Silent,
        Self::Half,
        Self::HeadDripped,
        Self::BodyNever,
        Self::BodyDripped,
        Self::Idle,
        Self::Unread,
        Self::Sipped,
    ];
}

/// The results for the connections of one shape.
#[derive(Debug, Default)]
pub struct ShapeResult {
    pub closed: u32,
    pub longest: Duration,
    pub wrong: Vec<String>,
}

/// The head of a TLS record and of a `ClientHello`.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
/// Small, so that only little of an answer is in transit.
const RECEIVED: u32 = 4096;
/// More answers than the buffers of both ends hold.
const REQUESTS: usize = 60;
const ANSWER: usize = 100_000;
/// Bytes per read; one read a second is an eighth of the rate that the server requires.
const SIP: usize = 2048;

pub struct Attack {
    api: SocketAddr,
    tls: Option<TlsConnector>,
    post: String,
    parameters: Parameters,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Attack {
    pub fn new(server: &TestServer, certificate: Option<CertificateDer<'static>>, parameters: Parameters) -> Self {
        let bearer = server.issuer.token(&json!({}));
        let post = format!(
            "POST /v1/tickets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        );
        Self { api: server.api, tls: certificate.map(|one| TlsConnector::from(trusting(one))), post, parameters }
    }

    /// Keeps the planned number of connections open until stopped, then waits until the server has closed them all.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) -> BTreeMap<String, ShapeResult> {
        let slots =
            Shape::ALL.into_iter().flat_map(|shape| (0..self.parameters.of_each).map(move |number| (shape, number)));
        let slots = slots.map(|(shape, number)| {
            let (attack, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move { (shape, attack.slot(shape, number, &stop).await) })
        });
        let mut held: BTreeMap<String, ShapeResult> = BTreeMap::new();
        for slot in join_all(slots.collect::<Vec<_>>()).await {
            let (shape, one) = slot.unwrap();
            let all = held.entry(format!("{shape:?}")).or_default();
            all.closed += one.closed;
            all.longest = all.longest.max(one.longest);
            all.wrong.extend(one.wrong);
        }
        held
    }

    async fn slot(&self, shape: Shape, number: u32, stop: &watch::Receiver<bool>) -> ShapeResult {
        let mut held = ShapeResult::default();
        // Starts are spread over time.
        sleep(self.parameters.header_timeout * number / self.parameters.of_each).await;
        while !*stop.borrow() && held.wrong.is_empty() {
            match self.once(shape).await {
                Ok(took) => {
                    held.closed += 1;
                    held.longest = held.longest.max(took);
                }
                Err(wrong) => held.wrong.push(wrong),
            }
        }
        held
    }

    /// One connection from start to end; returns how long the server kept it open.
    async fn once(&self, shape: Shape) -> Result<Duration, String> {
        let mut plain = self.connect(shape).await.map_err(|error| format!("not connected: {error}"))?;
        let (header, request) = (self.parameters.header_timeout, self.parameters.request_timeout);
        if shape == Shape::Silent {
            return self.until_closed(&mut plain, header, "").await.map(|(took, _)| took);
        }
        if shape == Shape::Half && self.tls.is_some() {
            plain.write_all(HALF_A_HELLO).await.map_err(|error| format!("no half a hello: {error}"))?;
            return self.until_closed(&mut plain, header, "").await.map(|(took, _)| took);
        }
        let started = Instant::now();
        // A handshake that a busy machine does not finish in time is one more slow connection that is closed.
        let Ok(mut stream) = self.tls_handshake(plain).await else { return Ok(started.elapsed()) };
        let start = match shape {
            Shape::Silent | Shape::Half => "GET /v1/ti".to_owned(),
            Shape::HeadDripped => "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(),
            Shape::BodyNever | Shape::BodyDripped => self.post.clone(),
            Shape::Idle => "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Shape::Unread | Shape::Sipped => "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(REQUESTS),
        };
        stream.write_all(start.as_bytes()).await.map_err(|error| format!("nothing said: {error}"))?;
        stream.flush().await.map_err(|error| format!("nothing said: {error}"))?;
        let (limit, drip, answer) = match shape {
            Shape::Unread => return self.left_unread(&mut stream, 0).await,
            Shape::Sipped => return self.left_unread(&mut stream, SIP).await,
            Shape::Silent | Shape::Half => (header, "", ""),
            Shape::HeadDripped => (header, "X-A: b\r\n", ""),
            Shape::BodyNever => (request, "", "HTTP/1.1 408 "),
            Shape::BodyDripped => (request, " ", "HTTP/1.1 408 "),
            Shape::Idle => (header, "", "HTTP/1.1 404 "),
        };
        let (took, said) = self.until_closed(&mut stream, limit, drip).await?;
        let said = String::from_utf8_lossy(&said);
        // A byte that arrives after the answer makes the kernel discard what was not read yet.
        let taken_back = said.is_empty() && !drip.is_empty();
        if said.starts_with(answer) || taken_back { Ok(took) } else { Err(format!("it said {said:?}")) }
    }

    /// Connects from an address for this shape only, so that ports do not run out.
    async fn connect(&self, shape: Shape) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if matches!(shape, Shape::Unread | Shape::Sipped) {
            socket.set_recv_buffer_size(RECEIVED)?;
        }
        socket.bind((IpAddr::from(Ipv4Addr::new(127, 0, 0, 2 + shape as u8)), 0).into())?;
        socket.connect(self.api).await
    }

    async fn tls_handshake(&self, plain: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        let Some(connector) = &self.tls else { return Ok(Box::new(plain)) };
        Ok(Box::new(connector.connect(ServerName::from(self.api.ip()), plain).await?))
    }

    /// Reads, and sends one byte of `drip` now and then, until the server closes. Returns how long that took and
    /// what the server sent.
    async fn until_closed(
        &self,
        stream: &mut (impl Stream + ?Sized),
        limit: Duration,
        drip: &str,
    ) -> Result<(Duration, Vec<u8>), String> {
        let started = Instant::now();
        let (mut said, mut buffer) = (Vec::new(), [0; 1024]);
        let mut drips = drip.as_bytes().iter().cycle();
        loop {
            let took = started.elapsed();
            match timeout(limit / 5, stream.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) => said.extend(&buffer[..count]),
                Ok(Ok(0) | Err(_)) => return Ok((started.elapsed(), said)),
                Err(_) if took > limit + self.parameters.grace => return Err(format!("open after {took:?}")),
                Err(_) => {
                    if let Some(byte) = drips.next()
                        && stream.write_all(&[*byte]).await.is_err()
                    {
                        return Ok((started.elapsed(), said));
                    }
                }
            }
        }
    }

    /// Reads `sip` bytes a second until the server must have closed, then reads the rest of the buffers; the
    /// answer must be incomplete.
    async fn left_unread(&self, stream: &mut (impl Stream + ?Sized), sip: usize) -> Result<Duration, String> {
        let started = Instant::now();
        let mut buffer = [0; SIP];
        let mut read = 0;
        while started.elapsed() < self.parameters.request_timeout + self.parameters.grace {
            sleep(Duration::from_secs(1)).await;
            if sip > 0 {
                match stream.read(&mut buffer[..sip]).await {
                    Ok(count @ 1..) => read += count,
                    Ok(0) | Err(_) => return Ok(started.elapsed()),
                }
            }
        }
        let took = started.elapsed();
        let drained = timeout(self.parameters.grace, async {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                read += count;
            }
        });
        let ended = drained.await.is_ok();
        if ended && read < REQUESTS * ANSWER {
            Ok(took)
        } else {
            Err(format!("{read} bytes came, and an end: {ended}"))
        }
    }
}
