//! A fake server for faults that the real one cannot be made to have: it hangs, gives wrong answers, and closes
//! connections.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The last part of its ticket URLs.
pub const TICKET: &str = "AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// A bundle of two keys.
pub const BUNDLE: &str = "export A='one'\nexport B='two'\n# claviger: 2 keys\n";

/// The answer of a fake; `None` hangs.
type Answering = dyn Fn(&Fake, &str, usize) -> Option<Vec<u8>>;

/// A running fake. Its thread ends with the test process.
pub struct Fake {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers each request with the result of `answer`, which gets the request's text and the number of preceding
    /// requests of the same kind (issue or redeem). The connection is closed after each answer.
    pub fn start(answer: impl Fn(&Fake, &str, usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let (inside, answer) = (fake.twin(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().take(1000).flatten() {
                let (fake, answer) = (inside.twin(), answer.clone());
                thread::spawn(move || fake.serve(stream, &*answer));
            }
        });
        fake
    }

    fn twin(&self) -> Self {
        Self { address: self.address, requests: self.requests.clone() }
    }

    fn serve(&self, mut stream: TcpStream, answer: &Answering) {
        let mut request = Vec::new();
        let mut buffer = [0; 8192];
        while !is_whole(&request) {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => request.extend(&buffer[..count]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).unwrap();
        let before = {
            let mut requests = self.requests.lock().unwrap();
            let method = &request[..4];
            let before = requests.iter().filter(|other| other.starts_with(method)).count();
            requests.push(request.clone());
            before
        };
        match answer(self, &request, before) {
            Some(bytes) => drop(stream.write_all(&bytes)),
            // It hangs until the client closes the connection.
            None => while matches!(stream.read(&mut buffer), Ok(1..)) {},
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of its one ticket.
    pub fn ticket_url(&self) -> String {
        format!("{}/v1/downloads/{TICKET}", self.url())
    }

    /// The requests to redeem that it received.
    pub fn redemptions(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with("GET ")).cloned().collect()
    }

    /// How many requests for a ticket it received.
    pub fn asked(&self) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with("POST ")).count()
    }

    /// The valid answer to a request for a ticket.
    pub fn ticket(&self) -> Vec<u8> {
        receipt(&self.ticket_url(), r#"["A","B"]"#)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    request.len() >= end + 4 + length
}

/// An answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    (text + "\r\n" + body).into_bytes()
}

/// A `201` with this URL and these key names.
pub fn receipt(url: &str, keys: &str) -> Vec<u8> {
    answer(201, &[("Content-Type", "application/json")], &format!(r#"{{"ticketId":"x","url":"{url}","keys":{keys}}}"#))
}

/// A problem.
pub fn problem(status: u16, code: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let body = format!(r#"{{"type":"about:blank","title":"Oh.","status":{status},"code":"{code}"}}"#);
    answer(status, &[&[("Content-Type", "application/problem+json"), ("X-Request-Id", "r-1")], headers].concat(), &body)
}

/// The valid answer to a redemption, with changed headers.
pub fn bundle(changes: &[(&str, Option<&str>)], body: &str) -> Vec<u8> {
    let digest = format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, body.as_bytes())));
    let mut headers = vec![("Content-Type", "text/plain; charset=utf-8"), ("Repr-Digest", &digest)];
    for (name, value) in changes {
        headers.retain(|(other, _)| other != name);
        headers.extend(value.map(|value| (*name, value)));
    }
    answer(200, &headers, body)
}
