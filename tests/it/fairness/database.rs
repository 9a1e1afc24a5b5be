//! The database: its connections, and the load by unknown tickets.

use super::{assert_fair, in_memory, in_postgres, send_from};
use claviger::model::ticket::TicketToken;
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::time::Duration;

fn unknown_ticket_path() -> String {
    format!("/v1/downloads/{}", *TicketToken::random().unwrap().to_url_segment())
}

/// How often a ticket's row was looked up.
fn count_lookups(url: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The server updates its statistics a second late.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut connection = PgConnection::connect(url).await.unwrap();
        let scans = "SELECT coalesce(idx_scan, 0) FROM pg_stat_user_indexes WHERE indexrelname = 'tickets_pkey'";
        sqlx::query_scalar(scans).fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn unknown_tickets_from_one_address_cause_few_look_ups_and_block_no_download() {
    let (server, url) = in_postgres();
    let path = server.new_download_path();
    let before = count_lookups(&url);
    let attempts = assert_fair(&server, &server.issuer, None, |_| {
        let status = send_from(&server, "203.0.113.7", "GET", &unknown_ticket_path(), None, "").status;
        assert!([404, 429].contains(&status), "{status}");
    });
    let cost = usize::try_from(count_lookups(&url) - before).unwrap();
    // The honest load is 240 tickets, each of which is looked up, reserved and ended.
    let honest = 2 * super::CALLERS * super::ROUNDS * 4;
    assert!(attempts > 400 && cost < honest + attempts / 2 + 200, "{cost} look-ups for {attempts} unknown tickets");
    assert_eq!(server.download(&path).status, 200);
}

#[test]
fn unknown_tickets_do_not_block_downloads_from_the_same_address() {
    const SHARED: &str = "203.0.113.7";
    for server in [in_memory(), in_postgres().0] {
        let mine = server.issuer.token(&json!({"sub": "hostile"}));
        let issued = send_from(&server, SHARED, "POST", "/v1/tickets", Some(&mine), "repo=site&branch=main");
        let path = crate::rig::claviger::download_path(&issued);
        // An existing ticket with invented keys.
        let wrong = format!("{}.{}", path.split_once('.').unwrap().0, "A".repeat(43));
        let attempts = assert_fair(&server, &server.issuer, Some(SHARED), |number| {
            let path = if number % 2 == 0 { unknown_ticket_path() } else { wrong.clone() };
            let status = send_from(&server, SHARED, "GET", &path, None, "").status;
            assert!([404, 429].contains(&status), "{status}");
        });
        assert!(attempts > 100, "{attempts}");
        // A client that shows an invalid ticket must wait a second before it tries again.
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(send_from(&server, SHARED, "GET", &path, None, "").status, 200);
    }
}
