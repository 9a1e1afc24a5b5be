//! Settings of sessions on a PostgreSQL server, directly and through a pooler.

/// Settings of a session on a direct connection.
///
/// With the time limits, the server ends a statement that this process abandoned, and releases its locks. PostgreSQL 15 does
/// not apply `statement_timeout` to a commit that waits for a synchronous standby: such a commit keeps its locks until the
/// standby answers.
///
/// The planner settings exist because prepared statements keep the plans that were made while tables were small. A plan with a
/// table scan or a bitmap scan reads all dead rows since the last vacuum, while an index scan marks these rows and later scans
/// skip them. Where a table scan remains, `enable_seqscan = off` gives it such a high cost that it would be JIT-compiled each
/// time.
pub const SESSION_SETTINGS: &str = "SET statement_timeout = '4s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

/// The statement of [`guard`], which describes it. `$more` is SQL: a further condition, beside `fsync` and `full_page_writes`,
/// for a server that loses no commits. If all conditions hold, the statement reads the setting `fsync`, which exists on every
/// server.
macro_rules! guard {
    ($more:literal) => {
        concat!(
            "SELECT set_config('statement_timeout', '4s', true), set_config('lock_timeout', '3s', true), \
             set_config('idle_in_transaction_session_timeout', '5s', true), set_config('enable_seqscan', 'off', true), \
             set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true), \
             set_config('bytea_output', 'hex', true), \
             current_setting(CASE WHEN pg_is_in_recovery() THEN 'claviger.is_a_standby' \
             WHEN current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' ",
            $more,
            " THEN 'fsync' ELSE 'claviger.may_lose_commits' END)"
        )
    };
}

/// The first statement of each transaction through a pooler, because consecutive transactions may run in different sessions
/// and, after a failover, on different servers. Until the end of the transaction it applies [`SESSION_SETTINGS`] and sets
/// `bytea_output` to `hex`, the only value that `sqlx` can parse. On a server that is a standby or may lose commits, the
/// statement reads an unknown setting whose name is the reason. This fails with SQLSTATE 42704, and the server does not execute
/// the rest of the message. `allows_data_loss` accepts any `synchronous_commit`.
pub const fn guard(allows_data_loss: bool) -> &'static str {
    if allows_data_loss {
        guard!("")
    } else {
        guard!("AND current_setting('synchronous_commit') IN ('on', 'remote_apply')")
    }
}

/// SQLSTATE of an unknown setting.
pub const UNKNOWN_SETTING: &str = "42704";
