//! Scans the raw bytes of request heads for ambiguities that the parser silently accepts: a second
//! `Content-Length`, lines that end in a bare LF or CR, a fragment in the target. Two servers could read such a
//! request differently.
//!
//! The first byte that makes a head ambiguous is overwritten with a NUL. The parser then refuses the request with `400` and closes
//! the connection, after the responses to earlier pipelined requests.

use memchr::{memchr2, memchr3};
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
/// One more than the longest name that matters: longer names need not be distinguished.
const NAME_BYTES: usize = TRANSFER_ENCODING.len() + 1;

/// A stream whose incoming heads are scanned.
pub struct Scanned<S> {
    stream: S,
    scan: Scan,
}

impl<S> Scanned<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, scan: Scan::default() }
    }
}

/// The position of the next byte in a request.
#[derive(Debug, Clone, Copy, Default)]
enum Position {
    /// Before a request, where empty lines are allowed.
    #[default]
    Before,
    RequestLine,
    Name {
        seen: [u8; NAME_BYTES],
        len: usize,
    },
    Value,
    /// The value of `Content-Length`; a space ends the digits.
    Length {
        digits: Option<u64>,
        ended: bool,
    },
    Body(u64),
    /// No request follows: the connection will be closed.
    Stopped,
}

/// The state of the scan of one connection.
#[derive(Debug, Default)]
pub(super) struct Scan {
    position: Position,
    /// Whether the last byte was a CR, which only LF may follow.
    after_cr: bool,
    /// The `Content-Length` of the head so far.
    length: Option<u64>,
    has_transfer_encoding: bool,
}

/// The byte is not allowed at its position.
struct InvalidByte;

