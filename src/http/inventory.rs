//! `GET /v1/inventory`: which policies and secrets are used, for administrators.

use super::answer::{Failure, json};
use super::audit_query::{decoded, time};
use super::edge::Edge;
use super::paging::{self, DEFAULT_LIMIT, cursor, limit};
use super::query::parameters;
use crate::broker::{Administrator, Broker, InventoryCursor, Page};
use crate::wire::inventory::Inventory;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use http::request::Parts;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use std::sync::Arc;

/// The query.
pub(super) struct InventoryQuery {
    since: Option<Timestamp>,
    page: Page<InventoryCursor>,
}

impl FromRequestParts<Edge> for InventoryQuery {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        read(&parts.uri)
    }
}

fn read(uri: &Uri) -> Result<InventoryQuery, Failure> {
    let [since, size, after] = parameters(uri, ["since", "limit", "continue"])?;
    let since = decoded(since, |value| time("since", value))?;
    let limit = size.map(limit).transpose()?.unwrap_or(DEFAULT_LIMIT);
    Ok(InventoryQuery { since, page: Page { after: after.map(cursor).transpose()?, limit } })
}

/// Lists the secrets of all policies with their last use, unused ones first.
#[utoipa::path(
    get,
    path = "/v1/inventory",
    operation_id = "getInventory",
    tag = "audit",
    params(
        ("since" = Option<String>, Query, description = "Beginning of the period that is looked at (RFC 3339; default 30 days ago)", format = DateTime),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of the inventory", body = Inventory))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    who: Administrator,
    InventoryQuery { since, page }: InventoryQuery,
) -> Result<Response, Failure> {
    let mut inventory = broker.inventory(&who, since, page).await?;
    inventory.continue_token = inventory.continue_token.as_deref().map(paging::encode);
    json(StatusCode::OK, &inventory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<InventoryQuery> {
        super::read(&format!("/?{query}").parse().expect("a target")).ok()
    }

    #[test]
    fn a_period_and_a_page_are_read_and_everything_else_is_refused() {
        let place = r#"["2026-01-01T00:00:00.000000Z","p","s","a/{repo}"]"#;
        let asked = read(&format!("since=2026-01-31T12:00:00Z&limit=7&continue={}", paging::encode(place)));
        let asked = asked.expect("good");
        assert_eq!(asked.since.map(|time| time.to_string()).as_deref(), Some("2026-01-31T12:00:00Z"));
        assert_eq!(asked.page.limit, 7);
        assert_eq!(asked.page.after, place.parse().ok());
        assert_eq!(read("").expect("good").page.limit, DEFAULT_LIMIT);
        let other = format!("continue={}", paging::encode("[]"));
        for query in
            ["since=30d", "since=", "limit=0", "limit=1001", "continue=x", &other, "until=1", "limit=1&limit=1"]
        {
            assert!(read(query).is_none(), "{query}");
        }
    }
}
