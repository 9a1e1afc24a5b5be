#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1) and GNU Wget (seen: 1.21.3), libcurl 8.23.0 (PyPI pycurl 7.49.0), httpx 0.28.1; requests 2.34.2,
#   aiohttp 3.14.5 (PyPI) and Node's fetch as the control.
# Expected: a body with `Content-Encoding: gzip` that has two members, as RFC 1952 allows (`cat a.gz b.gz`), is read whole, as by gunzip.
# Seen: Wget and httpx give the first member and report success. curl and libcurl write the first member and fail with 23, "Failed writing received
#   data", which is what a full disk gives. requests, aiohttp and fetch give both.
# Why it matters: a log or an export that is made of compressed parts is cut at the first part, in a green job.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v wget >/dev/null || apt-get -qq -y --no-install-recommends install wget >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check pycurl==7.49.0 httpx==0.28.1 requests==2.34.2 aiohttp==3.14.5
cat >"$work/run.py" <<'PY'
import asyncio, gzip, io, socket, subprocess, sys, threading
import aiohttp, httpx, pycurl, requests

def server(body):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        while True:
            connection, _ = listener.accept()
            connection.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.close()
    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"

def command(*words):
    def run(url):
        ran = subprocess.run([*words, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return ran.returncode, ran.stdout
    return run

def libcurl(url):
    handle, into = pycurl.Curl(), io.BytesIO()
    for option, value in [(pycurl.URL, url), (pycurl.NOPROXY, "*"), (pycurl.ACCEPT_ENCODING, ""), (pycurl.WRITEDATA, into)]:
        handle.setopt(option, value)
    try:
        handle.perform()
        return 0, into.getvalue()
    except pycurl.error as error:
        return error.args[0], into.getvalue()

def by_requests(url):
    session = requests.Session()
    session.trust_env = False
    return 0, session.get(url).content

def by_aiohttp(url):
    async def run():
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return 0, await answer.read()
    return asyncio.run(run())

one, two = b"A='one'\n", b"B='two'\n"
node = command("node", "-e", "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))")
changed = False
for name, read, wanted in [
    ("curl", command("curl", "-sS", "--noproxy", "*", "--compressed"), (23, one)),
    ("libcurl 8.23", libcurl, (23, one)),
    ("Wget", command("wget", "-q", "--tries=1", "--no-proxy", "--no-config", "--compression=auto", "-O", "-"), (0, one)),
    ("httpx", lambda url: (0, httpx.get(url, trust_env=False).content), (0, one)),
    ("requests", by_requests, (0, one + two)),
    ("aiohttp", by_aiohttp, (0, one + two)),
    ("Node's fetch", node, (0, one + two)),
]:
    got, control = read(server(gzip.compress(one) + gzip.compress(two))), read(server(gzip.compress(one + two)))
    print(f"{name}: two members: exit {got[0]}, {got[1].decode()!r}; one member: exit {control[0]}, {control[1].decode()!r}")
    changed |= got != wanted or control != (0, one + two)
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py"
