//! Settings of sessions on a PostgreSQL server.

/// For each session that is not shared, the server's own time limits, so that a statement abandoned by this process does not
/// continue there and hold a lock; and settings for its plans. PostgreSQL 15 does not apply `statement_timeout` to a commit that
/// waits for a synchronous standby: such a commit keeps its locks until the standby answers.
///
/// Query plans are made while tables are small, and are kept. A plan with a table scan or a bitmap scan reads all
/// rows that have ended since the last vacuum. An index scan marks these rows, and later scans skip them. A
/// remaining table scan has such a high estimated cost that it would be JIT-compiled each time.
pub const SESSION: &str = "SET statement_timeout = '4s'; SET lock_timeout = '3s'; \
     SET idle_in_transaction_session_timeout = '5s'; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off";

/// The guard, with the conditions beside `fsync`.
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

/// Bounds and checks for each unit of work through a pooler, where consecutive ones may run in different sessions, and after a
/// failover on different servers. The first statement of a transaction. It fails with SQLSTATE 42704, an unknown setting whose
/// name is the reason, where a direct connection is refused; what follows in the same message is then not executed. The settings
/// end with the transaction. They are those of [`SESSION`], and the only text form of bytes that `sqlx` reads.
pub const fn guard(allows_data_loss: bool) -> &'static str {
    if allows_data_loss {
        guard!("")
    } else {
        guard!("AND current_setting('synchronous_commit') IN ('on', 'remote_apply')")
    }
}

/// SQLSTATE of an unknown setting.
pub const UNKNOWN_SETTING: &str = "42704";
