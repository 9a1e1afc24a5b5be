#!/usr/bin/env bash
# Software: Helm 4's SDK (PyPI helm-python-sdk 0.2.2).
# Expected: `lint`, strict, reports a chart that cannot be rendered with its own values.
# Seen: `required` and `fail` do nothing in lint but a line in the log: the result has no error and no warning. Rendering the same chart
#   with the same values fails. A syntax error in the template is reported by both.
# Why it matters: a CI job that lints a chart passes values that no installation accepts, for instance a missing name of a Secret.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work/pip" helm-python-sdk==0.2.2
mkdir -p "$work/chart/templates"
printf 'apiVersion: v2\nname: chart\nversion: 0.1.0\nicon: https://example.invalid/i.png\n' >"$work/chart/Chart.yaml"
echo 'secret: ""' >"$work/chart/values.yaml"
cat >"$work/run.py" <<'PY'
import sys
sys.path.insert(0, sys.argv[1] + "/pip")
import helm_python as helm

chart, changed = sys.argv[1] + "/chart", False
for name, value, linted, rendered in [
    ("required", '{{ required "secret: must be set" .Values.secret }}', 0, False),
    ("fail", '{{ if not .Values.secret }}{{ fail "secret: must be set" }}{{ end }}x', 0, False),
    ("syntax error", "{{ if }}", 1, False),
    ("good", "{{ .Values.secret | default `x` }}", 0, True),
]:
    with open(chart + "/templates/a.yaml", "w") as file:
        file.write("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  secret: " + value + "\n")
    report = helm.lint(chart, None, strict=True)
    faults = len(report["errors"]) + sum(message["severity"] >= 2 for message in report["messages"])
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.render({}, name="release", namespace="default")
        renders = True
    except helm.HelmError:
        renders = False
    print(f"{name}: lint reports {faults} faults; it renders: {renders}", flush=True)
    changed |= (min(faults, 1), renders) != (linted, rendered)
sys.exit(changed)
PY
python3 "$work/run.py" "$work" 2>"$work/log" || { cat "$work/log"; exit 1; }
