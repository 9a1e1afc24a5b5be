#!/usr/bin/env bash
# Software: CEL in Rust (PyPI common-expression-language 0.10.0), C++ (PyPI cel-expr-python 0.1.3), Python (PyPI cel-python 0.5.0) and
#   JavaScript (npm @bufbuild/cel 0.6.1, cel-js 0.8.2).
# Expected: CEL has a specification with conformance tests, so an expression has one answer.
# Seen: `[0, 2].exists(x, 2 / x == 1)` is true by the specification, as an error counts only where no element is true; in Rust it is an error,
#   and with the list the other way round it is true. cel-js has no integers (7 / 2 is not 3, 2^53 is 2^53 + 1), and an error on the
#   left of || is an error. cel-python takes "1d" for a duration, and string(1.0) is "1.0" to it. int("0x10") is 16 to cel-python and @bufbuild/cel.
# Why it matters: a condition that was tried in a playground of one implementation denies or allows otherwise in the program that
#   enforces it. Conditions are tested with that program.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check common-expression-language==0.10.0 cel-expr-python==0.1.3 cel-python==0.5.0
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent @bufbuild/cel@0.6.1 cel-js@0.8.2
cat >"$work/run.mjs" <<'JS'
import { run } from '@bufbuild/cel';
import { evaluate } from 'cel-js';
const attempt = (evaluation) => {
  try {
    const value = evaluation();
    return typeof value === 'boolean' ? String(value) : 'error';
  } catch {
    return 'error';
  }
};
const texts = JSON.parse(process.argv[2]);
console.log(JSON.stringify(texts.map((text) => [attempt(() => run(text, {})), attempt(() => evaluate(text, {}))])));
JS
cat >"$work/answers.py" <<'PY'
import json, subprocess, sys
import cel, celpy
from cel_expr_python import cel as cpp

def attempt(evaluation):
    try:
        text = str(evaluation()).lower()
        return text if text in ("true", "false") else "error"
    except BaseException:
        return "error"

def by_celpy(text):
    environment = celpy.Environment()
    return environment.program(environment.compile(text)).evaluate({})

cases = { # expression: Rust, C++, Python, @bufbuild/cel, cel-js
    "[2, 0].exists(x, 2 / x == 1)": "true true true true error",
    "[0, 2].exists(x, 2 / x == 1)": "error true true true error",
    "[0, 1].all(x, 1 / x > 5)": "error false false false error",
    "(1 / 0 > 1) || true": "true true true true error",
    "7 / 2 == 3": "true true true true false",
    "9007199254740993 == 9007199254740992": "false false false false true",
    'duration("1d") > duration("0s")': "error error true error error",
    'int("0x10") == 16': "error error true true error",
    'string(1.0) == "1"': "true true false true error",
    "-7 % 3 == -1": "true true true true true",
    '"a" in {"a": 1}': "true true true true true",
}
ran = subprocess.run(["node", sys.argv[1] + "/run.mjs", json.dumps(list(cases))], capture_output=True, text=True, check=True)
changed = False
for (text, wanted), javascript in zip(cases.items(), json.loads(ran.stdout)):
    got = [attempt(lambda: cel.evaluate(text, {})), attempt(lambda: cpp.NewEnv().compile(text).eval().value()), attempt(lambda: by_celpy(text)), *javascript]
    print(f"{text}: Rust {got[0]}, C++ {got[1]}, Python {got[2]}, @bufbuild/cel {got[3]}, cel-js {got[4]}")
    changed |= got != wanted.split()
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/answers.py" "$work" 2>/dev/null
