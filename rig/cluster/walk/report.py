"""Runs the steps of the walk and prints what each expected and saw, as Markdown."""
import importlib
import subprocess
import sys
import time

from cluster import Failed

# In this order: each uses what the first has installed.
STEPS = ["product", "builds", "tekton", "application", "admission", "tokens", "volumes", "restarts", "buildah", "rotation"]
ROWS = []


def expect(expected, seen, is_so):
    """Records one row. The walk goes on after a failure."""
    seen = " ".join(str(seen).split()).replace("|", "\\|")
    ROWS.append(is_so)
    print(f"| {'yes' if is_so else '**no**'} | {expected} | {seen[:400]} |", flush=True)
    return is_so


def run(names):
    unknown = set(names) - set(STEPS)
    if unknown:
        sys.exit(f"no such step: {', '.join(unknown)} (there are: {', '.join(STEPS)})")
    for name in [step for step in STEPS if not names or step in names]:
        module = importlib.import_module(name)
        print(f"\n### {module.__doc__.strip()}\n\n| | expected | seen |\n|---|---|---|", flush=True)
        begin = time.monotonic()
        try:
            module.walk()
        except (Failed, subprocess.SubprocessError, KeyError, IndexError, ValueError) as error:
            expect("the step ends", f"{type(error).__name__}: {error}", False)
        print(f"\n{name}: {time.monotonic() - begin:.0f} s", flush=True)
    bad = ROWS.count(False)
    print(f"\n{len(ROWS)} checks, {bad} failed")
    return 1 if bad else 0
