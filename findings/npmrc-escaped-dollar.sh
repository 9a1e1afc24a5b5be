#!/usr/bin/env bash
# Software: npm 11.21.2, pnpm 10.34.9, Yarn 1.22.22 (npm).
# Expected: the three read the token of a registry in one .npmrc alike, and there is a spelling for a literal ${...}.
# Seen: \${HOME} is the literal ${HOME} to npm and pnpm; Yarn keeps the backslash. In quotes, npm and pnpm keep the quotes too. A variable
#   that is not set stays as it is written with npm and pnpm and stops Yarn. With a question mark, ${NOPE?} is nothing to npm and pnpm.
# Why it matters: no spelling carries a token with ${ to all three, so a writer of .npmrc must refuse it. The request goes out with another
#   token, and the answer is a 401 or a 404 that says nothing of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent npm@11.21.2 pnpm@10.34.9 yarn@1.22.22
cat >"$work/run.py" <<'PY'
import http.server, json, os, subprocess, sys, tempfile, threading

seen = []

class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/pkg"):
            seen.append(self.headers.get("Authorization"))
        dist = {"tarball": "http://127.0.0.1/pkg.tgz", "shasum": "0" * 40}
        version = {"name": "pkg", "version": "1.0.0", "dist": dist}
        body = json.dumps({"name": "pkg", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
origin = f"127.0.0.1:{server.server_port}/"
tools = {"npm": ["npm", "view"], "pnpm": ["pnpm", "view"], "yarn": ["yarn", "info"]}
wanted = {
    "abc": ["abc", "abc", "abc"],
    r"a\${HOME}": ["a${HOME}", "a${HOME}", r"a\${HOME}"],
    r'"\${HOME}"': ['"${HOME}"', '"${HOME}"', r'"\${HOME}"'],
    "a${NOPE}": ["a${NOPE}", "a${NOPE}", "stops"],
    "a${NOPE?}b": ["ab", "ab", "stops"],
}
changed = False
for value, expected in wanted.items():
    got = []
    for command, verb in tools.values():
        with tempfile.TemporaryDirectory() as home:
            with open(home + "/.npmrc", "w") as file:
                file.write(f"registry=http://{origin}\n//{origin}:_authToken={value}\nalways-auth=true\n")
            with open(home + "/package.json", "w") as file:
                file.write('{"name": "x", "version": "1.0.0"}')
            seen.clear()
            environment = {"PATH": os.environ["PATH"], "HOME": home, "npm_config_update_notifier": "false", "CI": "1"}
            program = f"{sys.argv[1]}/node_modules/.bin/{command}"
            code = subprocess.run([program, verb, "pkg", "version"], cwd=home, env=environment, capture_output=True).returncode
            got.append(seen[0].removeprefix("Bearer ") if seen and seen[0] else "stops" if code else "none")
    print(f"_authToken={value}: " + ", ".join(f"{tool} {token!r}" for tool, token in zip(tools, got)))
    changed |= got != expected
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
