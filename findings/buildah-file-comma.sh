#!/usr/bin/env bash
# Software: Debian's Buildah (seen: 1.28.2).
# Expected: `buildah bud --file NAME` reads the file NAME. A comma is an ordinary character of a file name.
# Seen: the value is a list: `--file A,B` reads A and then B as one Dockerfile, and a file that is called "A,B" cannot be named. A quote in
#   the name is a parse error of CSV. The context, which is no option, takes both.
# Why it matters: a pipeline that passes its parameter on as --file="$DOCKERFILE" lets whoever sets the parameter add a second Dockerfile,
#   which runs with the same secret mounts. The parameter has to be checked.
set -euo pipefail
work=$(mktemp -d)
finish() {
  buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs rmi --all --force >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
command -v buildah >/dev/null || apt-get -qq -y --no-install-recommends install buildah >/dev/null
buildah --version
mkdir "$work/context"
cd "$work/context"
echo 'FROM scratch' >A
echo 'LABEL by=B' >B
echo 'FROM scratch' >'C,D'
bud() { buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs bud --isolation=chroot --tag "$1" "${@:2}" . 2>&1; }
bud one --file=A,B >"$work/out" || true
sed -n '/^STEP/p' "$work/out"
grep -q 'LABEL by=B' "$work/out"
bud two --file=C,D >"$work/out" && exit 1
tail -n 1 "$work/out" | sed "s|$work|WORK|g"
grep -q 'no such file or directory' "$work/out"
bud three --file='"x"y' >"$work/out" && exit 1
tail -n 1 "$work/out"
grep -q 'parse error on line 1' "$work/out"
