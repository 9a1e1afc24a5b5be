#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1), GNU Wget (seen: 1.21.3) and BusyBox wget (seen: 1.35.0); Python's urllib (seen: 3.11),
#   requests 2.34.2, httpx 0.28.1 (PyPI); Node 24.21.0 (npm package node) with NODE_USE_ENV_PROXY=1.
# Expected: one no_proxy keeps all tools of a build away from the proxy for the cluster's addresses.
# Seen: an address works in all but BusyBox wget, which does not read no_proxy. A network, 127.0.0.0/8, works in curl and requests only. An
#   address with a port works in urllib, httpx and Node, not in curl, Wget and requests. An asterisk works in all but Wget (and BusyBox).
# Why it matters: the ranges of pods and Services are networks. The token of a build goes to the company's proxy with one tool, and straight to the
#   broker with the next, from one environment.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for tool in busybox wget; do command -v "$tool" >/dev/null || apt-get -qq -y --no-install-recommends install "$tool" >/dev/null; done
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 >/dev/null 2>&1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check requests==2.34.2 httpx==0.28.1
cat >"$work/run.py" <<'PY'
import glob, http.server, os, subprocess, sys, threading

work = sys.argv[1]

def serve():
    class Server(http.server.BaseHTTPRequestHandler):
        seen = 0

        def do_GET(self):
            Server.seen += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_CONNECT(self):  # Node asks a proxy for a tunnel, for plain HTTP too
            Server.seen += 1
            self.send_response(502)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Server, server.server_port

(proxy, proxy_port), (broker, port) = serve(), serve()
node = [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
python = work + "/venv/bin/python"
tools = {
    "curl": ["curl", "-sS"],
    "Wget": ["wget", "-q", "--no-config", "--tries=1", "-O", "/dev/null"],
    "BusyBox": ["busybox", "wget", "-q", "-O", "/dev/null"],
    "urllib": [python, "-c", "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"],
    "requests": [python, "-c", "import requests, sys; requests.get(sys.argv[1])"],
    "httpx": [python, "-c", "import httpx, sys; httpx.get(sys.argv[1])"],
    "Node": [node, "-e", "fetch(process.argv[1]).then(r => r.text(), () => 0)"],
}
environment = {"PATH": os.environ["PATH"], "HOME": work, "http_proxy": f"http://127.0.0.1:{proxy_port}", "NODE_USE_ENV_PROXY": "1"}
changed = False
for name, value, wanted in [
    ("(empty)", "", "proxy proxy proxy proxy proxy proxy proxy"),
    ("127.0.0.1", "127.0.0.1", "direct direct proxy direct direct direct direct"),
    ("127.0.0.0/8", "127.0.0.0/8", "direct proxy proxy proxy direct proxy proxy"),
    ("127.0.0.1:PORT", f"127.0.0.1:{port}", "proxy proxy proxy direct proxy direct direct"),
    ("*", "*", "direct proxy proxy direct direct direct direct"),
]:
    got = []
    for command in tools.values():
        proxy.seen = broker.seen = 0
        subprocess.run([*command, f"http://127.0.0.1:{port}/"], env={**environment, "no_proxy": value}, capture_output=True)
        got.append("proxy" if proxy.seen else "direct" if broker.seen else "nothing")
    print(f"no_proxy={name}: " + ", ".join(f"{tool} {way}" for tool, way in zip(tools, got)))
    changed |= got != wanted.split()
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
