#!/usr/bin/env python3
"""Runs the tests that need an API server on several versions of Kubernetes and Tekton, asks each API server what Claviger relies on, and writes
both as tables of docs/COMPATIBILITY.md.

Usage: tools/matrix.py docs/COMPATIBILITY.md [KUBERNETES/TEKTON...]
With combinations, such as 1.37/1.9, only these are run, and the other rows stay. Needs root, as the tests with Tekton do, and what `make matrix`
installs.
"""

import base64
import datetime
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# Minors of the rig's parts; None is the version of the parts `kube` and `tekton`.
KUBERNETES = {"1.34": "kube-1.34", "1.35": "kube-1.35", "1.36": None, "1.37": "kube-1.37"}
TEKTON = {"1.9": None, "1.12": "tekton-1.12", "1.15": "tekton-1.15"}
# Each Kubernetes with the oldest supported Tekton, and each Tekton with the oldest, the tested and the newest Kubernetes.
COMBINATIONS = [(kube, "1.9") for kube in KUBERNETES] + [(kube, tekton) for tekton in ["1.12", "1.15"] for kube in ["1.34", "1.36", "1.37"]]
SUITES = ["authn", "attest", "admin", "custom_resources", "chart", "main_job", "lifecycle", "eso", "csi", "tekton"]
# What depends on Tekton's version.
WITH_TEKTON = ["tekton"]

HOME = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ["HOME"], ".cache")
RIG = os.environ.get("CLAVIGER_RIG") or os.path.join(HOME, "claviger-rig")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def version_of(name):
    """The version that a module folder of rig/go pins."""
    with open(f"{ROOT}/rig/go/{name}/go.mod") as file:
        return re.search(r"^require (?:k8s.io/kubernetes|github.com/tektoncd/pipeline) v(\S+)$", file.read(), re.M).group(1)


def rig_of(work, kube, tekton):
    """A rig folder with these versions, whose other parts are those of the rig."""
    folder = f"{work}/rig-{kube}-{tekton}"
    os.makedirs(folder + "/bin")
    for name in os.listdir(RIG):
        if name not in ["bin", "lock", "log"]:
            os.symlink(os.path.join(RIG, name), os.path.join(folder, name))
    for name in os.listdir(RIG + "/bin"):
        os.symlink(os.path.realpath(f"{RIG}/bin/{name}"), f"{folder}/bin/{name}")

    def instead(name, target):
        assert os.path.exists(target), f"{target} is missing: rig/install {os.path.basename(os.path.dirname(target))}"
        os.remove(f"{folder}/bin/{name}")
        os.symlink(os.path.realpath(target), f"{folder}/bin/{name}")

    if part := KUBERNETES[kube]:
        for name in ["kube-apiserver", "kubectl"]:
            instead(name, f"{RIG}/bin/{part}/{name}")
    if part := TEKTON[tekton]:
        instead("tekton", f"{RIG}/bin/{part}")
    return folder


def run_tests(rig, *arguments):
    """The tests that ran, with their results."""
    command = ["cargo", "test", "--locked", "--test", "it", "--", "--color=never", *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=dict(os.environ, CLAVIGER_RIG=rig), stdout=subprocess.PIPE, text=True, timeout=3 * 3600)
    assert "test result: " in ran.stdout, f"the tests did not end: exit code {ran.returncode}"
    print(ran.stdout[-20000:] if "test result: FAILED" in ran.stdout else "", end="", file=sys.stderr)
    return dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", ran.stdout, re.M))


def run_suites(rig, suites):
    """Cells by suite: how many tests passed. A test that fails is run once more, alone: on a busy machine servers start too late."""
    results = run_tests(rig, *(suite + "::" for suite in suites))
    failed = [name for name, result in results.items() if result == "FAILED"]
    if failed:
        results |= run_tests(rig, "--exact", "--test-threads=1", *failed)
    cells = {}
    for suite in suites:
        of_suite = {name: result for name, result in results.items() if name.startswith(suite + "::")}
        failed = [f"`{name}`" for name, result in of_suite.items() if result == "FAILED"]
        assert of_suite, f"no test of {suite} ran"
        cells[suite] = f"{len(of_suite) - len(failed)} passed" + (f", **failed: {', '.join(failed)}**" if failed else "")
    return cells


