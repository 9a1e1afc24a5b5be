#!/usr/bin/env bash
# Software: Node 24.21.0, Deno 2.9.6, Bun 1.4.4 (npm packages), requests 2.34.2 with urllib3 2.8.0, httpx 0.28.1, aiohttp 3.14.5 (PyPI), Python's urllib
#   (seen: 3.11), the machine's curl (seen: 7.88.1), GNU Wget (seen: 1.21.3) and BusyBox wget (seen: 1.35.0).
# Expected: a token that was read from a file with a newline at its end either works as a header with each client, or fails with each.
# Seen: curl, BusyBox wget and `fetch` of Node, Deno and Bun cut the newline off, and the server gets the token. Wget, urllib, requests, httpx, aiohttp and Node's
#   http.get refuse the header before they connect. The errors of Wget, urllib, requests and httpx hold the whole token.
# Why it matters: a token file that somebody edited works in one script of a build, and in the next one it fails and puts the token into the log. The
#   program has to trim what it reads, and a log scanner has to know the token.
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
        arrived.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
work, url = sys.argv[1], f"http://127.0.0.1:{server.server_address[1]}/"
node = [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
line, headers = "Authorization: Bearer made-up-token\n", r"{'Authorization': 'Bearer made-up-token\n'}"
get = f"fetch('{url}', {{headers: {headers}}}).then(r => r.text())"
python = [sys.executable, "-c"]
clients = { # with what is wanted: whether the token arrives, and whether the error holds it
    "curl": (["curl", "-fsS", "--noproxy", "*", "-H", line, url], True, False),
    "BusyBox wget": (["busybox", "wget", "-q", "-O", "-", "--header", line, url], True, False),
    "Node fetch": ([node, "-e", get], True, False),
    "Deno fetch": ([work + "/node_modules/.bin/deno", "eval", get], True, False),
    "Bun fetch": ([work + "/node_modules/.bin/bun", "-e", get], True, False),
    "Node http.get": ([node, "-e", f"require('http').get('{url}', {{headers: {headers}}}, r => r.resume())"], False, False),
    "aiohttp": ([*python, f"""import asyncio, aiohttp
async def run():
    async with aiohttp.ClientSession() as session, session.get('{url}', headers={headers}) as answer:
        await answer.read()
asyncio.run(run())"""], False, False),
    "Wget": (["wget", "-q", "--no-config", "--no-proxy", "-O", "-", "--header", line, url], False, True),
    "urllib": ([*python, f"import urllib.request as u; u.build_opener(u.ProxyHandler({{}})).open(u.Request('{url}', headers={headers}))"], False, True),
    "requests": ([*python, f"import requests; s = requests.Session(); s.trust_env = False; s.get('{url}', headers={headers})"], False, True),
    "httpx": ([*python, f"import httpx; httpx.get('{url}', trust_env=False, headers={headers})"], False, True),
}
environment = {"PATH": os.environ["PATH"], "HOME": work, "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
changed = False
for name, (command, *wanted) in clients.items():
    arrived.clear()
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    # Python quotes the source of the call, which is this script's own way of passing the token.
    error = [text for text in ran.stderr.splitlines() if "Error" in text or "InvalidHeader" in text or "Invalid header" in text]
    got = [arrived == ["Bearer made-up-token"], any("made-up-token" in text for text in error[-1:])]
    assert got[0] == (ran.returncode == 0), ran.stderr
    print(f"{name}: {'arrives' if got[0] else 'no request'}{', the error holds the token' if got[1] else ''}")
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
