#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1), libcurl 8.23.0 (PyPI pycurl 7.49.0), Python's netrc (seen: 3.11), Wget (seen: 1.21.3).
# Expected: one .netrc gives one password to all of them, and quotes are the safe spelling.
# Seen: without quotes, a\b is a\b to curl and ab to Python and Wget. In quotes, "a\nb" is a line break to curl and the letter n to the
#   others. A password that begins with # is empty to curl 7.88, and itself to libcurl 8.23 and Python. Only "a\\b" is a\b to all.
# Why it matters: a password with a backslash works with the reader it was tried with, and is a 401 with the next one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --disable-pip-version-check pycurl==7.49.0
cat >"$work/run.py" <<'PY'
import base64, http.server, netrc, os, shutil, subprocess, sys, tempfile, threading
import pycurl

seen = []

class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        shown = self.headers.get("Authorization")
        if shown:
            seen.append(base64.b64decode(shown[6:]).decode().removeprefix("u:"))
            self.send_response(200)
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

def curl(home):
    subprocess.run(["curl", "-sS", "--netrc", "--noproxy", "*", url], env={"PATH": os.environ["PATH"], "HOME": home}, capture_output=True)

def libcurl(home):
    handle = pycurl.Curl()
    for option, value in [(pycurl.URL, url), (pycurl.NOPROXY, "*"), (pycurl.NETRC, 2), (pycurl.NETRC_FILE, home + "/.netrc")]:
        handle.setopt(option, value)
    handle.perform()

def wget(home):
    environment = {"PATH": os.environ["PATH"], "HOME": home}
    subprocess.run(["wget", "-q", "--no-proxy", "-O", "/dev/null", url], env=environment, capture_output=True)

def python(home):
    seen.append(netrc.netrc(home + "/.netrc").authenticators("127.0.0.1")[2])

readers = {"curl": curl, "libcurl 8.23": libcurl, "Python": python}
if shutil.which("wget"):
    readers["Wget"] = wget
print(subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split(" (")[0], "/ Python", sys.version.split()[0])
wanted = {
    r"a\b": [r"a\b", r"a\b", "ab", "ab"],
    r'"a\nb"': ["a\nb", "a\nb", "anb", "anb"],
    "#abc": ["", "#abc", "#abc", None],
    r'"a\\b"': [r"a\b", r"a\b", r"a\b", r"a\b"],
    '"#abc"': ["#abc", "#abc", "#abc", "#abc"],
}
changed = False
for password, expected in wanted.items():
    got = []
    for reader in readers.values():
        with tempfile.TemporaryDirectory() as home:
            with open(home + "/.netrc", "w") as file:
                file.write(f"machine 127.0.0.1 login u password {password}\n")
            os.chmod(home + "/.netrc", 0o600)
            seen.clear()
            reader(home)
            got.append(seen[0] if seen else None)
    print(f"password {password}: " + ", ".join(f"{name} {value!r}" for name, value in zip(readers, got)))
    changed |= got != expected[: len(got)]
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py"
