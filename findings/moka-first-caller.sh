#!/usr/bin/env bash
# Software: moka 0.12.16 (Rust), its feature `future`.
# Expected: `Cache::get_with` runs the future that makes a value once for all callers who ask for one key at the same time.
# Seen: the future belongs to the caller that came first. If that caller is dropped while it waits, as a request is whose client hangs up,
#   the next caller starts its own future from the beginning: two runs for one value.
# Why it matters: where the future creates a credential, a client that hangs up costs a second credential that nothing revokes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2024"
[dependencies]
moka = { version = "=0.12.16", features = ["future"] }
tokio = { version = "1", features = ["macros", "rt", "time"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

async fn make(runs: Arc<AtomicUsize>) -> u8 {
    runs.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    7
}

async fn runs(first_is_dropped: bool) -> usize {
    let cache: moka::future::Cache<u8, u8> = moka::future::Cache::new(8);
    let runs = Arc::new(AtomicUsize::new(0));
    let ask = || {
        let (cache, runs) = (cache.clone(), runs.clone());
        tokio::spawn(async move { cache.get_with(1, make(runs)).await })
    };
    let first = ask();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = ask();
    tokio::time::sleep(Duration::from_millis(50)).await;
    if first_is_dropped {
        first.abort();
    }
    assert_eq!(second.await.unwrap(), 7);
    runs.load(Ordering::SeqCst)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{} {}", runs(false).await, runs(true).await);
}
RUST
seen=$(cd "$work" && cargo run --quiet)
echo "runs, when both callers stay and when the first is dropped: $seen"
[ "$seen" = '1 2' ]
