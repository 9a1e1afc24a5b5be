#!/usr/bin/env bash
# Software: Node 24.21.0 (npm package node), Python's urllib (seen: 3.11), the machine's BusyBox wget (seen: 1.35.0); the machine's curl
#   (seen: 7.88.1) as the control; requests 2.34.2 with urllib3 2.8.0 (PyPI).
# Expected: a client skips each 1xx answer before the final one, asked for or not, as RFC 9110 (section 15.2) demands.
# Seen: Node's fetch skips 102 and 103 and fails on 100 ("bad response"). urllib and BusyBox wget skip 100 and fail on 102 and 103. requests
#   takes 102 and 103 for the final answer: no bytes, no exception, `ok` is true and raise_for_status() passes. curl skips them all.
# Why it matters: a proxy that sends Early Hints breaks some tools of a build, and one of them reads "no secrets" without an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v busybox >/dev/null || apt-get -qq -y --no-install-recommends install busybox >/dev/null
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 >/dev/null 2>&1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check requests==2.34.2 urllib3==2.8.0
cat >"$work/run.py" <<'PY'
import glob, os, socket, subprocess, sys, threading, urllib.error, urllib.request
import requests

def server(interim):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nA='b'\n")
        connection.close()
    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"

def command(*words):
    def run(url):
        ran = subprocess.run([*words, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return "good" if (ran.returncode, ran.stdout) == (0, "A='b'\n") else "fails"
    return run

def by_urllib(url):
    try:
        return "good" if urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url).read() == b"A='b'\n" else "other"
    except urllib.error.HTTPError:
        return "fails"

def by_requests(url):
    session = requests.Session()
    session.trust_env = False
    answer = session.get(url)
    answer.raise_for_status()
    return "good" if (answer.status_code, answer.content) == (200, b"A='b'\n") else f"{answer.status_code} ok {answer.content!r}"

node = [path for path in glob.glob(sys.argv[1] + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
clients = {
    "Node's fetch": command(node, "-e", "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))"),
    "urllib": by_urllib,
    "BusyBox wget": command("busybox", "wget", "-q", "-O", "-"),
    "curl": command("curl", "-fsS", "--noproxy", "*"),
    "requests": by_requests,
}
for name in ["http_proxy", "HTTP_PROXY"]:
    os.environ.pop(name, None)
changed = False
for name, interim, wanted in [
    ("no interim answer", "", ["good"] * 5),
    ("100 Continue", "HTTP/1.1 100 Continue\r\n\r\n", ["fails", "good", "good", "good", "good"]),
    ("102 Processing", "HTTP/1.1 102 Processing\r\n\r\n", ["good", "fails", "fails", "good", "102 ok b''"]),
    ("103 Early Hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", ["good", "fails", "fails", "good", "103 ok b''"]),
]:
    got = [ask(server(interim.encode())) for ask in clients.values()]
    print(f"{name}: " + ", ".join(f"{client} {seen}" for client, seen in zip(clients, got)))
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
