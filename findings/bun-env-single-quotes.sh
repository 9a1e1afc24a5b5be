#!/usr/bin/env bash
# Software: Bun 1.4.4, Deno 2.9.6, Node 24.21.0 (npm packages bun, deno, node).
# Expected: the `--env-file` of the three JavaScript runtimes reads one file alike, and single quotes keep a $, as in a shell and in the
#   documentation of dotenv.
# Seen: Bun expands $NAME in single quotes too, so '$2b$10$N9' is empty and 'pa$$word' is pa$. Node and Deno keep both. In double quotes Deno and
#   Bun expand, and Node does not. Only a $ before a blank or at the end is safe in all three.
# Why it matters: a password hash that works in development with one runtime is an empty value with the other.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --silent bun@1.4.4 deno@2.9.6 node@24.21.0 >/dev/null 2>&1
cat >"$work/run.py" <<'PY'
import glob, json, os, subprocess, sys

work = sys.argv[1]
os.chdir(work)
node = [path for path in glob.glob("node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]
script = "console.log(JSON.stringify(process.env.A ?? null))"
readers = {
    "Bun": ["node_modules/.bin/bun", "--env-file=.env", "-e", script],
    "Deno": ["node_modules/.bin/deno", "run", "--no-config", "--allow-env", "--env-file=.env", "a.mjs"],
    "Node": [node, "--env-file=.env", "-e", script],
}
with open("a.mjs", "w") as file:
    file.write("console.log(JSON.stringify(Deno.env.get('A') ?? null))")
environment = {"PATH": os.environ["PATH"], "HOME": work, "X": "x", "DENO_NO_UPDATE_CHECK": "1"}
changed = False
for text, wanted in [
    ("'$2b$10$N9'", ["", "$2b$10$N9", "$2b$10$N9"]),
    ("'pa$$word'", ["pa$", "pa$$word", "pa$$word"]),
    ('"a$X"', ["ax", "ax", "a$X"]),
    (r'"a\$X"', ["a$X", "a$X", r"a\$X"]),
    ("'5 $'", ["5 $"] * 3),
    ("'a # b'", ["a # b"] * 3),
]:
    with open(".env", "w") as file:
        file.write(f"A={text}\n")
    got = []
    for command in readers.values():
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        got.append(json.loads(ran.stdout) if ran.returncode == 0 else ran.stderr[-200:])
    print(f"A={text}: " + ", ".join(f"{reader} {value!r}" for reader, value in zip(readers, got)))
    changed |= got != wanted
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
