#!/usr/bin/env bash
# Software: Node 24.21.0, Deno 2.9.6, Bun 1.4.4 (npm packages), `fetch` in each; Node's `http.get` and the machine's curl (seen: 7.88.1) as the controls.
# Expected: a program on a server reaches each TCP port that curl reaches from the same machine.
# Seen: `fetch` of Node and Deno refuses some 80 ports without a connection, as browsers do ("bad port", WHATWG Fetch). Among them are 2049, 4190, 5060,
#   5061, 6000, 6566, 6697 and 10080; 10081 is not refused. Node says "fetch failed", and the reason is in the error's `cause` alone. Bun connects, and
#   so do Node's `http.get` and curl.
# Why it matters: a service that is published on such a port, 10080 for example, is healthy for its probes and for curl, and out of reach for each
#   script that uses `fetch`. The error looks like a network fault.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v curl >/dev/null || apt-get -qq -y --no-install-recommends install curl >/dev/null
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 deno@2.9.6 bun@1.4.4 >/dev/null 2>&1
cat >"$work/run.py" <<'PY'
import glob, http.server, os, subprocess, sys, threading

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass

work = sys.argv[1]
node = [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
text = "fetch(URL).then(r => r.text()).then(t => process.stdout.write(t), e => process.stdout.write(`${e.message}: ${e.cause?.message}`))"
clients = {
    "Node fetch": lambda url: [node, "-e", text.replace("URL", repr(url))],
    "Deno fetch": lambda url: [work + "/node_modules/.bin/deno", "eval", text.replace("URL", repr(url))],
    "Bun fetch": lambda url: [work + "/node_modules/.bin/bun", "-e", text.replace("URL", repr(url))],
    "Node http.get": lambda url: [node, "-e", f"require('http').get({url!r}, r => r.pipe(process.stdout))"],
    "curl": lambda url: ["curl", "-sS", "--noproxy", "*", url],
}
environment = {"PATH": os.environ["PATH"], "HOME": work, "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
changed, refused = False, 0
for port in [2049, 4190, 5060, 5061, 6000, 6566, 6697, 10080, 10081]:
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
    except OSError:
        print(f"{port}: in use on this machine")
        continue
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said = {}
    for name, command in clients.items():
        server.asked = 0
        ran = subprocess.run(command(f"http://127.0.0.1:{port}/"), env=environment, capture_output=True, text=True, timeout=60)
        said[name] = ran.stdout.strip() if server.asked else f"no connection ({ran.stdout.strip()})"
    server.shutdown()
    server.server_close()
    print(f"{port}: " + ", ".join(f"{name}: {what}" for name, what in said.items()))
    barred = port != 10081
    refused += barred
    wanted = ["no connection (fetch failed: bad port)" if barred else "ok", None, "ok", "ok", "ok"]
    for (name, what), want in zip(said.items(), wanted):
        changed |= what != want if want else what.startswith("no connection") != barred
sys.exit(changed or refused < 5)
PY
python3 "$work/run.py" "$work"
