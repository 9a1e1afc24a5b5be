#!/usr/bin/env bash
# Software: @ibm/tekton-lint 1.1.0 (npm).
# Expected: a linter for Tekton reports a field that Tekton does not have.
# Seen: `securityContex` in a step and `stepTemplte` in a Task are taken without a word, exit code 0. A param that is not defined is found.
# Why it matters: a misspelt securityContext is no securityContext: the step that holds the secrets runs as root, and the linter is green.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent @ibm/tekton-lint@1.1.0
cat >"$work/task.yaml" <<'YAML'
apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: fetch
spec:
  params:
    - name: repo
  stepTemplte:
    securityContext:
      runAsNonRoot: true
  steps:
    - name: fetch
      image: example:1.0.0
      securityContex:
        runAsNonRoot: true
      args: ["$(params.repo)"]
YAML
lint=$work/node_modules/.bin/tekton-lint
"$lint" "$work/task.yaml" >"$work/out"
echo "two misspelt fields: exit 0, output '$(tr -d '\n' <"$work/out")'"
[ -z "$(tr -d ' \n' <"$work/out")" ]
sed -i 's/params.repo)/params.branch)/' "$work/task.yaml"
"$lint" "$work/task.yaml" >"$work/out" && exit 1
grep -o "Undefined param 'branch'" "$work/out"
