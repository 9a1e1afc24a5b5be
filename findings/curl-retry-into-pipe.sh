#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1).
# Expected: --retry-all-errors repeats a download that was cut, and gives the body of the attempt that succeeded.
# Seen: that holds for -o FILE, which is emptied before each attempt. On standard output (a pipe or >) the bytes of the cut attempt stay
#   before those of the whole one, and curl exits with 0. --retry alone does not repeat a cut download at all (18).
# Why it matters: `curl ... | sh` and `curl ... >build-env` get half a line of secrets glued to the bundle, in a green build.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl --version | sed -n '1s/ (.*//p'
cat >"$work/run.py" <<'PY'
import socket, subprocess, sys, threading

def server(answers):
    listener = socket.create_server(("127.0.0.1", 0))
    def run():
        for answer in answers:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()
    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"

whole = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nTOKEN='abcde'\n"
changed = False
for name, options, wanted in [
    ("--retry-all-errors, standard output", ["--retry-all-errors"], (0, "TOKEN='abTOKEN='abcde'\n")),
    ("--retry-all-errors, -o FILE", ["--retry-all-errors", "-o", sys.argv[1] + "/file"], (0, "TOKEN='abcde'\n")),
    ("--retry alone, standard output", [], (18, "TOKEN='ab")),
]:
    url = server([whole[:-5], whole])
    ran = subprocess.run(["curl", "-fsS", "--noproxy", "*", "--retry", "2", *options, url], capture_output=True, text=True)
    text = open(options[-1]).read() if "-o" in options else ran.stdout
    print(f"{name}: exit {ran.returncode}, {text!r}")
    changed |= (ran.returncode, text) != wanted
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
