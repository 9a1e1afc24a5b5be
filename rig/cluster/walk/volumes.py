"""The Secrets Store CSI driver with a real kubelet, and `claviger csi` as the chart's DaemonSet"""
import re
import time

import driver
import product
from cluster import apply, get, kubectl, store, until
from place import STATE
from pods import build, finished, phase, remove
from report import expect

SHOW = "cd /mounted; id -u; for name in * .[!.]*; do [ ! -f $name ] || echo \"$name $(stat -L -c %a $name) $(wc -c <$name) $(cat $name)\"; done"
STAY = SHOW + "; while :; do sleep 1; done"


def mounting(name, script=SHOW, **attributes):
    attributes = {"secretProviderClass": "site", **attributes}
    volume = {"name": "mounted", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}}
    return build(name, script, volumes=[volume], mounts=[{"name": "mounted", "mountPath": "/mounted", "readOnly": True}])


def event(name):
    """The last event of a pod that tells of a failed mount."""
    events = get("-n", "ci", "events", "--field-selector", f"involvedObject.name={name}")["items"]
    return next((found["message"] for found in reversed(events) if found["reason"] == "FailedMount"), "")


def classes():
    for repo in ["site", "empty", "other"]:
        apply({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": repo, "namespace": "ci"},
               "spec": {"provider": "claviger", "parameters": {"repo": repo, "branch": "main"}}})


def install(rotation):
    driver.install(rotation)
    product.install(csi={"enabled": True, "namespace": "claviger-csi", "caConfigMap": "claviger-ca"})
    kubectl("-n", "claviger-csi", "rollout", "status", "daemonset/claviger-csi", "--timeout=90s", seconds=100)


def waits(name, code, seconds=60):
    said = until(f"pod {name} tells why it waits", lambda: event(name), seconds)
    return said if code in said else until(f"pod {name} tells of {code}", lambda: code in event(name) and event(name), seconds)


def sealed():
    key = re.search(r"Unseal Key: (\S+)", (STATE / "log" / "store").read_text()).group(1)
    store("operator", "seal")
    return lambda: store("operator", "unseal", key)


def walk():
    install(rotation=False)
    classes()
    code, output = finished(mounting("mounts"))
    expect("a pod with a user of its own (65532) mounts the bundle as files", output,
           code == 0 and output.startswith("65532") and "NPM_TOKEN 444 22 it's the token of main" in output)
    code, output = finished(mounting("empty", secretProviderClass="empty"))
    expect("an empty bundle: the pod starts, with a marker file", output, code == 0 and ".claviger-empty 444 0" in output)
    apply(mounting("denied", secretProviderClass="other"))
    said = waits("denied", "denied")
    expect("a repo that no policy allows: the pod waits, and the event says why", f"{phase('denied')}: {said}",
           phase("denied") == "Pending" and "PermissionDenied" in said)
    remove("denied")
    install(rotation=True)
    down()
    vanishing()


def down():
    """The store (where a branch has `~` for `/`) is sealed when a pod mounts first, with rotation on."""
    store("kv", "put", "homelab/site/feature~down", "NPM_TOKEN=after the outage")
    unseal = sealed()
    try:
        apply(mounting("down", STAY, branch="feature/down"))
        said = waits("down", "store_unavailable", 120)
        # Longer than the driver's pause between rotations, and than kubelet's between its own repetitions.
        time.sleep(100)
        seen = phase("down")
        expect("the store is down at the first mount, with rotation on: the pod waits for 100 s more, and does not start without secrets",
               f"{seen}: {said}", seen == "Pending")
    finally:
        unseal()
    until("the pod starts when the store is back", lambda: phase("down") == "Running", 200)
    output = until("its output", lambda: kubectl("-n", "ci", "logs", "down"))
    expect("when the store is back the pod starts with its secrets", output, "after the outage" in output)
    remove("down")


def vanishing():
    """A secret loses a key while a pod has the volume, with rotation on."""
    store("kv", "put", "homelab/site/feature~vanish", "EXTRA=soon gone", "NPM_TOKEN=old")
    apply(mounting("vanish", STAY, branch="feature/vanish"))
    until("the pod runs", lambda: phase("vanish") == "Running", 60)
    there = kubectl("-n", "ci", "exec", "vanish", "--", "ls", "/mounted")
    store("kv", "put", "homelab/site/feature~vanish", "NPM_TOKEN=new")
    begin = time.monotonic()
    until("the file vanishes", lambda: "EXTRA" not in kubectl("-n", "ci", "exec", "vanish", "--", "ls", "/mounted"), 300, pause=2)
    left = kubectl("-n", "ci", "exec", "vanish", "--", "sh", "-c", "cd /mounted; ls; cat NPM_TOKEN")
    expect("with rotation on, a removed key's file vanishes and a changed one is replaced",
           f"before: {there.split()}; after {time.monotonic() - begin:.0f} s: {left}", "EXTRA" in there and "new" in left)
    remove("vanish")
