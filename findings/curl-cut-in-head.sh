#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1), libcurl 8.23.0 (PyPI pycurl 7.49.0), Python's urllib; Node's fetch as the control.
# Expected: a connection that ends inside the head of an answer is an error, as one that ends inside the body is (18).
# Seen: before Content-Length has come whole, curl exits with 0 and an empty file, and urllib gives 200 and no bytes. A cut behind it
#   is 18; libcurl 8.23 wants one byte more than the line, as it could be continued. An end before the first byte is 52. Node's fetch
#   fails in each case.
# Why it matters: an empty file means "no secrets" to a build. The order of headers decides whether a cut is told.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --disable-pip-version-check pycurl==7.49.0
cat >"$work/run.py" <<'PY'
import http.client, os, socket, subprocess, sys, threading, urllib.request
import pycurl

def server(answer):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        while True:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()
    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"

def curl(url, path):
    code = subprocess.run(["curl", "-fsS", "--noproxy", "*", "-o", path, url], stderr=subprocess.DEVNULL).returncode
    return code, os.path.getsize(path) if os.path.exists(path) else 0

def libcurl(url, path):
    handle = pycurl.Curl()
    with open(path, "wb") as file:
        for option, value in [(pycurl.URL, url), (pycurl.NOPROXY, "*"), (pycurl.FAILONERROR, 1), (pycurl.WRITEDATA, file)]:
            handle.setopt(option, value)
        try:
            handle.perform()
            code = 0
        except pycurl.error as error:
            code = error.args[0]
    return code, os.path.getsize(path)

def urllib_(url):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
            return answer.status, len(answer.read())
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__

def node(url):
    script = "fetch(process.argv[1]).then(r => r.text()).then(t => console.log('got', t.length), () => console.log('fails'))"
    return subprocess.run(["node", "-e", script, url], capture_output=True, text=True).stdout.strip()

print(subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split(" (")[0], "/", pycurl.version.split()[1],
      "/ Python", sys.version.split()[0], "/ Node", subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip())
status, other, length, body = b"HTTP/1.1 200 OK\r\n", b"Cache-Control: no-store\r\n", b"Content-Length: 6\r\n", b"\r\nA='b'\n"
cases = [
    ("nothing", b"", (52, 0), (52, 0), "RemoteDisconnected"),
    ("behind the status line", status, (0, 0), (0, 0), (200, 0)),
    ("inside another header", status + other[:9], (0, 0), (0, 0), (200, 0)),
    ("inside Content-Length", status + other + length[:9], (0, 0), (0, 0), (200, 0)),
    ("behind Content-Length", status + other + length, (18, 0), (0, 0), "IncompleteRead"),
    ("behind Content-Length, which is first", status + length + other[:9], (18, 0), (18, 0), "IncompleteRead"),
    ("inside the body", status + other + length + body[:5], (18, 3), (18, 3), "IncompleteRead"),
    ("whole", status + other + length + body, (0, 6), (0, 6), (200, 6)),
]
changed = False
for number, (name, answer, of_curl, of_libcurl, of_urllib) in enumerate(cases):
    url = server(answer)
    seen = curl(url, f"{sys.argv[1]}/c{number}"), libcurl(url, f"{sys.argv[1]}/l{number}"), urllib_(url), node(url)
    wanted = of_curl, of_libcurl, of_urllib, "got 6" if name == "whole" else "fails"
    print(f"cut {name}: curl (exit, bytes) {seen[0]}, libcurl {seen[1]}, urllib {seen[2]}, node {seen[3]}")
    changed |= seen != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