impl Scan {
    /// Scans the next bytes of a connection, and overwrites the first one that is not allowed at its position.
    pub(super) fn scan(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.position {
                Position::Stopped => return,
                Position::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    let left = left - here as u64;
                    self.position = if left == 0 { Position::Before } else { Position::Body(left) };
                }
                _ => {
                    at += self.skippable_length(&bytes[at..]);
                    let Some(byte) = bytes.get_mut(at) else { return };
                    if self.step(*byte).is_err() {
                        *byte = 0;
                        self.position = Position::Stopped;
                    }
                    at += 1;
                }
            }
        }
    }

    /// The number of bytes for which [`Self::step`] would change nothing: most of a head, as paths and bearer tokens are long.
    fn skippable_length(&self, bytes: &[u8]) -> usize {
        if self.after_cr {
            return 0;
        }
        let end = match self.position {
            Position::RequestLine => memchr3(b'\r', b'\n', b'#', bytes),
            Position::Value => memchr2(b'\r', b'\n', bytes),
            _ => Some(0),
        };
        end.unwrap_or(bytes.len())
    }

    /// Moves the position by one byte. Fails if the byte is not allowed there.
    fn step(&mut self, byte: u8) -> std::result::Result<(), InvalidByte> {
        match (std::mem::take(&mut self.after_cr), byte) {
            (true, b'\n') => return self.end_of_line(),
            (true, _) | (false, b'\n') => return Err(InvalidByte),
            (false, b'\r') => {
                self.after_cr = true;
                return Ok(());
            }
            _ => {}
        }
        match &mut self.position {
            Position::Before | Position::RequestLine if byte == b'#' => return Err(InvalidByte),
            Position::Before => self.position = Position::RequestLine,
            Position::Name { seen, len } if byte == b':' => {
                self.position = match &seen[..*len] {
                    CONTENT_LENGTH if self.length.is_some() => return Err(InvalidByte),
                    CONTENT_LENGTH => Position::Length { digits: None, ended: false },
                    TRANSFER_ENCODING => {
                        self.has_transfer_encoding = true;
                        Position::Value
                    }
                    _ => Position::Value,
                };
            }
            Position::Name { seen, len } => {
                if let Some(free) = seen.get_mut(*len) {
                    *free = byte.to_ascii_lowercase();
                    *len += 1;
                }
            }
            Position::Length { digits, ended } => match byte {
                b' ' | b'\t' => *ended = digits.is_some(),
                b'0'..=b'9' if !*ended => {
                    let number =
                        digits.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0')));
                    *digits = Some(number.ok_or(InvalidByte)?);
                }
                _ => return Err(InvalidByte),
            },
            Position::RequestLine | Position::Value | Position::Body(_) | Position::Stopped => {}
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> std::result::Result<(), InvalidByte> {
        const NAME: Position = Position::Name { seen: [0; NAME_BYTES], len: 0 };
        self.position = match self.position {
            Position::Name { len: 0, .. } => self.after_head(),
            Position::Name { .. } | Position::Length { digits: None, .. } => return Err(InvalidByte),
            Position::Length { digits, .. } => {
                self.length = digits;
                NAME
            }
            Position::RequestLine | Position::Value => NAME,
            other @ (Position::Before | Position::Body(_) | Position::Stopped) => other,
        };
        Ok(())
    }

    fn after_head(&mut self) -> Position {
        let (length, has_transfer_encoding) =
            (self.length.take().unwrap_or(0), std::mem::take(&mut self.has_transfer_encoding));
        match length {
            // `request_guard` refuses such a request in any case.
            _ if has_transfer_encoding => Position::Stopped,
            0 => Position::Before,
            length => Position::Body(length),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Scanned<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.scan.scan(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Scanned<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The position of the NUL, if one was written. It must not depend on the size of the pieces.
    fn nul_position(text: &str) -> Option<usize> {
        let positions = [text.len().max(1), 3, 1].map(|size| {
            let mut bytes = text.as_bytes().to_vec();
            let mut scan = Scan::default();
            bytes.chunks_mut(size).for_each(|piece| scan.scan(piece));
            bytes.iter().zip(text.bytes()).position(|(now, before)| *now != before)
        });
        assert_eq!([positions[0]; 3], positions, "{text:?}");
        positions[0]
    }

    #[test]
    fn pipelined_requests_pass() {
        let get = "GET /a?b HTTP/1.1\r\nHost: a\r\nX: #\r\n\r\n";
        let post = "POST /a HTTP/1.1\r\ncontent-length:\t 12 \r\nHost: a\r\n\r\na\nb\r\r\n\r\n#\nde";
        let empty = "POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        for text in ["", get, post, &format!("{get}\r\n{post}{empty}{get}{post}")] {
            assert_eq!(nul_position(text), None, "{text:?}");
        }
    }

    #[test]
    fn ambiguous_heads_are_found() {
        let head = "GET /a HTTP/1.1\r\n";
        for (lines, offset) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 33),
            ("Content-Length: 0\r\ncontent-LENGTH: 0\r\n\r\n", 33),
            ("Content-Length: 1, 1\r\n\r\n", 17),
            ("Content-Length: 1 1\r\n\r\n", 18),
            ("Content-Length: +1\r\n\r\n", 16),
            ("Content-Length: \r\n\r\n", 17),
            ("Content-Length: 18446744073709551616\r\n\r\n", 35),
            ("Host: a\n\r\n", 7),
            ("Host: a\r\n\n", 9),
            ("X: a\rb\r\n", 5),
            ("no colon\r\n", 9),
        ] {
            assert_eq!(nul_position(&format!("{head}{lines}")), Some(head.len() + offset), "{lines:?}");
        }
        assert_eq!(nul_position("GET /a#b HTTP/1.1\r\n"), Some(6));
        assert_eq!(nul_position("GET /a HTTP/1.1\n"), Some(15));
        // The head of a second request is scanned, too.
        assert_eq!(nul_position(&format!("{head}Content-Length: 1\r\n\r\n#GET /a#")), Some(head.len() + 21 + 7));
    }

    #[test]
    fn nothing_after_a_transfer_coding_is_scanned() {
        assert_eq!(nul_position("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n#\n"), None);
    }
}
