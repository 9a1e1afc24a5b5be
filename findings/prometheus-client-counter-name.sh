#!/usr/bin/env bash
# Software: prometheus-client 0.26.0 (PyPI), its parser of the text format; Debian's Prometheus (seen: promtool 2.42.0) as the control.
# Expected: the parser gives each sample the name that stands in the text, as Prometheus stores it.
# Seen: a counter whose name does not end with _total, which the text format 0.0.4 allows and promtool reads, gets that ending: `builds 1` with `# TYPE
#   builds counter` is `builds_total`. Without the TYPE line it is `builds`. A gauge keeps its name.
# Why it matters: a script or exporter that reads a metrics endpoint with this library looks for a name that Prometheus, its alerts and its dashboards do
#   not have, and finds nothing under theirs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check prometheus-client==0.26.0
(cd "$work" && apt-get -qq download prometheus 2>/dev/null) # unpacked, as the package would start a server
dpkg -x "$work"/prometheus_*.deb "$work/root"
cat >"$work/run.py" <<'PY'
import subprocess, sys
from prometheus_client.parser import text_string_to_metric_families as parse

changed = False
for text, wanted in [
    ("# TYPE builds counter\nbuilds 1\n", "builds_total"),
    ("builds 1\n", "builds"),
    ("# TYPE builds_total counter\nbuilds_total 1\n", "builds_total"),
    ("# TYPE builds gauge\nbuilds 1\n", "builds"),
]:
    got = ",".join(sample.name for family in parse(text) for sample in family.samples)
    check = subprocess.run([sys.argv[1] + "/root/usr/bin/promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    read = "error while" not in check.stderr
    print(f"{text!r}: sample {got}; promtool reads it: {read}")
    changed |= got != wanted or not read
broken = subprocess.run([sys.argv[1] + "/root/usr/bin/promtool", "check", "metrics"], input="builds one\n", capture_output=True, text=True)
print("promtool, a text that is wrong:", broken.stderr.strip()[:60])
sys.exit(changed or "error while" not in broken.stderr)
PY
"$work/root/usr/bin/promtool" --version 2>&1 | sed -n 's/ (.*//;1p'
"$work/venv/bin/python" "$work/run.py" "$work"
