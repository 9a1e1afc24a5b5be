#!/usr/bin/env bash
# Software: urllib3 2.8.0 (PyPI); requests 2.34.2 as the control.
# Expected: `Retry(total=2)` with no `status_forcelist` repeats failed connections. It returns every answer of the server as it is.
# Seen: a 429 or 503 is repeated if it has the header Retry-After, and urllib3 sleeps for as long as the header says. urllib3 without
#   any option does so three times. The last answer is returned, not raised. A POST, a 500, or the same 503 without the header is
#   returned at once. requests returns each at once.
# Why it matters: a server adds Retry-After for clients that obey it. A program on urllib3 that asked for no such retry is delayed by three times
#   that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check urllib3==2.8.0 requests==2.34.2
cat >"$work/run.py" <<'PY'
import http.server, sys, threading, time
import requests, urllib3

class Server(http.server.BaseHTTPRequestHandler):
    seen, status, after = 0, 503, None

    def do_GET(self):
        Server.seen += 1
        self.send_response(Server.status)
        if Server.after:
            self.send_header("Retry-After", Server.after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
asked = urllib3.Retry(total=2)
plain = requests.Session()
plain.trust_env = False
changed = False
for name, status, after, ask, wanted in [
    ("Retry(total=2), GET", 503, "1", lambda: urllib3.PoolManager(retries=asked).request("GET", url).status, 3),
    ("Retry(total=2), GET", 429, "1", lambda: urllib3.PoolManager(retries=asked).request("GET", url).status, 3),
    ("Retry(total=2), GET", 503, None, lambda: urllib3.PoolManager(retries=asked).request("GET", url).status, 1),
    ("Retry(total=2), GET", 500, "1", lambda: urllib3.PoolManager(retries=asked).request("GET", url).status, 1),
    ("Retry(total=2), POST", 503, "1", lambda: urllib3.PoolManager(retries=asked).request("POST", url).status, 1),
    ("no option, GET", 503, "1", lambda: urllib3.request("GET", url).status, 4),
    ("requests, GET", 503, "1", lambda: plain.get(url).status_code, 1),
]:
    Server.seen, Server.status, Server.after = 0, status, after
    begun = time.monotonic()
    got = ask()
    took = time.monotonic() - begun
    print(f"{name}: {status} with Retry-After {after}: {Server.seen} requests in {took:.0f} s, then {got}")
    changed |= (Server.seen, got) != (wanted, status) or took < wanted - 1
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py"
