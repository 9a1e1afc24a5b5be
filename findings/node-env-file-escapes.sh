#!/usr/bin/env bash
# Software: Node 24.21.0 (npm package node), dotenv 18.0.10 (npm), python-dotenv 1.2.4 (PyPI).
# Expected: `node --env-file` was made after dotenv, so it knows the escapes of a double-quoted value that dotenv knows.
# Seen: it knows \n and no other: \r stays two characters, and a \" ends the value, whose rest is dropped without a word. dotenv turns \r
#   into a carriage return and keeps \" as two characters. python-dotenv knows both.
# Why it matters: a PEM file with CRLF line ends arrives broken, and a password with a quote is cut, in one reader of three.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --silent node@24.21.0 dotenv@18.0.10 >/dev/null 2>&1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --disable-pip-version-check python-dotenv==1.2.4
cd "$work"
printf 'CR="one\\r\\ntwo"\nQUOTE="a\\"b"\nPLAIN="a\\nb"\n' >.env
cat .env
bin=$work/node_modules/node/bin/node
[ -x "$bin" ] || bin=$(find "$work/node_modules" -path '*/bin/node' -type f | head -n 1)
"$bin" --version
keys='[e.CR, e.QUOTE, e.PLAIN]'
one=$("$bin" --env-file=.env -p "const e = process.env; JSON.stringify($keys)")
two=$("$bin" -p "const e = require('dotenv').parse(require('fs').readFileSync('.env')); JSON.stringify($keys)")
three=$(venv/bin/python -c 'import dotenv, json; e = dotenv.dotenv_values(".env"); print(json.dumps([e["CR"], e["QUOTE"], e["PLAIN"]], separators=(",", ":")))')
printf 'node --env-file: %s\ndotenv:          %s\npython-dotenv:   %s\n' "$one" "$two" "$three"
[ "$one" = '["one\\r\ntwo","a\\","a\nb"]' ]
[ "$two" = '["one\r\ntwo","a\\\"b","a\nb"]' ]
[ "$three" = '["one\r\ntwo","a\"b","a\nb"]' ]
