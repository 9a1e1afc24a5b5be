#!/usr/bin/env bash
# Software: Debian's PgBouncer (seen: 1.18.0) in front of Debian's PostgreSQL (seen: 15), pool_mode=transaction; psql.
# Expected: `ignore_startup_parameters = options` lets clients connect that send `options`. The settings in it reach the server, or the client is
#   told that they do not.
# Seen: `-c default_transaction_read_only=on -c statement_timeout=5s` are dropped without a notice: the session writes, and has no timeout.
#   application_name arrives. Without that setting the connection is refused. An advisory lock is still held after its client has gone.
# Why it matters: a service that is moved behind a pooler loses the guards that stand in its connection string, and the first sign is a write or a query
#   that should not have been possible.
set -euo pipefail
work=$(mktemp -d)
bouncer='' server=''
finish() {
  rm -f /etc/postgresql-common/createcluster.d/findings.conf
  # At once: an orderly end would wait for clients.
  [ -z "$bouncer" ] || kill "$bouncer" 2>/dev/null || true
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
(cd "$work" && apt-get -qq download pgbouncer libc-ares2 libevent-2.1-7 2>/dev/null) # unpacked, as the package would start a server
for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$work" "$@"; }
query() { # query PORT SQL...
  local port=$1 words=()
  shift
  for sql in "$@"; do words+=(-c "$sql"); done
  psql -X -h 127.0.0.1 -p "$port" -U u -d postgres -At "${words[@]}" 2>&1
}
up() { for _ in $(seq 300); do query "$1" 'select 1' >/dev/null && return; sleep 0.1; done; return 1; }
as $binaries/initdb -D "$work/data" -A trust -U u --no-sync >/dev/null
direct=$(free)
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/postgres -D "$work/data" -p "$direct" -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= -c fsync=off >"$work/log" 2>&1 &
server=$!
up "$direct"
pooler() { # pooler IGNORED: starts PgBouncer
  pooled=$(free)
  printf '%s\n' '[databases]' "* = host=127.0.0.1 port=$direct user=u" '[pgbouncer]' listen_addr=127.0.0.1 "listen_port=$pooled" unix_socket_dir= \
    auth_type=any user=postgres pool_mode=transaction default_pool_size=1 "ignore_startup_parameters=$1" >"$work/ini"
  LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/sbin/pgbouncer" "$work/ini" >"$work/pooler" 2>&1 &
  bouncer=$!
  up "$pooled"
}
end_pooler() { kill "$bouncer"; wait "$bouncer" || true; bouncer=''; }
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/sbin/pgbouncer" --version | sed -n 1p
psql --version
guards="select current_setting('default_transaction_read_only'), current_setting('statement_timeout'), current_setting('application_name')"
export PGAPPNAME=mine
options='-c default_transaction_read_only=on -c statement_timeout=5s'
one=$(PGOPTIONS=$options query "$direct" "$guards")
pooler ''
two=$(PGOPTIONS=$options query "$pooled" "$guards" || true)
end_pooler
pooler options
three=$(PGOPTIONS=$options query "$pooled" "$guards")
printf 'options, direct: %s\noptions, pooled: %s\noptions, pooled and ignored: %s\n' "$one" "${two##*FATAL: }" "$three"
held() { # held PORT: advisory locks when the client that took one has gone
  query "$1" 'select pg_advisory_lock(7)' >/dev/null
  query "$direct" 'select pg_sleep(0.5)' "select 'locks ' || count(*) from pg_locks where locktype = 'advisory'" | grep locks
}
lock_direct=$(held "$direct") lock_pooled=$(held "$pooled")
echo "after the client has gone: $lock_direct directly, $lock_pooled through the pooler"
[ "$one" = 'on|5s|mine' ]
[[ $two == *'unsupported startup parameter: options'* ]]
[ "$three" = 'off|0|mine' ]
[ "$lock_direct/$lock_pooled" = 'locks 0/locks 1' ]
