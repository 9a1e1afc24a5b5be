//! A keep-alive connection that reads complete answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A keep-alive connection.
pub struct Client(TcpStream);

impl Client {
    pub fn new(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// The status and the body; an error if the connection ends earlier.
    pub fn exchange(&mut self, request: &str) -> std::io::Result<(u16, String)> {
        self.0.write_all(request.as_bytes())?;
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65536]);
        loop {
            let count = self.0.read(&mut buffer)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend(&buffer[..count]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok((head[9..12].parse().unwrap(), body.to_owned()));
            }
        }
    }
}
