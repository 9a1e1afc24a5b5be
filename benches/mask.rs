//! Measures the masking of a build's output. `cargo bench --bench mask`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use claviger::leaks::{Mask, Needles};
use claviger::model::secret::SecretValue;
use std::fmt::Write as _;
use std::time::Duration;

/// The promised minimum, in bytes per second.
const SLOWEST: u128 = 200_000_000;
const BYTES: usize = 512 << 20;

fn main() {
    let log = log();
    for count in [1, 20, 200] {
        let values: Vec<_> = (0..count).map(value).collect();
        let (needles, short) = Needles::new(values.iter().map(|(name, value)| (name.as_str(), value)), 4, 8).unwrap();
        assert!(short.is_empty());
        let began = on_cpu();
        let (mut mask, mut shown, mut out) = (Mask::new(&needles), 0, Vec::new());
        for _ in 0..BYTES / log.len() {
            // The capacity of a pipe.
            for piece in log.chunks(64 * 1024) {
                mask.feed(piece, &mut out);
                shown += std::hint::black_box(&out).len();
                out.clear();
            }
        }
        mask.finish(&mut out);
        let speed = (BYTES / log.len() * log.len()) as u128 * 1000 / on_cpu().saturating_sub(began).as_millis();
        println!("{count} values: {} MB/s, {shown} bytes shown", speed / 1_000_000);
        assert!(speed > SLOWEST, "{speed}");
    }
}

/// CPU time of this thread; other load on the machine does not count.
fn on_cpu() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// A token; every tenth value is a key of several lines.
fn value(number: usize) -> (String, SecretValue) {
    let mut text = format!("ghp_{:032x}", number * 0x9e37_79b9_7f4a_7c15_usize % 0xffff_ffff_ffff);
    if number % 10 == 9 {
        text = (0..20)
            .fold("-----BEGIN KEY-----\n".to_owned(), |text, line| text + &format!("{number}/{line}+{line:060}\n"));
    }
    (format!("K{number}"), SecretValue::new(text))
}

/// Lines as builds print them; every thousandth contains a value.
fn log() -> Vec<u8> {
    let mut text = String::new();
    for line in 0..40_000 {
        writeln!(text, "#12 {line}.311 npm http fetch GET 200 https://registry.example/@scope%2fpackage-{line} {line}ms (cache hit)").unwrap();
        if line % 1000 == 0 {
            writeln!(text, "Authorization: Bearer ghp_{:032x}", 0).unwrap();
        }
    }
    text.into_bytes()
}
