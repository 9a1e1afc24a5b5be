"""A token's rotation, seen by a pod that `tokens` started"""
from cluster import kubectl, until
from pods import phase, remove
from report import expect


def walk():
    until("the pod has seen its token change", lambda: phase("rotation") in ["Succeeded", "Failed"], 640, pause=2)
    output = kubectl("-n", "ci", "logs", "rotation")
    age = int(output.split(" s")[0].rsplit(" ", 1)[1])
    expect("a token of 600 s is replaced at 80 % of its life (480 s) or up to two minutes later, when the kubelet looks again", output, 470 <= age <= 640)
    expect("a token that is mounted by `subPath` is never replaced", output, "subPath unchanged" in output)
    remove("rotation")
