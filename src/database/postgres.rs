//! Opening PostgreSQL, directly or through a pooler: checks durability and migrates.

use super::errors::{DatabaseError, OpenError};
use super::postgres_pool::PostgresPool;
use super::server::Server;
use super::{migrations, pooler_migrations};
use crate::config::postgres_url::PostgresUrl;
use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::sync::Arc;

/// Connects, checks durability, and migrates.
pub async fn open(url: &PostgresUrl) -> Result<PostgresPool, OpenError> {
    let server = Arc::new(Server::new(url));
    let mut first = server.connect().await?;
    if first.uses_pooler {
        check_transactions(&mut first.connection).await?;
    }
    let direct = match url.direct() {
        None => None,
        Some(direct) => Some(open_direct(&mut first.connection, direct).await?),
    };
    if direct.is_none() {
        if first.uses_pooler {
            pooler_migrations::run(&mut first.connection, server.guard()).await?;
        } else {
            migrations::postgres().run(&mut first.connection).await?;
        }
    }
    let notifying_server = direct.or_else(|| if first.uses_pooler { None } else { Some(server.clone()) });
    if notifying_server.is_none() {
        tracing::info!(
            "connected to PostgreSQL through a pooler without database.directUrl; changes are found by polling"
        );
    }
    let pool = PostgresPool::new(server, notifying_server);
    pool.add(first).await?;
    Ok(pool)
}

/// Connects and checks durability, but does not migrate.
pub async fn open_without_migration(url: &PostgresUrl) -> Result<PostgresPool, OpenError> {
    let server = Arc::new(Server::new(url));
    let mut first = server.connect().await?;
    if first.uses_pooler {
        check_transactions(&mut first.connection).await?;
    }
    let pool = PostgresPool::new(server, None);
    pool.add(first).await?;
    Ok(pool)
}

/// Migrates through the direct URL, and checks that `connection`, which uses the other URL, leads to the same database.
async fn open_direct(connection: &mut PgConnection, direct: &PostgresUrl) -> Result<Arc<Server>, OpenError> {
    const IDENTITY: &str = "SELECT current_database() || ' ' || CAST(pg_postmaster_start_time() AS TEXT)";
    let server = Arc::new(Server::new(direct));
    let mut opened = server.connect().await?;
    if opened.uses_pooler {
        return Err(OpenError::DirectIsPooled);
    }
    migrations::postgres().run(&mut opened.connection).await?;
    let mut identities = Vec::with_capacity(2);
    for connection in [connection, &mut opened.connection] {
        identities.push(sqlx::raw_sql(IDENTITY).fetch_one(connection).await?.try_get::<String, _>(0)?);
    }
    let _ = opened.connection.close().await;
    if identities[0] == identities[1] { Ok(server) } else { Err(OpenError::OtherDatabase) }
}

/// Fails if the pooler is in statement mode, in which it ends the connection at the first BEGIN.
async fn check_transactions(connection: &mut PgConnection) -> Result<(), OpenError> {
    for statement in ["BEGIN", "SELECT 1", "COMMIT"] {
        if let Err(error) = sqlx::raw_sql(statement).execute(&mut *connection).await {
            let error = DatabaseError(error);
            return Err(if error.is_from_pooler() { OpenError::NoTransactions } else { OpenError::Sqlx(error.0) });
        }
    }
    Ok(())
}
