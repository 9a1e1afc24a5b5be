"""Projected tokens as the kubelet writes them"""
from cluster import apply, inside, kubectl, until
from pods import RESTRICTED, build, finished, phase, remove, token
from report import expect

FILE = "/var/run/secrets/claviger/token"
STAT = f"stat -L -c '%a %u:%g' {FILE}"
# Samples the token by its folder and by a subPath; says at which age of the pod they change.
WATCH = """begin=$(date +%s); first=$(md5sum <token); cd /sub; second=$(md5sum <token)
while :; do
  sleep 5; age=$(($(date +%s) - begin))
  [ "$(md5sum </var/run/secrets/claviger/token)" = "$first" ] || { echo "folder changed at $age s"; break; }
done
sleep 70
[ "$(md5sum </sub/token)" = "$second" ] && echo 'subPath unchanged'
"""
USERS = [
    ("one user, no fsGroup", {}, None, "600 65532:0"),
    ("one user, fsGroup 2000", {"fsGroup": 2000}, None, "640 65532:2000"),
    ("root, no fsGroup", {"runAsUser": 0, "runAsNonRoot": False}, None, "600 0:0"),
    ("one user, defaultMode 0440", {}, 0o440, "600 65532:0"),
]


def rotation():
    """The pod that `rotation` is read from later."""
    watch = "cd /var/run/secrets/claviger\n" + WATCH
    apply(build("rotation", watch, mounts=[{"name": "token", "mountPath": "/sub/token", "subPath": "token"}]))


def modes():
    for number, (what, security, mode, expected) in enumerate(USERS):
        namespace = "images" if security.get("runAsUser") == 0 else "ci"
        pod = build(f"mode-{number}", STAT, account="tekton-bot", security={**RESTRICTED, **security}, namespace=namespace)
        pod["spec"]["volumes"][0] = token(mode=mode)
        _, output = finished(pod)
        expect(f"the token's mode and owner: {what}: {expected}", output, output.strip() == expected)


def ended(name, end):
    """The status that a token gets, never used before, when its pod has ended by `end`."""
    remove(name)
    pod = build(name, "trap 'exit 0' TERM; while [ ! -e /secrets/end ]; do sleep 0.2; done")
    pod["spec"]["terminationGracePeriodSeconds"] = 30
    apply(pod)
    until(f"pod {name} runs", lambda: phase(name) == "Running")
    shown = kubectl("-n", "ci", "exec", name, "--", "cat", FILE)
    end()
    address = kubectl("-n", "claviger", "get", "service", "claviger", "-o", "jsonpath={.spec.clusterIP}")
    return inside("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-k", "--connect-to", f"claviger.claviger.svc:8443:{address}:8443",
                  "-H", "@-", "-d", "repo=site&branch=main", "https://claviger.claviger.svc:8443/v1/tickets", namespaces="n",
                  input=f"Authorization: Bearer {shown}", text=True, capture_output=True).stdout


def walk():
    rotation()
    modes()
    expect("a running pod's token is accepted (the twin of the next rows)", seen := ended("running", lambda: None), seen in ["200", "201"])

    def finish():
        kubectl("-n", "ci", "exec", "succeeded", "--", "touch", "/secrets/end")
        until("the pod has succeeded", lambda: phase("succeeded") == "Succeeded")

    expect("the token of a pod that ended (`Succeeded`) is refused", seen := ended("succeeded", finish), seen == "401")
    expect("the token of a deleted pod is refused", seen := ended("deleted", lambda: remove("deleted")), seen == "401")
