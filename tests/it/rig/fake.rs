//! A fake server for faults that a real one cannot be made to have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a request is answered.
#[derive(Clone)]
pub enum Reaction {
    /// A status line, header lines and a body.
    Answer(String, String, String),
    /// These bytes and nothing else.
    Raw(Vec<u8>),
    /// An infinite body, in chunks or with a wrong length.
    Endless,
    /// A body whose announced length is above every limit.
    Huge,
    /// The answer byte by byte, slowly, without end.
    Trickle,
    /// No answer; the connection stays open.
    Silence,
    /// Another reaction, after this delay.
    Delayed(Duration, Box<Reaction>),
    /// The connection is closed.
    HangUp,
}

/// The answers of a correct server.
pub const MOUNT: &str = r#"{"data":{"path":"homelab/","type":"kv","options":{"version":"2"}}}"#;
pub const SECRET: &str = r#"{"data":{"data":{"K":"v"},"metadata":{"version":1}}}"#;
/// The path of the health endpoint.
pub const HEALTH: &str = "/v1/sys/health";
const OWN_TOKEN: &str = r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#;
const GRANTED: &str = r#"{"auth":{"client_token":"s.x","lease_duration":60,"renewable":true}}"#;

/// The answer of a correct server.
pub fn valid_answer(request_line: &str) -> Reaction {
    match request_line.split(' ').nth(1).unwrap() {
        path if path.starts_with("/v1/sys/internal/ui/mounts/") => json(MOUNT),
        path if path.starts_with("/v1/homelab/data/") => json(SECRET),
        path if path.ends_with("/login") => json(GRANTED),
        HEALTH => json("{}"),
        "/v1/auth/token/lookup-self" => json(OWN_TOKEN),
        path => panic!("unexpected request: {path}"),
    }
}

/// A JSON answer with status 200.
pub fn json(body: &str) -> Reaction {
    Reaction::Answer("200 OK".into(), "Content-Type: application/json\r\n".into(), body.into())
}

/// An answer with a status line and without a body.
pub fn status(line: &str) -> Reaction {
    Reaction::Answer(line.into(), String::new(), String::new())
}

/// A running fake; it ends when this is dropped.
pub struct Fake {
    pub address: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts one that chooses the reaction by the request line.
    pub async fn start(decide: impl Fn(&str) -> Reaction + Send + Sync + 'static) -> Self {
        Self::start_by_head(move |head| decide(head.lines().next().unwrap())).await
    }

    /// Starts one that chooses the reaction by the request line and the headers.
    pub async fn start_by_head(decide: impl Fn(&str) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (decide, requests) = (Arc::new(decide), Arc::new(AtomicUsize::new(0)));
        let counter = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (decide, counter) = (decide.clone(), counter.clone());
                tokio::spawn(async move { serve(stream, &*decide, &counter).await });
            }
        });
        Self { address, requests, task }
    }

    /// The number of requests, without health probes.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, decide: &(dyn Fn(&str) -> Reaction + Send + Sync), requests: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    requests.fetch_add(usize::from(!head.contains(HEALTH)), Ordering::SeqCst);
    // Closing a connection with unread data would reset it, and the answer might be lost.
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    // With some reactions the client closes the connection first.
    let _ = react(&mut stream, decide(&head)).await;
}

/// Answers a request that has been read.
pub async fn react(stream: &mut (impl AsyncWrite + Unpin), act: Reaction) -> std::io::Result<()> {
    match act {
        Reaction::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await
        }
        Reaction::Raw(bytes) => stream.write_all(&bytes).await,
        Reaction::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Reaction::Huge => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{").await?;
            std::future::pending().await
        }
        Reaction::Trickle => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Reaction::Silence => std::future::pending().await,
        Reaction::Delayed(wait, act) => {
            tokio::time::sleep(wait).await;
            Box::pin(react(stream, *act)).await
        }
        Reaction::HangUp => Ok(()),
    }
}
