//! Connections to PostgreSQL: several hosts, TLS, changing passwords, and poolers.

mod isolation;
mod passwords;
mod poolers;
mod statement_guard;
mod tls;

use claviger::config::database::Url;
use claviger::config::postgres_url::PostgresUrl;
use claviger::database::{Database, OpenError};

/// The checked URL with one more option.
fn with(url: &str, option: &str) -> PostgresUrl {
    PostgresUrl::new(format!("{url}&{option}")).unwrap()
}

async fn open(url: PostgresUrl) -> Result<Database, OpenError> {
    Database::open(&Url::Postgres(url)).await
}

/// The text that a query returns.
async fn query(database: &Database, sql: &'static str) -> String {
    database.run(sql, &[]).await.unwrap()[0].text(0).unwrap()
}
