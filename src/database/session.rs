//! Settings of sessions on a PostgreSQL server.

/// Settings of a session on a direct connection: time limits, so that a statement that this process abandoned does not continue on
/// the server and hold a lock, and settings of the query planner. PostgreSQL 15 does not apply `statement_timeout` to a commit that
/// waits for a synchronous standby: such a commit keeps its locks until the standby answers.
///
/// Query plans are made while tables are small, and are kept. A plan with a table scan or a bitmap scan reads all
/// dead rows since the last vacuum. An index scan marks these rows, and later scans skip them. A
/// remaining table scan has such a high estimated cost that it would be JIT-compiled each time.
pub const SESSION: &str = "SET statement_timeout = '4s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

/// The statement of [`guard`], with further conditions beside `fsync` and `full_page_writes`.
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
            " THEN 'fsync' ELSE 'claviger.may_forget' END)"
        )
    };
}

/// The first statement of each transaction through a pooler, because consecutive transactions may run in different sessions and, after
/// a failover, on different servers. It applies the settings of [`SESSION`] until the end of the transaction, and the only
/// `bytea_output` that `sqlx` can parse. On a server that a direct connection would refuse it fails with SQLSTATE 42704: an
/// unknown setting, whose name is the reason. The statements behind it in the same message are then not executed.
pub const fn guard(allows_data_loss: bool) -> &'static str {
    if allows_data_loss {
        guard!("")
    } else {
        guard!("AND current_setting('synchronous_commit') IN ('on', 'remote_apply')")
    }
}

/// SQLSTATE of an unknown setting.
pub const UNKNOWN_SETTING: &str = "42704";
