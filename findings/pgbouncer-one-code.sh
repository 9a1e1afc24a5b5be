#!/usr/bin/env bash
# Software: Debian's PgBouncer (seen: 1.18.0) in front of Debian's PostgreSQL (seen: 15), pool_mode=transaction; a client that prints SQLSTATEs.
# Expected: an error has the SQLSTATE that PostgreSQL gives it: class 28 for a wrong password, 3D000 for a database that does not exist, 53300 for too
#   many connections, 57P for a server that stops. Class 08, connection exception, means that a retry may help.
# Seen: through the pooler all of them are FATAL 08P01, protocol_violation: its own refusals, the server's refusals (with the server's text, and not its
#   code), and a session whose server process was killed, or ended by an administrator, in the middle of a statement. Only the text differs.
# Why it matters: a client that repeats class 08 and reports class 28 repeats a wrong password for ever; one that takes 08P01 for a fault of the driver
#   does not come back after a failover. A rotated password looks like an outage.
set -euo pipefail
work=$(mktemp -d)
bouncer='' server=''
finish() {
  rm -f /etc/postgresql-common/createcluster.d/findings.conf
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
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
up() { for _ in $(seq 300); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 1)" 2>/dev/null && return; sleep 0.1; done; return 1; }
echo right >"$work/password" && chown postgres "$work/password"
as $binaries/initdb -D "$work/data" -A password -U u --pwfile="$work/password" --no-sync >/dev/null
direct=$(free)
# Two connections for other users than the superuser u, who may always connect: three are reserved for u.
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/postgres -D "$work/data" -p "$direct" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=5 \
  -c superuser_reserved_connections=3 -c restart_after_crash=on -c fsync=off >"$work/log" 2>&1 &
server=$!
up "$direct"
pooled=$(free)
echo '"u" "right"
"m" "right"' >"$work/users"
printf '%s\n' '[databases]' "postgres = host=127.0.0.1 port=$direct" "refused = host=127.0.0.1 port=$direct dbname=postgres user=m password=rotated" \
  '[pgbouncer]' listen_addr=127.0.0.1 "listen_port=$pooled" unix_socket_dir= auth_type=plain "auth_file=$work/users" user=postgres \
  pool_mode=transaction max_client_conn=2 >"$work/ini"
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/sbin/pgbouncer" "$work/ini" >"$work/pooler" 2>&1 &
bouncer=$!
up "$pooled"
LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/sbin/pgbouncer" --version | sed -n 1p
$binaries/postgres --version
cat >"$work/client.py" <<'PYTHON'
import os, signal, socket, struct, sys, time

class Session:
    """A session of the simple protocol. `error` is the severity, SQLSTATE and message that ended it."""
    def __init__(self, port, database, password, user):
        self.error = None
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.stream = self.socket.makefile("rb")
        body = struct.pack("!I", 196608) + b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.until_ready(password)

    def until_ready(self, password=None):
        rows = []
        while True:
            head = self.stream.read(5)
            if len(head) < 5:
                self.error = self.error or ("-", "closed", "")
                return rows
            kind, length = head[:1], struct.unpack("!I", head[1:])[0]
            body = self.stream.read(length - 4)
            if kind == b"R" and body[:4] == b"\0\0\0\3":
                text = password.encode() + b"\0"
                self.socket.sendall(b"p" + struct.pack("!I", len(text) + 4) + text)
            elif kind == b"E":
                fields = {field[:1]: field[1:].decode() for field in body.split(b"\0") if field}
                self.error = (fields[b"S"], fields[b"C"], fields[b"M"])
            elif kind == b"D":
                rows.append(body[6:].decode())
            elif kind == b"Z":
                return rows

    def send(self, sql):
        text = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)

    def query(self, sql):
        self.send(sql)
        return self.until_ready()

direct, pooled = int(sys.argv[1]), int(sys.argv[2])
codes = {}

def case(name, through, session):
    severity, code, message = session.error
    codes.setdefault(name, {})[through] = severity + " " + code
    print(f"{name}, {through}: {severity} {code} {message}")
    session.socket.close()
    time.sleep(0.3)

setup = Session(direct, "postgres", "right", "u")
setup.query("create user m password 'right'")
setup.socket.close()
for through, port in (("direct", direct), ("pooled", pooled)):
    case("wrong password", through, Session(port, "postgres", "wrong", "m"))
    case("no such database", through, Session(port, "absent", "right", "m"))
    held = [Session(port, "postgres", "right", "m")]
    while held[-1].error is None:
        held.append(Session(port, "postgres", "right", "m"))
    case("too many connections", through, held.pop())
    for one in held:
        one.socket.close()
    time.sleep(0.3)
# The server refuses the password that the pooler has for it: with the user's own code if the client is asked directly.
case("password refused by the server", "direct", Session(direct, "postgres", "rotated", "m"))
session = Session(pooled, "refused", "right", "m")
if session.error is None:
    session.query("select 1")
case("password refused by the server", "pooled", session)
# An administrator ends the session, then the process is killed, both in the middle of a statement.
for name, number in (("ended by an administrator", signal.SIGTERM), ("killed", signal.SIGKILL)):
    for through, port in (("direct", direct), ("pooled", pooled)):
        for _ in range(100): # the server restarts after a kill
            try:
                session = Session(port, "postgres", "right", "u")
                process = session.query("select pg_backend_pid()") if session.error is None else []
            except OSError:
                process = []
            if process:
                break
            session.socket.close()
            time.sleep(0.2)
        session.send("select pg_sleep(20)")
        time.sleep(0.5)
        os.kill(int(process[0]), number)
        session.until_ready()
        case(name, through, session)
expected = {
    "wrong password": ("FATAL 28P01", "FATAL 08P01"),
    "no such database": ("FATAL 3D000", "FATAL 08P01"),
    "too many connections": ("FATAL 53300", "FATAL 08P01"),
    "password refused by the server": ("FATAL 28P01", "FATAL 08P01"),
    "ended by an administrator": ("FATAL 57P01", "FATAL 08P01"),
    "killed": ("- closed", "FATAL 08P01"),
}
seen = {name: (both["direct"], both["pooled"]) for name, both in codes.items()}
sys.exit(0 if seen == expected else f"changed: {seen}")
PYTHON
python3 "$work/client.py" "$direct" "$pooled"
