//! A server that asks for credentials and records those it receives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Listens until it is dropped.
pub struct Listener {
    pub address: SocketAddr,
    shown: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// Sent to stop the listener.
const STOP: &[u8] = b"STOP\r\n\r\n";

impl Listener {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let keeper = shown.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&mut stream);
                if request.as_bytes() == STOP {
                    return;
                }
                let header = request.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
                });
                let (status, body) =
                    if header.is_some() { ("200 OK", "{\"username\":\"me\"}") } else { ("401 No", "") };
                keeper.lock().unwrap().extend(header);
                let length = body.len();
                let head = "WWW-Authenticate: Basic realm=\"x\"\r\nContent-Type: application/json\r\nConnection: close";
                let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
            }
        });
        Self { address, shown, thread: Some(thread) }
    }

    /// The last `Authorization` header since the previous call.
    pub fn shown(&self) -> Option<String> {
        std::mem::take(&mut *self.shown.lock().unwrap()).pop()
    }

    /// The same as `user:password`, if the scheme is Basic.
    pub fn shown_basic(&self) -> Option<String> {
        let shown = self.shown()?;
        let pair = STANDARD.decode(shown.strip_prefix("Basic ").expect("Basic")).unwrap();
        Some(String::from_utf8(pair).unwrap())
    }
}

/// Reads the head of a request; less if it is not HTTP, for example TLS.
fn read(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut request, mut buffer) = (Vec::<u8>::new(), [0; 8192]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend(&buffer[..count]);
        if !request[0].is_ascii_uppercase() || request.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

impl Drop for Listener {
    fn drop(&mut self) {
        let stopped = TcpStream::connect(self.address).and_then(|mut stream| stream.write_all(STOP));
        if let (Ok(()), Some(thread)) = (stopped, self.thread.take()) {
            let _ = thread.join();
        }
    }
}
