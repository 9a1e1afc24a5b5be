"""The control groups of the cluster's pods: a folder of their own in each hierarchy, with cgroup v1 and v2."""
import os
import pathlib

ROOT = pathlib.Path("/sys/fs/cgroup")
NAME = "claviger-rig"
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
