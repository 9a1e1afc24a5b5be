"""The control groups of the cluster's pods: a folder of their own in each hierarchy, with cgroup v1 and v2."""
import hashlib
import os
import pathlib

from place import STATE

ROOT = pathlib.Path("/sys/fs/cgroup")
# One for each cluster of the machine, so that their kubelets do not remove each other's pods.
NAME = "claviger-rig-" + hashlib.sha256(str(STATE).encode()).hexdigest()[:8]
V1 = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"]


def make():
    if (ROOT / "cgroup.controllers").exists():
        (ROOT / NAME).mkdir(exist_ok=True)
        for folder in [ROOT, ROOT / NAME]:
            (folder / "cgroup.subtree_control").write_text("+cpu +cpuset +io +memory +pids")
        return
    for controller in V1:
        if (ROOT / controller).is_dir():
            (ROOT / controller / NAME).mkdir(exist_ok=True)
    for name in ["cpuset.cpus", "cpuset.mems"]:
        (ROOT / "cpuset" / NAME / name).write_text((ROOT / "cpuset" / name).read_text())


def remove():
    """Removes the empty groups, children before parents. Processes must have ended."""
    for parent in [ROOT, *(entry for entry in ROOT.iterdir() if entry.is_dir() and not entry.is_symlink())]:
        for folder, _, _ in os.walk(parent / NAME, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
