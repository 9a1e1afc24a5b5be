"""Starts and stops the cluster, and runs programs in it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import certificates
import cgroups
import contents
import settings
from place import BIN, CHECKOUT, NODE, NODE_IP, SERVICE_NETWORK, STATE

PID = STATE / "pid"


class Failed(Exception):
    """Something did not become as it should in its time."""


def pid():
    """The process that is process 1 in the cluster's namespaces, if it runs."""
    try:
        number = int(PID.read_text())
        return number if str(STATE) in pathlib.Path(f"/proc/{number}/cmdline").read_text() else None
    except (OSError, ValueError):
        return None


def inside(*command, namespaces="nmpiu", seconds=120, **options):
    """Runs a command in the cluster's namespaces, with a time limit."""
    flags = [f"-{letter}" for letter in namespaces]
    return subprocess.run(["nsenter", "-t", str(pid()), *flags, *map(str, command)], timeout=seconds, **options)


def kubectl(*arguments, given=None, check=True, seconds=60):
    """Runs kubectl as administrator; returns its output."""
    done = subprocess.run([str(STATE / "kubectl"), *map(str, arguments)], input=given, capture_output=True, text=True, timeout=seconds)
    if check and done.returncode != 0:
        raise Failed(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()[-800:]}")
    return done.stdout if check else done


def get(*arguments):
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def apply(*objects, server_side=False):
    """Applies objects (as dictionaries), or one text of YAML."""
    texts = [item if isinstance(item, str) else json.dumps(item) for item in objects]
    more = ["--server-side", "--force-conflicts"] if server_side else []
    return kubectl("apply", *more, "-f", "-", given="\n---\n".join(texts))


def until(what, is_so, seconds=60, pause=0.25):
    """Polls until a function is true; returns its value."""
    end, cause = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            value = is_so()
            if value:
                return value
        except (Failed, subprocess.TimeoutExpired, KeyError, IndexError, ValueError) as error:
            cause = f": {error}"
        time.sleep(pause)
    raise Failed(f"not within {seconds} s: {what}{cause}")


def store(*arguments, given=None, check=True):
    """Runs OpenBao's command line against the cluster's store."""
    environment = {**os.environ, "BAO_ADDR": "http://127.0.0.1:8210", "BAO_TOKEN": "root", "HOME": str(STATE)}
    return inside(BIN / "bao", *arguments, namespaces="n", env=environment, input=given, text=True, capture_output=True, check=check).stdout


def must_not_run():
    if pid():
        raise Failed(f"a cluster runs in {STATE}: make cluster-down ends it")


def start():
    must_not_run()
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    certificates.write()
    settings.write()
    cgroups.make()
    archives = contents.write()
    begin = time.monotonic()
    frame = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
         "bash", str(CHECKOUT / "rig" / "cluster" / "init"), str(STATE), str(BIN), NODE, NODE_IP,
         SERVICE_NETWORK],
        stdin=subprocess.DEVNULL, stdout=(STATE / "log.init").open("w"), stderr=subprocess.STDOUT, start_new_session=True)
    children = pathlib.Path(f"/proc/{frame.pid}/task/{frame.pid}/children")
    try:
        PID.write_text(until("the namespaces", lambda: children.read_text().split()[0], 10))
    except BaseException:
        frame.kill()  # with --kill-child its namespaces end too
        frame.wait()
        raise
    until("the API server answers", lambda: kubectl("get", "--raw", "/readyz") == "ok", 120)
    for archive in archives:
        import_image(archive)
    ready = '{.status.conditions[?(@.type=="Ready")].status}'
    until("the node is Ready", lambda: kubectl("get", "node", NODE, "-o", f"jsonpath={ready}") == "True", 120)
    return time.monotonic() - begin


def import_image(archive):
    def load():
        done = inside(BIN / "node" / "ctr", "-a", "/run/containerd/containerd.sock", "-n", "k8s.io", "images", "import", archive,
                      capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(done.stderr.strip()[-400:])
        return True

    until(f"the image {archive.name} is imported", load, 120)


def stop():
    """Ends everything of the cluster and removes its state."""
    number = pid()
    if number:
        os.kill(number, signal.SIGKILL)
        until("the cluster has ended", lambda: not pathlib.Path(f"/proc/{number}").exists(), 60)
    cgroups.remove()
    shutil.rmtree(STATE, ignore_errors=True)
