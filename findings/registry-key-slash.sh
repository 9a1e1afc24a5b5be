#!/usr/bin/env bash
# Software: Debian's skopeo (seen: 1.9.3), whose library for credentials is that of Buildah and Podman.
# Expected: a key of auths in auth.json is a prefix of what is pulled, and a slash at its end changes nothing, as with a URL.
# Seen: a key with a slash at its end and no scheme is never found, for the host or for a path below it, and nothing is told. With a scheme
#   the slash does no harm, but then the path of the key is dropped too: it holds for the whole host.
# Why it matters: the pull is anonymous and fails with "unauthorized", with the right credentials in the file. A writer of auth.json drops
#   the slash.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v skopeo >/dev/null || apt-get -qq -y --no-install-recommends install skopeo >/dev/null
skopeo --version
changed=0
while read -r key asked wanted; do
  printf '{"auths": {"%s": {"auth": "%s"}}}' "$key" "$(printf 'user:password' | base64)" >"$work/auth.json"
  got=$(skopeo login --get-login --authfile "$work/auth.json" "$asked" 2>/dev/null) || got=none
  echo "key $key, asked for $asked: $got"
  [ "$got" = "$wanted" ] || changed=1
done <<'CASES'
registry.example registry.example user
registry.example/ registry.example none
registry.example/team registry.example/team user
registry.example/team/ registry.example/team none
registry.example/team registry.example none
https://registry.example/team/ registry.example/team user
https://registry.example/team/ registry.example user
CASES
exit "$changed"
