#!/usr/bin/env bash
# Software: Debian's skopeo (seen: 1.9.3), docker 7.2.0 (PyPI), the library of Docker's Python tools.
# Expected: a config.json that `docker login` wrote on one machine gives the same login to both on another.
# Seen: with `credsStore` and no such helper on the machine, skopeo reads the entry of `auths`; docker fails. With `credHelpers` for the registry both
#   fail. An entry with an `identitytoken` alone is a login to docker and none to skopeo. The old form without "auths" is read by docker only.
#   `username` and `password` without `auth` are no login to either.
# Why it matters: a pull with the right credentials in the file is anonymous in one step of a build and an error in the next. A writer of
#   the file puts `auth` under `auths` and leaves the rest out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v skopeo >/dev/null || apt-get -qq -y --no-install-recommends install skopeo >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check docker==7.2.0
skopeo --version
cat >"$work/read.py" <<'PY'
import sys
import docker.auth

try:
    found = docker.auth.load_config(sys.argv[1]).resolve_authconfig("registry.example") or {}
    print(found.get("username") or ("token" if found.get("IdentityToken") else "none"))
except Exception:
    print("error")
PY
changed=0
while read -r file wanted; do
  echo "$file" >"$work/config.json"
  by_skopeo=$(HOME=$work skopeo login --get-login --authfile "$work/config.json" registry.example 2>"$work/log") || {
    by_skopeo=error
    grep -q 'not logged into' "$work/log" && by_skopeo=none
  }
  got="$by_skopeo/$(HOME=$work "$work/venv/bin/python" "$work/read.py" "$work/config.json" 2>/dev/null)"
  echo "$file: skopeo/docker: $got"
  [ "$got" = "$wanted" ] || changed=1
done <<'CASES'
{"auths":{"registry.example":{"auth":"dTpw"}}} u/u
{"auths":{"registry.example":{"username":"u","password":"p"}}} none/none
{"auths":{"registry.example":{"identitytoken":"t"}}} none/token
{"credsStore":"absent","auths":{"registry.example":{"auth":"dTpw"}}} u/error
{"credHelpers":{"registry.example":"absent"},"auths":{"registry.example":{"auth":"dTpw"}}} error/error
{"registry.example":{"auth":"dTpw"}} none/u
CASES
exit "$changed"
