#!/usr/bin/env bash
# Software: psycopg 3.3.9 with its libpq, asyncpg 0.32.0 (PyPI), node-postgres 8.23.1 (npm package pg) on the machine's Node (seen: 20), Debian's PostgreSQL
#   (seen: 15.18) with a certificate of a private CA.
# Expected: `sslmode=prefer` and `require` encrypt and check no certificate, and `sslrootcert` can only make a connection safer. One URL means the same to
#   each library.
# Seen: with `sslmode=prefer` and a CA file of another CA libpq connects in clear text: the check fails, and it tries again without TLS. asyncpg encrypts
#   and does not check. node-postgres checks CA and host name under `prefer`, `require` and `verify-ca` alike. A file ~/.postgresql/root.crt,
#   which the URL does not name, does the same: it turns `prefer` of libpq into clear text, and `require` of libpq and asyncpg into a check of the CA.
# Why it matters: a DATABASE_URL from a secret store is read by several programs of one build. With a CA that has been replaced, one fails, one is encrypted
#   and one talks in clear text. Only `verify-full` means the same everywhere.
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
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check psycopg==3.3.9 psycopg-binary==3.3.9 asyncpg==0.32.0
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent pg@8.23.1 pg-connection-string@2.14.1
cd "$work"
for name in ca other; do openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$name" -keyout $name.key -out $name.crt 2>/dev/null; done
openssl req -newkey rsa:2048 -nodes -subj /CN=db -keyout server.key -out server.csr 2>/dev/null
echo subjectAltName=DNS:localhost >extensions
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt 2>/dev/null
chown postgres "$work" server.*
chmod 600 server.key
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/initdb -D data -A trust -U u --no-sync >/dev/null
setpriv --reuid=postgres --regid=postgres --clear-groups $binaries/postgres -D "$work/data" -p "$port" -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= -c fsync=off -c ssl=on -c ssl_cert_file="$work/server.crt" -c ssl_key_file="$work/server.key" >log 2>&1 &
server=$!
for _ in $(seq 300); do psql -X "postgres://u@127.0.0.1:$port/postgres" -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
cat >run.py <<'PY'
import asyncio, os, shutil, subprocess, sys

work, port = sys.argv[1:]
asks = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"

def by_psycopg(url):
    import psycopg
    with psycopg.connect(url) as connection:
        return connection.execute(asks).fetchone()[0]

def by_asyncpg(url):
    import asyncpg
    async def run():
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(asks)
        finally:
            await connection.close()
    return asyncio.run(run())

def by_node(url):
    text = "const c = new (require('pg').Client)(process.argv[1]); c.connect().then(() => c.query(process.argv[2])).then(r => { console.log(r.rows[0].ssl); c.end(); }, () => process.exit(1))"
    said = subprocess.run(["node", "-e", text, url, asks], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True, timeout=60).stdout
    return said.strip() == "true"

def seen(ask, url):
    try:
        return "encrypted" if ask(url) else "clear text"
    except Exception:
        return "refused"

os.environ["HOME"] = work + "/home"
os.makedirs(work + "/home/.postgresql")
changed = False
for mode, file, in_home, wanted in [
    ("prefer", None, None, ["encrypted", "encrypted", "refused"]),
    ("prefer", "ca", None, ["encrypted", "encrypted", "encrypted"]),
    ("prefer", "other", None, ["clear text", "encrypted", "refused"]),
    ("prefer", None, "other", ["clear text", "encrypted", "refused"]),
    ("require", None, None, ["encrypted", "encrypted", "refused"]),
    ("require", "other", None, ["refused", "refused", "refused"]),
    ("require", None, "other", ["refused", "refused", "refused"]),
    ("verify-full", "ca", None, ["encrypted", "encrypted", "encrypted"]),
    ("verify-full", "other", None, ["refused", "refused", "refused"]),
]:
    if in_home:
        shutil.copy(f"{work}/{in_home}.crt", work + "/home/.postgresql/root.crt")
    url = f"postgres://u@localhost:{port}/postgres?sslmode={mode}" + (f"&sslrootcert={work}/{file}.crt" if file else "")
    got = [seen(ask, url) for ask in [by_psycopg, by_asyncpg, by_node]]
    print(f"sslmode={mode}, CA in the URL: {file}, in the home folder: {in_home}: psycopg {got[0]}, asyncpg {got[1]}, node-postgres {got[2]}")
    changed |= got != wanted
    if in_home:
        os.remove(work + "/home/.postgresql/root.crt")
sys.exit(changed)
PY
venv/bin/python run.py "$work" "$port"
