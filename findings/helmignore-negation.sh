#!/usr/bin/env bash
# Software: Helm 4's SDK (PyPI helm-python-sdk 0.2.2), the machine's git (seen: 2.39.5) as the control.
# Expected: in .helmignore, as in .gitignore, `*.key` and then `!keep/a.key` leave out all keys but that one. The file that `helm create` writes says
#   that ! negates.
# Seen: a line with ! leaves out everything that it does not match, whatever the other lines say: Chart.yaml too, so the chart cannot be loaded, and the
#   error is "Chart.yaml file is missing". `*.key` alone works as in git.
# Why it matters: the error leads away from the line that was added. Files are kept out of a packaged chart by patterns without !, and test
#   fixtures with keys go elsewhere.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip -q install --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --target "$work/pip" helm-python-sdk==0.2.2
mkdir -p "$work/chart/keep"
cd "$work/chart"
printf 'apiVersion: v2\nname: chart\nversion: 0.1.0\n' >Chart.yaml
touch a.key keep/a.key notes.txt
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q "$work/git"
cat >"$work/read.py" <<'PY'
import sys
sys.path.insert(0, sys.argv[1] + "/pip")
import helm_python as helm

try:
    with helm.Chart.load(sys.argv[1] + "/chart") as chart:
        names = [file if isinstance(file, str) else file["name"] for file in chart.files]
        print(",".join(sorted(name for name in names if not name.startswith("."))))
except helm.HelmError as error:
    print("missing" if "Chart.yaml file is missing" in str(error) else error)
PY
changed=0
while read -r patterns by_git by_helm; do
  tr ';' '\n' <<<"$patterns" >.helmignore
  cp .helmignore "$work/git/.git/info/exclude"
  got_git=$(git --git-dir="$work/git/.git" --work-tree=. ls-files --others --exclude-standard | grep -v '^\.\|Chart.yaml' | paste -sd,)
  got_helm=$(python3 "$work/read.py" "$work" 2>/dev/null)
  echo "$patterns: git keeps $got_git, Helm keeps $got_helm"
  [ "$got_git $got_helm" = "$by_git $by_helm" ] || changed=1
done <<'CASES'
*.key notes.txt notes.txt
*.key;!keep/a.key keep/a.key,notes.txt missing
!keep/a.key a.key,keep/a.key,notes.txt missing
keep/ a.key,notes.txt a.key,notes.txt
CASES
exit "$changed"