class ApiServer:
    """An API server with etcd, as the tests start it."""

    def __init__(self, work, programs):
        self.folder = tempfile.mkdtemp(dir=work)
        etcd, peer, self.port = [free_port() for _ in range(3)]
        run = lambda *words: subprocess.run(words, cwd=self.folder, check=True, capture_output=True)
        run("openssl", "genrsa", "-out", "sa.key", "2048")
        run("openssl", "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
        with open(self.folder + "/tokens.csv", "w") as file:
            file.write('root-token,root,1,"system:masters"\n')
        listen = f"http://127.0.0.1:{etcd}"
        log = open(self.folder + "/log", "w")
        start = lambda *words: subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes = [
            start(f"{programs}/etcd", "--data-dir", "etcd", "--listen-client-urls", listen, "--advertise-client-urls", listen,
                  "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--unsafe-no-fsync"),
            start(f"{programs}/kube-apiserver", f"--etcd-servers={listen}", "--cert-dir=certs", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
                  "--service-cluster-ip-range=10.0.0.0/24", "--service-account-key-file=sa.pub", "--service-account-signing-key-file=sa.key",
                  "--service-account-issuer=https://kubernetes.default.svc", "--api-audiences=https://kubernetes.default.svc",
                  "--authorization-mode=RBAC", "--token-auth-file=tokens.csv", "--disable-admission-plugins=ServiceAccount"),
        ]
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self):
        deadline = time.monotonic() + 120
        while True:
            try:
                context = ssl.create_default_context(cafile=self.folder + "/certs/apiserver.crt")
                context.check_hostname = False
                self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except (OSError, ssl.SSLError):
                pass
            assert time.monotonic() < deadline, "the API server does not start: " + open(self.folder + "/log").read()[-2000:]
            time.sleep(0.2)

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def call(self, method, path, body=None):
        """Status and answer."""
        headers = {"Authorization": "Bearer root-token", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with self.opener.open(request, timeout=30) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def makes(self, path, body):
        status, answer = self.call("POST", path, body)
        assert status == 201, (path, status, answer)
        return answer

    def service_account(self, name):
        self.makes("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})

    def pod(self, name):
        spec = {"serviceAccountName": "bot", "nodeName": "node", "containers": [{"name": "c", "image": "i"}]}
        return self.makes("/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})

    def token_request(self, account, audiences, pod=None, seconds=600):
        bound = pod and {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound}
        return self.call("POST", f"/api/v1/namespaces/default/serviceaccounts/{account}/token", {"spec": spec})

    def token(self, *arguments, **named):
        status, answer = self.token_request(*arguments, **named)
        assert status == 201, (status, answer)
        return answer["status"]["token"]

    def review(self, token, *audiences):
        return self.makes("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token, "audiences": audiences}})["status"]

    def takes(self, token):
        return self.review(token, "claviger").get("authenticated", False)

    def ended(self, token, seconds):
        """The same token, signed anew, which ended this many seconds ago."""
        header, claims, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
        end = int(time.time()) - seconds
        claims |= {"exp": end, "iat": end - 600, "nbf": end - 600}
        signed = f"{header}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}"
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.folder + "/sa.key"], input=signed.encode(), capture_output=True, check=True).stdout
        return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


FACTS = [
    "extras of a pod's token", "token for A and B, review for B, A and C", "token that ended 50 s and 70 s ago",
    "ServiceAccount deleted: known token, new token", "pod deleted: new token", "TokenRequest for 599 s", "TokenRequest for 10 years",
]


def facts(server):
    """Cells in the order of FACTS."""
    for name in ["bot", "gone", "unseen"]:
        server.service_account(name)
    server.makes("/api/v1/nodes", {"metadata": {"name": "node"}})
    pod = server.pod("one")
    token = server.token("bot", ["claviger"], pod)
    extras = sorted(key.removeprefix("authentication.kubernetes.io/") for key in server.review(token, "claviger")["user"]["extra"])
    order = server.review(server.token("bot", ["A", "B"]), "B", "A", "C")["audiences"]
    leeway = ["taken" if server.takes(server.ended(token, seconds)) else "refused" for seconds in [50, 70]]
    known, unseen = server.token("gone", ["claviger"]), server.token("unseen", ["claviger"])
    assert server.takes(known)
    since = time.monotonic()
    for name in ["gone", "unseen"]:
        server.call("DELETE", f"/api/v1/namespaces/default/serviceaccounts/{name}")
    at_once = "taken" if server.takes(unseen) else "refused"
    while server.takes(known):
        assert time.monotonic() < since + 60, "a token outlives its ServiceAccount"
        time.sleep(0.1)
    lasted = round(time.monotonic() - since)
    other = server.token("bot", ["claviger"], pod)
    server.call("DELETE", "/api/v1/namespaces/default/pods/one?gracePeriodSeconds=0")
    of_gone_pod = "taken" if server.takes(other) else "refused"
    status, answer = server.token_request("bot", ["claviger"], seconds=599)
    short = "granted" if status == 201 else f"{status}: {answer['message'].rsplit(': ', 1)[-1]}"
    status, long = server.token_request("bot", ["claviger"], seconds=315360000)
    granted = f"{long['spec']['expirationSeconds']} s" if status == 201 else str(status)
    return [
        ", ".join(f"`{name}`" for name in extras), ", ".join(order), ", ".join(leeway), f"refused after {lasted} s, {at_once}", of_gone_pod,
        short, granted,
    ]


def replaced(document, name, head, rows):
    """The document with these rows in its table of that name. Other rows stay; all are in the order of their keys."""
    begin, end = f"<!-- {name}: written by tools/matrix.py -->\n", f"<!-- end of {name} -->\n"
    before, rest = document.split(begin)
    old, after = rest.split(end)
    of_row = lambda line: tuple(cell.strip() for cell in line.strip("|\n ").split("|")[:2 if name == "suites" else 1])
    kept = {of_row(line): line for line in old.splitlines()[2:]} if old.startswith(head[0]) else {}
    for cells in rows:
        line = f"| {' | '.join(cells)} |"
        kept[of_row(line)] = line
    numbers = lambda key: [[int(part) for part in cell.split(".")] for cell in reversed(key)]
    lines = [head[0], head[1], *(kept[key] for key in sorted(kept, key=numbers))]
    return before + begin + "\n".join(lines) + "\n" + end + after


def head_of(names):
    return f"| {' | '.join(names)} |", "|" + "---|" * len(names)


def main():
    path, *chosen = sys.argv[1:]
    path = os.path.abspath(path)
    wanted = [tuple(one.split("/")) for one in chosen] or COMBINATIONS
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"]:
        os.environ.pop(name, None)
    today = datetime.date.today().isoformat()
    work = tempfile.mkdtemp()
    suites, asked = [], []
    try:
        for kube, tekton in wanted:
            rig = rig_of(work, kube, tekton)
            versions = version_of(KUBERNETES[kube] or "kube"), version_of(TEKTON[tekton] or "tekton")
            if TEKTON[tekton] is None:
                server = ApiServer(work, rig + "/bin")
                try:
                    asked.append([versions[0], *facts(server), today])
                finally:
                    server.stop()
            cells = run_suites(rig, SUITES if TEKTON[tekton] is None else WITH_TEKTON)
            suites.append([*versions, *(cells.get(suite, "") for suite in SUITES), today])
            print(f"Kubernetes {versions[0]}, Tekton {versions[1]}: {cells}", flush=True)
            with open(path) as file:
                document = file.read()
            document = replaced(document, "suites", head_of(["Kubernetes", "Tekton", *(f"`{suite}`" for suite in SUITES), "run on"]), suites)
            document = replaced(document, "API servers", head_of(["Kubernetes", *FACTS, "run on"]), asked)
            with open(path, "w") as file:
                file.write(document)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if any("failed" in cell for row in suites for cell in row):
        sys.exit("some tests failed")


main()
