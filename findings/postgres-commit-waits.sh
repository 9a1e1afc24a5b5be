#!/usr/bin/env bash
# Software: Debian's PostgreSQL (seen: 15.18), `synchronous_standby_names` set and no standby there; psql.
# Expected: `statement_timeout` and `lock_timeout` bound each statement of a session, a COMMIT that waits for a standby too. A statement that is
#   cancelled has not changed anything.
# Seen: with a statement_timeout of 1 s an INSERT that waits for its standby still waits after 5 s: the timer is stopped before the commit. Cancelled
#   from outside, it succeeds: `INSERT 0 1`, exit 0, with a warning. The row is there, on this server alone. While the commit waits, other
#   sessions do not see the row.
# Why it matters: a client needs its own time limit for commits, or all its connections wait as long as the standby is away. After a cancelled wait it
#   believes that a record is on two servers, and a failover loses it.
set -euo pipefail
work=$(mktemp -d)
server=''
finish() {
  rm -f /etc/postgresql-common/createcluster.d/findings.conf
  [ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
  wait || true
  rm -rf "$work"
}
trap finish EXIT
binaries=/usr/lib/postgresql/15/bin
if [ ! -x $binaries/postgres ]; then # the server's programs alone: no cluster, nothing started
  mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/findings.conf
  apt-get -qq -y --no-install-recommends install postgresql-15 >/dev/null
fi
chown postgres "$work"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/initdb -D "$work/data" -A trust -U u --no-sync >/dev/null
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/postgres -D "$work/data" -p "$port" -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= -c fsync=off -c synchronous_standby_names='*' >"$work/log" 2>&1 &
server=$!
query() { psql -X -h 127.0.0.1 -p "$port" -U u -d postgres -At "$@"; }
for _ in $(seq 300); do query -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
query -c 'select version()' | cut -d' ' -f1-2
query -q -c 'set synchronous_commit = local' -c 'create table t (a int)'
# The controls: the limit ends a statement, and without a standby to wait for the INSERT takes no time.
limited=$(query -q -c "set statement_timeout = '1s'" -c 'select pg_sleep(5)' 2>&1 || true)
query -q -c "set statement_timeout = '1s'" -c 'set synchronous_commit = local' -c 'insert into t values (0)'
query -c "set statement_timeout = '1s'" -c "set lock_timeout = '1s'" -c 'insert into t values (1)' >"$work/insert" 2>&1 &
insert=$!
waiting="select count(*) from pg_stat_activity where wait_event = 'SyncRep' and query_start < now() - interval '5 seconds'"
for _ in $(seq 300); do [ "$(query -c "$waiting")" = 1 ] && break; sleep 0.1; done
waits=$(query -c "$waiting") before=$(query -c 'select count(*) from t where a = 1')
query -q -c "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'" >/dev/null
status=0
wait $insert || status=$?
after=$(query -c 'select count(*) from t where a = 1')
cat "$work/insert"
echo "waiting for 5 s: $waits, with a limit of 1 s; rows seen while it waits: $before, after the cancellation: $after; exit $status"
[[ $limited == *'canceling statement due to statement timeout'* ]]
[ "$waits/$before/$after/$status" = 1/0/1/0 ]
grep -q 'WARNING:  canceling wait for synchronous replication due to user request' "$work/insert"
grep -q 'INSERT 0 1' "$work/insert"
