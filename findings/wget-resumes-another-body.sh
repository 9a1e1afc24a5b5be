#!/usr/bin/env bash
# Software: the machine's GNU Wget (seen: 1.21.3).
# Expected: where a download is cut, Wget tries again and gives one whole body, or fails.
# Seen: the second request asks for the rest (`Range: bytes=N-`) without If-Range. What it gets is written behind the first part, though the
#   ETag is another, and the exit code is 0. A server that knows no ranges and sends the whole body (200) makes no difference: Wget skips
#   as many bytes as it has.
# Why it matters: secrets that were rotated between the two requests give a file that begins with the old ones and ends with the new ones, and a
#   value in the middle that never existed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v wget >/dev/null || apt-get -qq -y --no-install-recommends install wget >/dev/null
wget --version | sed -n '1p'
cat >"$work/run.py" <<'PY'
import socket, subprocess, sys, threading

old, new = b"A='one'\nB='old-old'\n", b"A='two'\nB='new-new'\n"

def server(seen, knows_ranges):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        for tag, body in [("old", old), ("new", new)]:
            connection, _ = listener.accept()
            asked = [line for line in connection.recv(65536).decode().split("\r\n") if "range" in line.lower()]
            seen.append(asked)
            status, more, sent = "200 OK", "", body
            if asked and knows_ranges:
                start = int(asked[0].split("=")[1].rstrip("-"))
                status, more, sent = "206 Partial Content", f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n", body[start:]
            head = f'HTTP/1.1 {status}\r\nETag: "{tag}"\r\n{more}Content-Length: {len(sent)}\r\n\r\n'
            connection.sendall(head.encode() + (sent if tag == "new" else sent[:14]))
            connection.close()
    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"

changed = False
for knows_ranges in [True, False]:
    seen = []
    path = f"{sys.argv[1]}/{knows_ranges}"
    ran = subprocess.run(["wget", "-q", "--no-proxy", "--no-config", "-O", path, server(seen, knows_ranges)])
    got = open(path, "rb").read()
    print(f"the server {'knows' if knows_ranges else 'does not know'} ranges: asked {seen}, exit {ran.returncode}, file {got.decode()!r}")
    changed |= (ran.returncode, got, seen) != (0, old[:14] + new[14:], [[], ["Range: bytes=14-"]])
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
