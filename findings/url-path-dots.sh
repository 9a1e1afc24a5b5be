#!/usr/bin/env bash
# Software: Node 24.21.0, Deno 2.9.6, Bun 1.4.4 (npm packages), requests 2.34.2 with urllib3 2.8.0, httpx 0.28.1, aiohttp 3.14.5 with yarl 1.25.1 (PyPI), Python's urllib
#   (seen: 3.11), the machine's curl (seen: 7.88.1), GNU Wget (seen: 1.21.3) and BusyBox wget (seen: 1.35.0).
# Expected: a client resolves the segments `.` and `..` of a URL (RFC 3986, 5.2.4) and sends percent-encoded characters as they are written.
#   `%2e%2e` is a segment of that name.
# Seen: `/v/%2e%2e/x` arrives in three ways. curl, BusyBox, urllib and httpx send it as it is. Node, Deno, Bun, Wget and aiohttp send `/x`, as WHATWG's URL
#   demands. requests decodes the dots and does not resolve them: `/v/../x`. `/v/../x` itself is resolved by all but urllib and BusyBox. `%3D`
#   becomes `=` in aiohttp alone, and `%7E` becomes `~` in requests, aiohttp and Wget.
# Why it matters: a name that a caller chose, such as a branch, becomes a segment of a URL. Its dots cannot be protected by percent-encoding: another
#   resource is asked for, depending on the client. A signature over the path holds in some of them only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
missing=()
for name in busybox curl wget; do command -v $name >/dev/null || missing+=("$name"); done
[ ${#missing[@]} -eq 0 ] || apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 deno@2.9.6 bun@1.4.4 >/dev/null 2>&1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 aiohttp==3.14.5 yarl==1.25.1
cat >"$work/run.py" <<'PY'
import glob, http.server, os, subprocess, sys, threading

arrived = []

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        arrived.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
work = sys.argv[1]
node = [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
python, get = [sys.executable, "-c"], "fetch('URL').then(r => r.text())"
clients = {
    "curl": ["curl", "-fsS", "--noproxy", "*", "URL"],
    "BusyBox": ["busybox", "wget", "-q", "-O", "-", "URL"],
    "urllib": [*python, "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('URL')"],
    "httpx": [*python, "import httpx; httpx.get('URL', trust_env=False)"],
    "Node": [node, "-e", get],
    "Deno": [work + "/node_modules/.bin/deno", "eval", get],
    "Bun": [work + "/node_modules/.bin/bun", "-e", get],
    "Wget": ["wget", "-q", "--no-config", "--no-proxy", "-O", "-", "URL"],
    "aiohttp": [*python, """import asyncio, aiohttp
async def run():
    async with aiohttp.ClientSession() as session, session.get('URL') as answer:
        await answer.read()
asyncio.run(run())"""],
    "requests": [*python, "import requests; s = requests.Session(); s.trust_env = False; s.get('URL')"],
}
environment = {"PATH": os.environ["PATH"], "HOME": work, "DENO_NO_UPDATE_CHECK": "1"}
changed = False
for path, same, others in [ # who sends it as it is, and what the others send
    ("/v/%2e%2e/x", ["curl", "BusyBox", "urllib", "httpx"], {"requests": "/v/../x", "": "/x"}),
    ("/v/../x", ["BusyBox", "urllib"], {"": "/x"}),
    ("/v/a%3Db", ["curl", "BusyBox", "urllib", "httpx", "Node", "Deno", "Bun", "Wget", "requests"], {"": "/v/a=b"}),
    ("/v/%7Eb", ["curl", "BusyBox", "urllib", "httpx", "Node", "Deno", "Bun"], {"": "/v/~b"}),
    ("/v/a%2Fb", list(clients), {}),
]:
    got = {}
    for name, command in clients.items():
        arrived.clear()
        url = f"http://127.0.0.1:{server.server_address[1]}{path}"
        subprocess.run([word.replace("URL", url) for word in command], env=environment, capture_output=True, check=True, timeout=60)
        got[name] = arrived[0]
    print(f"{path}: " + ", ".join(f"{name} {'=' if seen == path else seen}" for name, seen in got.items()))
    changed |= any(seen != (path if name in same else others.get(name, others.get(""))) for name, seen in got.items())
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
