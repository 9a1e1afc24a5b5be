#!/usr/bin/env bash
# Software: uv 0.13.8, just 1.59.0 (PyPI rust-just); python-dotenv 1.2.4 (PyPI) and the machine's Node (seen: 20.20) as the control.
# Expected: `uv run --env-file FILE` gives all variables of FILE, or fails, as it does where FILE is missing.
# Seen: a line that uv cannot read (B=a b, an unquoted value with a blank or a quote) is a warning on stderr. That line and all lines behind it
#   are lost, the command runs with the rest, and the exit code is its own. just, with a parser of the same family, fails. The others read each line.
# Why it matters: the build runs without half of its secrets and says so in one line of its log only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check uv==0.13.8 rust-just==1.59.0 python-dotenv==1.2.4
cd "$work"
print='import os; print(",".join(os.environ.get(name, "-") for name in "ABC"))'
printf "show:\n    @'%s' -c '%s'\n" "$work/venv/bin/python" "$print" >justfile
uv() { env -u UV_ENV_FILE HOME="$work" venv/bin/uv run --no-project --no-config --offline --python "$work/venv/bin/python" --env-file "$1" "$work/venv/bin/python" -c "$print"; }
venv/bin/uv --version
uv missing >/dev/null 2>&1 && exit 1
echo 'uv, no such file: fails'
seen() { # seen VALUE: what each has for A, B and C
  printf 'A=first\nB=%s\nC=last\n' "$1" >.env
  by_uv=$(uv .env 2>log) || by_uv=fails
  by_just=$(venv/bin/just --dotenv-path .env -f justfile show 2>/dev/null) || by_just=fails
  by_python=$(venv/bin/python -c 'import dotenv; print(",".join(dotenv.dotenv_values(".env").values()))')
  by_node=$(env -u A -u B -u C node --env-file=.env -p '["A", "B", "C"].map(name => process.env[name]).join()')
  echo "B=$1: uv $by_uv, just $by_just, python-dotenv $by_python, node $by_node"
}
seen '"a b"'
[ "$by_uv/$by_just/$by_python/$by_node" = 'first,a b,last/first,a b,last/first,a b,last/first,a b,last' ]
seen 'a b'
grep -m 1 -o 'warning: Failed to parse environment file' log
[ "$by_uv/$by_just/$by_python/$by_node" = 'first,-,-/fails/first,a b,last/first,a b,last' ]
seen "it's"
[ "$by_uv/$by_just/$by_python/$by_node" = "first,-,-/fails/first,it's,last/first,it's,last" ]
