//! Checkpoints: lines on standard output with the head of this replica's chain. Someone who can write to the database cannot
//! change them.

use super::chain::Head;
use super::known_events::{CHECKPOINT_TYPE, PRUNED_TYPE};
use crate::wire::shell_safe_json;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The interval of checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct CheckpointLine<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    time: &'a str,
    chain: &'a str,
    seq: i64,
    hash: &'a str,
}

/// Prints the head after it has changed, at most once a minute, and the last head when the writer ends.
pub async fn print_checkpoints(mut heads: watch::Receiver<Head>, print: impl Fn(String)) {
    let mut due = None;
    loop {
        tokio::select! {
            changed = heads.changed() => {
                if changed.is_err() {
                    break;
                }
                due.get_or_insert_with(|| Instant::now() + CHECKPOINT_INTERVAL);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                print(checkpoint_line(&heads.borrow()));
            }
        }
    }
    if due.is_some() {
        print(checkpoint_line(&heads.borrow()));
    }
}

fn checkpoint_line(head: &Head) -> String {
    line(CHECKPOINT_TYPE, &head.time, &head.chain, head.seq, &head.hash)
}

/// The line about the last deleted event of a chain.
pub fn pruned_line(time: &str, chain: &str, seq: i64, hash: &str) -> String {
    line(PRUNED_TYPE, time, chain, seq, hash)
}

fn line(kind: &str, time: &str, chain: &str, seq: i64, hash: &str) -> String {
    // Serializing texts and a number cannot fail.
    shell_safe_json::to_string(&CheckpointLine { kind, time, chain, seq, hash }).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn head(seq: i64) -> Head {
        Head { chain: "c".into(), seq, hash: "h".into(), time: "2026-01-01T00:00:00.000000Z".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_head_is_printed_once_a_minute_and_at_the_end() {
        let heads = watch::Sender::new(head(0));
        let printed = Arc::new(Mutex::new(Vec::new()));
        let lines = printed.clone();
        let printer =
            tokio::spawn(print_checkpoints(heads.subscribe(), move |line| lines.lock().expect("whole").push(line)));
        let count = || printed.lock().expect("whole").len();
        tokio::time::sleep(CHECKPOINT_INTERVAL * 3).await;
        assert_eq!(count(), 0, "the head has not changed");
        for seq in 1..=90 {
            heads.send_replace(head(seq));
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!((2..=3).contains(&count()), "{}", count());
        tokio::time::sleep(CHECKPOINT_INTERVAL * 3).await;
        assert_eq!(count(), 3);
        heads.send_replace(head(91));
        drop(heads);
        printer.await.expect("no panic");
        let printed = printed.lock().expect("whole");
        let last =
            r#"{"type":"audit.checkpoint","time":"2026-01-01T00:00:00.000000Z","chain":"c","seq":91,"hash":"h"}"#;
        assert_eq!(printed.last().map(|line| line.trim_end()), Some(last));
        assert_eq!(printed.len(), 4);
    }
}
