//! PostgreSQL: connections with checked durability and bounded waits, directly or through a pooler.

use super::connections::Connections;
use super::failed::{Failed, OpenError};
use super::server::Server;
use super::{migrations, pooled_migrations};
use crate::config::postgres_url::PostgresUrl;
use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::sync::Arc;

/// Connects, checks durability, migrates.
pub async fn open(url: &PostgresUrl) -> Result<Connections, OpenError> {
    let server = Arc::new(Server::new(url));
    let mut first = server.connect().await?;
    let pooled = first.pooled;
    if pooled {
        allows_transactions(&mut first.connection).await?;
    }
    let direct = match url.direct() {
        None => None,
        Some(direct) => Some(open_direct(&mut first.connection, direct).await?),
    };
    if direct.is_none() {
        migrate(&mut first.connection, pooled.then(|| server.guard())).await?;
    }
    let listens = direct.or_else(|| if pooled { None } else { Some(server.clone()) });
    if listens.is_none() {
        tracing::info!(
            "connected to PostgreSQL through a pooler without database.directUrl; changes are found by polling"
        );
    }
    let connections = Connections::new(server, listens);
    connections.adopt(first).await?;
    Ok(connections)
}

/// Connects and checks.
pub async fn connect(url: &PostgresUrl) -> Result<Connections, OpenError> {
    let server = Arc::new(Server::new(url));
    let mut first = server.connect().await?;
    if first.pooled {
        allows_transactions(&mut first.connection).await?;
    }
    let connections = Connections::new(server, None);
    connections.adopt(first).await?;
    Ok(connections)
}

/// Migrates by the direct URL, and checks that both URLs lead to one database.
async fn open_direct(connection: &mut PgConnection, direct: &PostgresUrl) -> Result<Arc<Server>, OpenError> {
    const IDENTITY: &str = "SELECT current_database() || ' ' || CAST(pg_postmaster_start_time() AS TEXT)";
    let server = Arc::new(Server::new(direct));
    let mut found = server.connect().await?;
    if found.pooled {
        return Err(OpenError::DirectIsPooled);
    }
    migrations::postgres().run(&mut found.connection).await?;
    let mut seen = Vec::with_capacity(2);
    for connection in [connection, &mut found.connection] {
        seen.push(sqlx::raw_sql(IDENTITY).fetch_one(connection).await?.try_get::<String, _>(0)?);
    }
    let _ = found.connection.close().await;
    if seen[0] == seen[1] { Ok(server) } else { Err(OpenError::OtherDatabase) }
}

/// Through a pooler with its guard.
async fn migrate(connection: &mut PgConnection, guard: Option<&str>) -> Result<(), OpenError> {
    match guard {
        Some(guard) => pooled_migrations::run(connection, guard).await?,
        None => migrations::postgres().run(connection).await?,
    }
    Ok(())
}

/// In statement mode a pooler ends the connection at the first BEGIN.
async fn allows_transactions(connection: &mut PgConnection) -> Result<(), OpenError> {
    for statement in ["BEGIN", "SELECT 1", "COMMIT"] {
        if let Err(error) = sqlx::raw_sql(statement).execute(&mut *connection).await {
            let failed = Failed(error);
            return Err(if failed.is_of_pooler() { OpenError::NoTransactions } else { OpenError::Sqlx(failed.0) });
        }
    }
    Ok(())
}
