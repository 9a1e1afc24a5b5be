//! A client that sends exactly the given bytes, with one connection per request.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A raw answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The values of a header, joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error code of a problem, after an exact check of the problem document.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type").as_deref(), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes, and reads until the server closes the connection or is silent for five seconds.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = vec![0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        answer.extend(&buffer[..count]);
    }
    answer
}

/// Sends one request with `Host` and `Connection: close`.
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    parse(&exchange(address, &bytes))
}

/// Parses an answer whose body ends according to `Content-Length`.
pub fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding").as_deref() == Some("chunked") {
        answer.body = decode_chunked(&answer.body);
    }
    if let Some(length) = answer.header("content-length") {
        assert_eq!(answer.body.len(), length.parse::<usize>().unwrap(), "cut: {answer:?}");
    }
    answer
}

/// The content of a chunked body.
fn decode_chunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a whole chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            assert_eq!(&bytes[end..], b"\r\n\r\n");
            return body;
        }
        body.extend(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
}

/// The data received on a connection, and how it ended.
#[derive(Debug)]
pub struct ReceivedBytes {
    pub bytes: Vec<u8>,
    /// Whether the server closed it.
    pub closed: bool,
    /// Time from the last sent byte to its end.
    pub took: Duration,
}

/// Sends bytes, keeps the connection open and reads until the server closes it, for at most `patience`.
pub fn send_and_read(address: SocketAddr, bytes: &[u8], patience: Duration) -> ReceivedBytes {
    let mut stream = TcpStream::connect(address).unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    read_until_closed(&mut stream, patience)
}

/// Reads until the server closes, for at most `patience`.
pub fn read_until_closed(stream: &mut TcpStream, patience: Duration) -> ReceivedBytes {
    let started = Instant::now();
    let mut conversation = ReceivedBytes { bytes: Vec::new(), closed: false, took: Duration::ZERO };
    let mut buffer = vec![0; 65536];
    while let Some(left) = patience.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => conversation.bytes.extend(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // A reset is an end too: the server closed the connection with unread bytes.
            Ok(0) | Err(_) => {
                conversation.closed = true;
                break;
            }
        }
    }
    conversation.took = started.elapsed();
    conversation
}

/// Parses the answers to several requests in a row.
pub fn parse_all(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let whole = (end + length).min(bytes.len());
        answers.push(parse(&bytes[..whole]));
        bytes = &bytes[whole..];
    }
    answers
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Every byte percent-encoded.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| encoded + &format!("%{byte:02X}"))
}

/// Encoded like `encodeURIComponent`.
pub fn percent_encode_for_urls(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded + &char::from(byte).to_string(),
        _ => encoded + &format!("%{byte:02X}"),
    })
}
