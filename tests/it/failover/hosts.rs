//! A URL with several hosts, of which one is the primary.

use super::data_loss::start_error;
use crate::rig::claviger::wait_until;
use crate::rig::postgres::{Postgres, host_and_port};
use crate::rig::replicas::database_name_of;
use claviger::config::database::Url;
use claviger::config::postgres_url::PostgresUrl;
use claviger::database::{Database, OpenError};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const WRITE: &str = "UPDATE policy_head SET revision = revision + 1";
const NO_PRIMARY: &str = "no host of the database's URL accepts writes; all that answer are standbys or read-only";
const STANDBY: &str = "the database may lose commits: the server is a standby";

/// A primary and its standby.
struct Servers {
    primary: Postgres,
    standby: Postgres,
}

impl Servers {
    fn start() -> Self {
        let primary = Postgres::start(&[]).unwrap();
        let standby = primary.standby("standby");
        Self { primary, standby }
    }

    /// A new database that the standby has too.
    async fn database(&self) -> String {
        let url = self.primary.database().await;
        let written = self.primary.query("SELECT CAST(pg_current_wal_lsn() AS TEXT)");
        let replayed = format!("SELECT CAST(pg_last_wal_replay_lsn() >= CAST('{written}' AS pg_lsn) AS TEXT)");
        wait_until("the standby", || self.standby.query(&replayed) == "true");
        url
    }
}

/// Servers that no test changes.
fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(Servers::start)
}

/// The URL of a database with the addresses of these servers, and options.
fn at(url: &str, servers: &[&Postgres], options: &str) -> String {
    let addresses: Vec<String> = servers.iter().map(|server| host_and_port(&server.url_of(url))).collect();
    url.replace(&host_and_port(url), &addresses.join(",")) + options
}

async fn open(url: &str) -> Result<Database, OpenError> {
    Database::open(&Url::Postgres(PostgresUrl::new(url.to_owned()).unwrap())).await
}

/// Writes, and returns the address that was used.
async fn written_at(database: &Database) -> String {
    database.run(WRITE, &[]).await.unwrap();
    let rows = database.run("SELECT CAST(inet_server_port() AS TEXT)", &[]).await.unwrap();
    format!("127.0.0.1:{}", rows[0].text(0).unwrap())
}

#[tokio::test]
async fn the_primary_is_found_in_any_order_of_the_hosts() {
    let Servers { primary, standby } = servers();
    let url = servers().database().await;
    for options in ["", "&target_session_attrs=read-write", "&target_session_attrs=primary"] {
        for hosts in [[primary, standby], [standby, primary]] {
            let database = open(&at(&url, &hosts, options)).await.unwrap();
            assert_eq!(written_at(&database).await, host_and_port(&url), "{options}");
            database.close().await;
        }
    }
    // The first host that answers is used, whatever it is.
    let any = "&target_session_attrs=any";
    let database = open(&at(&url, &[primary, standby], any)).await.unwrap();
    assert_eq!(written_at(&database).await, host_and_port(&url));
    let error = open(&at(&url, &[standby, primary], any)).await.unwrap_err();
    assert_eq!(error.to_string(), STANDBY);
}

#[tokio::test]
async fn a_standby_alone_is_refused() {
    let Servers { primary, standby } = servers();
    let url = servers().database().await;
    for (options, why) in [
        ("", STANDBY),
        ("&target_session_attrs=any", STANDBY),
        ("&target_session_attrs=read-write", NO_PRIMARY),
        ("&target_session_attrs=primary", NO_PRIMARY),
    ] {
        let error = open(&at(&url, &[standby], options)).await.unwrap_err();
        assert_eq!(error.to_string(), why, "{options}");
        let database = open(&at(&url, &[primary], options)).await.unwrap();
        assert_eq!(written_at(&database).await, host_and_port(&url), "{options}");
    }
    assert_eq!(open(&at(&url, &[standby, standby], "")).await.unwrap_err().to_string(), NO_PRIMARY);
    let stderr = start_error(&at(&url, &[standby], "&target_session_attrs=read-write"));
    assert!(stderr.contains(NO_PRIMARY), "{stderr}");
}

#[tokio::test]
async fn a_read_only_primary_is_refused_for_read_write() {
    let url = servers().database().await;
    let set = |value: &str| {
        let database = database_name_of(&url);
        servers().primary.query(&format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}"));
    };
    let target = at(&url, &[&servers().primary], "&target_session_attrs=read-write");
    set("on");
    assert_eq!(open(&target).await.unwrap_err().to_string(), NO_PRIMARY);
    set("off");
    written_at(&open(&target).await.unwrap()).await;
}

#[tokio::test]
async fn after_a_promotion_the_new_primary_is_found() {
    let Servers { mut primary, standby } = Servers::start();
    let url = primary.database().await;
    // The new primary is the second host.
    let database = open(&at(&url, &[&primary, &standby], "")).await.unwrap();
    let old = open(&at(&url, &[&primary], "")).await.unwrap();
    assert_eq!(written_at(&database).await, host_and_port(&url));
    primary.require_synchronous_standby();
    written_at(&database).await;
    primary.kill();
    standby.promote();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = database.run(WRITE, &[]).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(written_at(&database).await, host_and_port(&standby.url_of(&url)));
    let error = old.run(WRITE, &[]).await.err().unwrap();
    assert!(["io", "timeout"].contains(&error.kind()), "the old primary is gone, and the error is {error}");
}
