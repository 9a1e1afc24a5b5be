//! The last segment of a one-time URL: each ticket has exactly one spelling.
#![no_main]

use claviger::model::ticket::TicketToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(token) = text.parse::<TicketToken>() else {
        return;
    };
    assert_eq!(*token.to_url_segment(), text);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    let shown = format!("{token:?} {}", token.ticket_id());
    let (id, key) = text.split_once('.').expect("a dot");
    assert!(!shown.contains(id) && !shown.contains(key), "the public id tells the URL");
});
