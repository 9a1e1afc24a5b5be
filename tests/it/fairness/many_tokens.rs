//! Rates and counts: a caller who can create any number of tokens counts as one caller.

use super::{assert_fair, in_memory, send_from};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_tokens_of_one_subject_share_one_limit() {
    let server = in_memory();
    let (had, limited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    assert_fair(&server, &server.issuer, None, |_| {
        let token = server.issuer.token(&json!({"sub": "minter"}));
        match send_from(&server, "203.0.113.7", "POST", "/v1/tickets", Some(&token), "repo=site&branch=main&ttl=1s")
            .status
        {
            201 => had.fetch_add(1, Ordering::Relaxed),
            429 => limited.fetch_add(1, Ordering::Relaxed),
            other => panic!("{other}"),
        };
    });
    assert!(had.load(Ordering::Relaxed) > 0);
    // Only its own excess requests were refused.
    assert!(server.sum("claviger_tickets_issued_total") >= 240);
}
