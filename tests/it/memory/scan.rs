//! Another process's writable memory, as the kernel shows it to root.

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt as _;

/// The memory of one process.
pub struct Memory {
    maps: String,
    mem: File,
}

impl Memory {
    /// The memory of the process with this id. Needs root, because the process is not dumpable.
    pub fn of(process: u32) -> Self {
        let maps = read_to_string(format!("/proc/{process}/maps")).unwrap();
        Self { maps, mem: File::open(format!("/proc/{process}/mem")).unwrap() }
    }

    /// The mappings that contain a text, each with the count and the surroundings of the first one.
    pub fn occurrences_of(&self, text: &str) -> Vec<String> {
        let mut places = Vec::new();
        let mut scanned = 0;
        let is_writable = |line: &&str| line.split_whitespace().nth(1).is_some_and(|flags| flags.starts_with("rw"));
        for line in self.maps.lines().filter(is_writable) {
            let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
            let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            // Pages of the kernel cannot be read.
            let Ok(length) = self.mem.read_at(&mut bytes, from) else { continue };
            scanned += length;
            let found = positions(&bytes[..length], text.as_bytes());
            if let Some(first) = found.first() {
                let around = &bytes[first.saturating_sub(80)..(first + 80).min(length)];
                places.push(format!("{line}: {} times, first in {}", found.len(), around.escape_ascii()));
            }
        }
        assert!(scanned > 1 << 20, "only {scanned} bytes could be read");
        places
    }
}

/// The offsets of `wanted` in `bytes`. The first byte is searched alone, because it is rare in most of the memory.
fn positions(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == wanted[0]).map(|(at, _)| at);
    starts.filter(|at| bytes[*at..].starts_with(wanted)).collect()
}
