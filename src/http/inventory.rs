//! `GET /v1/inventory`: which policies and secrets are used, for administrators.

use super::audit_query::{parse_decoded, parse_time};
use super::paging::{self, DEFAULT_LIMIT, parse_cursor, parse_limit};
use super::query::parameters;
use super::responses::{ApiError, json};
use crate::broker::{Administrator, Broker, InventoryCursor, Page};
use crate::wire::inventory::Inventory;
use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use std::sync::Arc;

pub(super) struct InventoryQuery {
    since: Option<Timestamp>,
    page: Page<InventoryCursor>,
}

extract!(InventoryQuery, |parts| parse(&parts.uri));

fn parse(uri: &Uri) -> Result<InventoryQuery, ApiError> {
    let [since, limit, after] = parameters(uri, ["since", "limit", "continue"])?;
    let since = parse_decoded(since, |value| parse_time("since", value))?;
    let limit = limit.map(parse_limit).transpose()?.unwrap_or(DEFAULT_LIMIT);
    Ok(InventoryQuery { since, page: Page { after: after.map(parse_cursor).transpose()?, limit } })
}

/// Lists the secrets of all policies with their last use, unused ones first.
#[utoipa::path(
    get,
    path = "/v1/inventory",
    operation_id = "getInventory",
    tag = "audit",
    params(
        ("since" = Option<String>, Query, description = "Start of the period (RFC 3339; default 30 days ago)", format = DateTime),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of the inventory", body = Inventory))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    InventoryQuery { since, page }: InventoryQuery,
) -> Result<Response, ApiError> {
    let mut inventory = broker.inventory(&administrator, since, page).await?;
    inventory.continue_token = inventory.continue_token.as_deref().map(paging::encode_token);
    json(StatusCode::OK, &inventory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Option<InventoryQuery> {
        super::parse(&format!("/?{query}").parse().expect("a target")).ok()
    }

    #[test]
    fn the_query_is_parsed_and_invalid_parameters_are_refused() {
        let cursor = r#"["2026-01-01T00:00:00.000000Z","p","s","a/{repo}"]"#;
        let token = paging::encode_token(cursor);
        let query = parse(&format!("since=2026-01-31T12:00:00Z&limit=7&continue={token}")).expect("good");
        assert_eq!(query.since.map(|time| time.to_string()).as_deref(), Some("2026-01-31T12:00:00Z"));
        assert_eq!(query.page.limit, 7);
        assert_eq!(query.page.after, cursor.parse().ok());
        assert_eq!(parse("").expect("good").page.limit, DEFAULT_LIMIT);
        let other = format!("continue={}", paging::encode_token("[]"));
        for query in
            ["since=30d", "since=", "limit=0", "limit=1001", "continue=x", &other, "until=1", "limit=1&limit=1"]
        {
            assert!(parse(query).is_none(), "{query}");
        }
    }
}
