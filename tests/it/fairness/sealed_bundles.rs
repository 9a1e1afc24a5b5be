//! The memory for sealed bundles.

use super::{assert_fair, in_memory, in_postgres, send_from};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_sealed_bytes_of_one_caller_are_limited() {
    for server in [in_memory(), in_postgres().0] {
        let hoarder = server.issuer.token(&json!({"sub": "hoarder", "jti": "one"}));
        let had = AtomicUsize::new(0);
        assert_fair(&server, &server.issuer, None, |_| {
            let form = "repo=large&branch=main&ttl=15m";
            match send_from(&server, "203.0.113.7", "POST", "/v1/tickets", Some(&hoarder), form).status {
                201 => drop(had.fetch_add(1, Ordering::Relaxed)),
                status => assert_eq!(status, 429),
            }
        });
        // 32 MiB of bundles with 900 kB each.
        let had = had.load(Ordering::Relaxed);
        assert!((1..=37).contains(&had), "{had}");
    }
}
