#!/usr/bin/env bash
# Software: minimatch 11.0.9, picomatch 4.0.7 (npm), with the machine's git (seen: 2.39.5) as the judge of branch names; Python's fnmatch.
# Expected: a branch name without *, ? and [ is a pattern that matches itself, and the two libraries read one pattern alike.
# Seen: git allows #123-fix, {a,b} and +(a). As patterns they do not match themselves in minimatch: # begins a comment, the others are
#   lists. picomatch and fnmatch match all three; in picomatch {a,b} matches a as well. `feature/**` matches `feature` in picomatch only. `release-[!0]`
#   is "not 0" in minimatch and fnmatch. picomatch reads "! or 0": it matches release-0 and not release-1.
# Why it matters: a list of allowed branches that was tried with one tool lets through or refuses others with the next. A rule for a branch whose name
#   begins with # never holds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent minimatch@11.0.9 picomatch@4.0.7
git --version
cat >"$work/run.mjs" <<'JS'
import { minimatch } from 'minimatch';
import picomatch from 'picomatch';
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(([pattern, name]) => [minimatch(name, pattern), picomatch(pattern)(name)])));
JS
cat >"$work/run.py" <<'PY'
import fnmatch, json, subprocess, sys

cases = [ # pattern, name, minimatch, picomatch, fnmatch
    ("#123-fix", "#123-fix", False, True, True),
    ("{a,b}", "{a,b}", False, True, True),
    ("{a,b}", "a", True, True, False),
    ("+(a)", "+(a)", False, True, True),
    ("feature/**", "feature", False, True, False),
    ("feature/**", "feature/a/b", True, True, True),
    ("release-[!0]", "release-1", True, False, True),
    ("release-[!0]", "release-0", False, True, False),
    ("release-[^0]", "release-1", True, True, False),
    ("release-[^0]", "release-0", False, False, True),
    ("release/*", "release/1", True, True, True),
]
for _, name, *_ in cases:
    subprocess.run(["git", "check-ref-format", "refs/heads/" + name], check=True)
pairs = json.dumps([case[:2] for case in cases])
seen = json.loads(subprocess.run(["node", sys.argv[1] + "/run.mjs", pairs], capture_output=True, text=True, check=True).stdout)
changed = False
for (pattern, name, *wanted), two in zip(cases, seen):
    got = [*two, fnmatch.fnmatchcase(name, pattern)]
    print(f"pattern {pattern}, branch {name}: minimatch {got[0]}, picomatch {got[1]}, fnmatch {got[2]}")
    changed |= got != wanted
sys.exit(changed)
PY
python3 "$work/run.py" "$work"
