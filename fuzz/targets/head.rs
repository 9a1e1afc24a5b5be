//! Request heads: an accepted head is unambiguous. Compared with the parser that reads it next, and with a second
//! implementation of RFC 9112.
#![no_main]

use claviger::http::fuzzing::scanned;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let shown = scanned(bytes, usize::MAX);
    for size in [1, 2, 7] {
        assert_eq!(scanned(bytes, size), shown, "it matters how the bytes come");
    }
    let changed: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != shown[*at]).collect();
    assert!(changed.len() <= 1 && changed.iter().all(|at| shown[*at] == 0));
    let mut rest = &shown[..];
    while let Some(next) = after_request(rest) {
        rest = next;
    }
});

/// Parses one request as the server does, checks it, and returns the rest; `None` if it is not a request.
fn after_request(bytes: &[u8]) -> Option<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return None };
    let head = &bytes[..length];
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(at.checked_sub(1).map(|before| head[before]), Some(b'\r'), "a bare LF"),
            b'\r' => assert_eq!(head.get(at + 1), Some(&b'\n'), "a bare CR"),
            _ => {}
        }
    }
    assert!(!request.path.is_some_and(|target| target.contains('#')), "a fragment");
    let values = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|one| one.value).collect()
    };
    let lengths = values("content-length");
    assert!(lengths.len() <= 1, "two lengths");
    if !values("transfer-encoding").is_empty() {
        // Refused in any case, and the connection is closed.
        return None;
    }
    let body = match lengths.first() {
        None => 0,
        Some(digits) => {
            assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "a length that is no number");
            std::str::from_utf8(digits).ok()?.parse::<u64>().expect("a length beyond 64 bits")
        }
    };
    bytes[length..].get(usize::try_from(body).ok()?..)
}
