#!/usr/bin/env bash
# Software: libpq (PyPI psycopg2-binary 2.9.13), SQLAlchemy 2.1.9, dj-database-url 3.1.2, django-environ 0.14.0 (PyPI), node-postgres's
#   pg-connection-string 2.14.1 (npm).
# Expected: a connection URI that PostgreSQL's documentation allows names one user, one password and one host for every reader of DATABASE_URL.
# Seen: `?user=&password=&host=` instead of the authority is read by libpq and node-postgres; the Python ones read neither user, password nor
#   host, without an error. With two passwords libpq and node-postgres take the parameter, the others the one before the @. Two hosts with ports are an
#   error in three of five. A plus sign in a parameter stays a plus in libpq, and is a blank in the others.
# Why it matters: one secret DATABASE_URL serves psql and the migrations of the application. The spelling that all agree on is user, password and one
#   host in the authority, with %20 and %2B.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check psycopg2-binary==2.9.13 sqlalchemy==2.1.9 dj-database-url==3.1.2 django-environ==0.14.0
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent pg-connection-string@2.14.1
cat >"$work/run.js" <<'JS'
const { parse } = require('pg-connection-string');
console.log(JSON.stringify(JSON.parse(process.argv[2]).map((url) => {
  try {
    const { user, password, host, port, database, options } = parse(url);
    return [user, password, host, port, database, options];
  } catch {
    return null;
  }
})));
JS
cat >"$work/run.py" <<'PY'
import json, os, subprocess, sys
import dj_database_url, environ
from psycopg2.extensions import parse_dsn
from sqlalchemy.engine import make_url

def by_libpq(url):
    return [parse_dsn(url).get(key) for key in ["user", "password", "host", "port", "dbname", "options"]]

def by_sqlalchemy(url):
    read = make_url(url)
    return [read.username, read.password, read.host, read.port, read.database, read.query.get("options")]

def by_django(read):
    return [*(read[key] for key in ["USER", "PASSWORD", "HOST", "PORT", "NAME"]), read.get("OPTIONS", {}).get("options")]

readers = {
    "libpq": by_libpq,
    "SQLAlchemy": by_sqlalchemy,
    "dj-database-url": lambda url: by_django(dj_database_url.parse(url)),
    "django-environ": lambda url: by_django(environ.Env.db_url_config(url)),
}
plain = "u p h 5432 d"
cases = { # URI: what each makes of it; - is nothing
    "postgresql://u:p@h:5432/d": [plain] * 5,
    "postgresql://u:a%2Bb@h/d": ["u a+b h - d"] * 5,
    "postgresql://u:a+b@h/d": ["u a+b h - d"] * 5,
    "postgresql:///d?host=/run/pg&user=u&password=p": ["u p /run/pg - d", "- - - - d", "- - - - d", "- - - - d", "u p /run/pg - d"],
    "postgresql://u:p@h/d?password=q": ["u q h - d", "u p h - d", "u p h - d", "u p h - d", "u q h - d"],
    "postgresql://u:p@%2Frun%2Fpg/d": ["u p /run/pg - d", "u p %2Frun%2Fpg - d", "u p /run/pg - d", "u p %2Frun%2Fpg - d", "u p /run/pg - d"],
    "postgresql://u:p@h1:1,h2:2/d": ["u p h1,h2 1,2 d", "error", "error", "u p h1,h2 1,2 d", "error"],
    "postgresql://u:p@h/d?options=-c+geqo%3Doff": ["u p h - d -c+geqo=off", *["u p h - d -c geqo=off"] * 4],
}
ran = subprocess.run(["node", sys.argv[1] + "/run.js", json.dumps(list(cases))], capture_output=True, text=True, check=True)

def shown(values):
    texts = ["-" if value in (None, "") else str(value) for value in values]
    return " ".join(texts[:5] + [text for text in texts[5:] if text != "-"])

changed = False
for (url, wanted), by_node in zip(cases.items(), json.loads(ran.stdout)):
    got = []
    for read in readers.values():
        try:
            got.append(shown(read(url)))
        except Exception:
            got.append("error")
    got.append("error" if by_node is None else shown(by_node))
    print(url + "\n  " + "\n  ".join(f"{name}: {values}" for name, values in zip([*readers, "node-postgres"], got)))
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
