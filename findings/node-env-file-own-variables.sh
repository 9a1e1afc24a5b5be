#!/usr/bin/env bash
# Software: Node 24.21.0 (npm package node).
# Expected: a variable in the file of `--env-file` acts as if the shell had set it: Node reads the file before anything else, and its documentation
#   says that NODE_OPTIONS is taken from there.
# Seen: NODE_OPTIONS and TZ act. NODE_EXTRA_CA_CERTS, NODE_USE_SYSTEM_CA and NODE_USE_ENV_PROXY are in process.env and do nothing: the
#   certificate of a private CA is refused, and the request goes past the proxy. `NODE_OPTIONS=--use-openssl-ca` in the file acts.
# Why it matters: the file that hands a build its secrets is where one puts the CA of the server as well. The error names the certificate and
#   nothing says that the variable came too late.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 >/dev/null 2>&1
cat >"$work/run.py" <<'PY'
import glob, http.server, os, ssl, subprocess, sys, threading

work = sys.argv[1]
node = [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work + "/key", "-out", work + "/crt", "-subj", "/CN=x",
        "-addext", "subjectAltName=IP:127.0.0.1"]
subprocess.run(make, check=True, capture_output=True)

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"direct")

    def log_message(self, *_):
        pass

class Proxy(Server):
    def do_CONNECT(self):
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()

def serve(handler, tls):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(work + "/crt", work + "/key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"

secure, plain, proxy = "https://" + serve(Server, True), "http://" + serve(Server, False), "http://" + serve(Proxy, False)
fetch = "fetch(process.argv[1]).then(r => r.text()).then(console.log, () => console.log('fails'))"

def run(variables, in_file, script, url):
    environment = {"PATH": os.environ["PATH"], "HOME": work}
    with open(work + "/.env", "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in variables.items() if in_file)
    if not in_file:
        environment.update(variables)
    command = [node, f"--env-file={work}/.env", "-e", script, url]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()

print(subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip())
crt = work + "/crt"
changed = False
for variables, script, url, wanted in [
    ({"NODE_EXTRA_CA_CERTS": crt}, fetch, secure, ["direct", "fails"]),
    ({"NODE_USE_SYSTEM_CA": "1", "SSL_CERT_FILE": crt}, fetch, secure, ["direct", "fails"]),
    ({"NODE_USE_ENV_PROXY": "1", "http_proxy": proxy}, fetch, plain, ["fails", "direct"]),
    ({"NODE_OPTIONS": "--use-openssl-ca", "SSL_CERT_FILE": crt}, fetch, secure, ["direct", "direct"]),
    ({"TZ": "Asia/Tokyo"}, "console.log(new Date(0).getHours())", "", ["9", "9"]),
]:
    got = [run(variables, in_file, script, url) for in_file in [False, True]]
    print(f"{', '.join(variables)}: by the shell {got[0]}, by --env-file {got[1]}")
    changed |= got != wanted
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
