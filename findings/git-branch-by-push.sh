#!/usr/bin/env bash
# Software: the machine's git (seen: 2.39.5).
# Expected: a branch that `git branch` refuses to make does not exist anywhere.
# Seen: `git branch` and `git check-ref-format --branch` refuse the name HEAD. `git push` makes that branch on a server
#   without a warning, and `git clone --branch=HEAD` checks it out; from then on HEAD is ambiguous in the clone.
# Why it matters: the rules of `git branch` do not hold for the branches of a server. A broker that takes a branch's name from a webhook needs its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$work
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.invalid GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@example.invalid
git --version
git init -q --bare "$work/server"
git init -q -b main "$work/clone"
cd "$work/clone"
git commit -q --allow-empty -m first
changed=0
does() { if "$@" >/dev/null 2>&1; then printf yes; else printf no; fi; }
while read -r name wanted; do
  checked=$(does git check-ref-format --branch "$name")
  made=$(does git branch -- "$name")
  pushed=$(does git push -q "$work/server" "HEAD:refs/heads/$name")
  cloned=$(does git clone -q --branch="$name" "$work/server" "$work/clone-$name")
  is=$(git -C "$work/clone-$name" symbolic-ref HEAD 2>/dev/null) || is=nothing
  got="$checked/$made/$pushed/$cloned/$is"
  echo "$name: check-ref-format --branch, git branch, push, clone, HEAD of the clone: $got"
  [ "$got" = "$wanted" ] || changed=1
done <<'CASES'
topic yes/yes/yes/yes/refs/heads/topic
HEAD no/no/yes/yes/refs/heads/HEAD
a..b no/no/no/no/nothing
CASES
git -C "$work/clone-HEAD" rev-parse HEAD 2>&1 >/dev/null | sed -n 1p
git -C "$work/clone-HEAD" rev-parse HEAD 2>&1 >/dev/null | grep -q 'is ambiguous'
exit "$changed"
