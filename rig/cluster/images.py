"""Images by hand: one layer, written as OCI archives, for a cluster that can reach no registry."""
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def with_libraries(*programs):
    """A program's files: its own and those of the libraries that the loader finds, by their paths in the image."""
    files = {}
    for program in programs:
        files[str(program)] = program
        shown = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
        for line in shown.splitlines():
            word = line.split("=>")[-1].split()
            if word and word[0].startswith("/"):
                files[word[0]] = word[0]
    return files


def blob(folder, content):
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def layer(files, links, folders):
    """A layer's bytes. Everything belongs to root, with the modes of the machine's files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, mode in folders.items():
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        for path, source in files.items():
            content = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
            entry = tarfile.TarInfo(path.strip("/"))
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for path, target in links.items():
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def write(archive, name, files, entrypoint=(), user="", links={}, folders={}):
    """Writes the archive of the image `docker.io/library/NAME`."""
    folder = archive.parent / f"{archive.name}.layout"
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    content = layer(files, links, folders)
    diff = hashlib.sha256(content).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]},
    }
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(blobs, json.dumps(config).encode())},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(blobs, content)}],
    }
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": manifest["mediaType"], **blob(blobs, json.dumps(manifest).encode()),
        "annotations": {"io.containerd.image.name": f"docker.io/library/{name}"}}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    with tarfile.open(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.add(path, path.relative_to(folder), recursive=False)
    subprocess.run(["rm", "-r", str(folder)], check=True)
