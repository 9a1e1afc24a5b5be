//! The outward contract: the exact answers of the binary on its listeners, to valid and invalid requests.

mod address_families;
mod bearers;
mod binding;
mod bodies;
mod chain;
mod direct;
mod download;
mod events;
mod issue;
mod limits;
mod many_connections;
mod names;
mod one_event_each;
mod racing;
mod refused;
mod shadow;
mod slow;
mod smuggling;
mod spelling;
mod transport;
mod truncated;
mod unwritable;

use crate::rig::http::Answer;

/// Checks a problem exactly: its status, its code, and the headers that belong to them.
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer:?}");
    let challenge = (status == 401).then(|| "Bearer".to_owned());
    assert_eq!(answer.header("www-authenticate"), challenge, "{answer:?}");
    let worth_retrying = matches!(status, 429 | 503);
    assert_eq!(answer.header("retry-after").is_some(), worth_retrying, "{answer:?}");
    assert_eq!(answer.header("location"), None, "{answer:?}");
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32, "{answer:?}");
}
