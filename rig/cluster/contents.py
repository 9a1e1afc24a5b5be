"""The images that the cluster runs: what a registry would have, made of the rig's and this machine's programs."""
import pathlib
import subprocess

import images
from place import BIN, CSI_DRIVER, EXECUTABLE, STATE, TEKTON

PAUSE = """#include <signal.h>
#include <unistd.h>
static void end(int number) { _exit(0); }
int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  for (;;) pause();
}
"""
# An application of an image that has no shell: it shows that it has a secret, by its length, and which process it is.
APPLICATION = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  const char *secret = getenv("NPM_TOKEN");
  printf("pid %d, NPM_TOKEN of %zu bytes, CLAVIGER_URL %s\\n", (int)getpid(), secret ? strlen(secret) : 0,
         getenv("CLAVIGER_URL") ? "set" : "not set");
  return secret ? 7 : 1;
}
"""
NONROOT = "65532:65532"  # Tekton's init containers demand an image that is not root's
PASSWD = b"root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/home/nonroot:/bin/sh\n"
GROUP = b"root:x:0:\nnonroot:x:65532:\n"
FOLDERS = {"tmp": 0o1777, "etc": 0o755, "secrets": 0o777, "var": 0o755, "run": 0o755, "home": 0o755, "home/nonroot": 0o777}


def compiled(name, source):
    """A static program, which an empty image can run."""
    program = STATE / "images" / name
    subprocess.run(["gcc", "-O1", "-static", "-x", "c", "-o", str(program), "-"], input=source.encode(), check=True)
    return program


def stripped(program):
    target = STATE / "images" / "claviger"
    subprocess.run(["strip", "-o", str(target), str(program)], check=True)
    return target


def at(path, program):
    """A program and its libraries, itself at another path."""
    files = images.with_libraries(program)
    files.pop(str(program))
    return {path: program, **files}


def busybox():
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    return {f"bin/{name}": "busybox" for name in listed if name != "busybox"}


def write():
    """Writes all archives; returns their paths."""
    folder = STATE / "images"
    folder.mkdir(parents=True, exist_ok=True)
    archives = []

    def image(name, files, **rest):
        archive = folder / f"{name.replace(':', '-')}.tar"
        images.write(archive, name, files, **rest)
        archives.append(archive)

    claviger = at("/claviger", stripped(EXECUTABLE))
    certificates = {images.CA_BUNDLE: images.CA_BUNDLE}
    accounts = {"/etc/passwd": PASSWD, "/etc/group": GROUP}
    shell = {"/bin/busybox": "/bin/busybox", **accounts}
    image("pause:1", {"/pause": compiled("pause", PAUSE)}, entrypoint=["/pause"])
    image("claviger:0.1.0", {**claviger, **certificates}, entrypoint=["/claviger"])
    image("application:1", {**claviger, **certificates, "/application": compiled("application", APPLICATION)})
    # The build image: a shell, and curl with its libraries.
    image("build:1", {**shell, **images.with_libraries("/usr/bin/curl"), **certificates}, links=busybox(),
          folders=FOLDERS, user=NONROOT)
    for name in ["controller", "webhook"]:
        image(f"tekton-{name}:{TEKTON}", {f"/ko-app/{name}": BIN / "tekton" / name, **certificates}, entrypoint=[f"/ko-app/{name}"],
              user=NONROOT)
    for name in ["entrypoint", "nop", "workingdirinit"]:
        image(f"tekton-{name}:{TEKTON}", {f"/ko-app/{name}": BIN / "node" / name}, entrypoint=[f"/ko-app/{name}"],
              user=NONROOT, folders=FOLDERS)
    driver = {"/driver": BIN / "secrets-store-csi" / "driver", "/registrar": BIN / "node" / "csi-registrar",
              **images.with_libraries("/usr/bin/mount", "/usr/bin/umount")}
    image(f"secrets-store-csi:{CSI_DRIVER}", driver, folders=FOLDERS)
    if pathlib.Path("/usr/bin/buildah").exists():
        image("buildah:1", {**shell, **images.with_libraries("/usr/bin/buildah"), **certificates,
                            "/etc/containers/policy.json": b'{"default": [{"type": "insecureAcceptAnything"}]}',
                            "/etc/containers/registries.conf": b"", "/usr/share/base/busybox": "/bin/busybox",
                            "/etc/subuid": b"root:1:65535\n", "/etc/subgid": b"root:1:65535\n"},
              links=busybox(), folders={**FOLDERS, "var/tmp": 0o1777})
    return archives
