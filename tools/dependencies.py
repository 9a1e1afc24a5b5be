#!/usr/bin/env python3
"""Writes the table of docs/DESIGN.md that states what each dependency costs in the static executable.

Usage: tools/dependencies.py MAP docs/DESIGN.md
MAP is the linker's map of the executable, which `make dependencies` has written. A dependency costs the crates that only it needs, and the bytes of
their functions and data. A function of the standard library belongs to the first other crate that its symbol names, such as the type
that it is an instance of; a function of C belongs to the crate that compiled it.
"""

import collections
import json
import re
import subprocess
import sys

# Dependencies that are there for one thing, and so are counted together.
TOGETHER = {
    "AWS's SDK": ["aws-sdk-secretsmanager", "aws-sdk-sts", "aws-smithy-runtime-api", "aws-smithy-types"],
    "Azure's SDK": ["azure_core", "azure_identity", "azure_security_keyvault_secrets"],
    "Kubernetes' client": ["kube", "k8s-openapi"],
    "`vaultrs` and `rustify`": ["vaultrs", "rustify"],
    "gRPC": ["tonic", "tonic-prost", "prost"],
    "traces": ["tracing-opentelemetry", "opentelemetry", "opentelemetry_sdk", "opentelemetry-otlp", "opentelemetry-http"],
    "OpenAPI": ["utoipa", "utoipa-axum"],
    "TLS and cryptography": ["rustls", "tokio-rustls", "rustls-platform-verifier", "aws-lc-rs"],
    "image layers": ["tar", "flate2", "ruzstd"],
    "HTTP": ["tokio", "hyper", "hyper-util", "http", "http-body-util", "axum", "tower", "tower-http", "reqwest"],
}
STANDARD = {"core", "alloc", "std", "hashbrown", "compiler_builtins", "rustc_demangle", "addr2line", "gimli", "miniz_oxide", "panic_unwind"}
ROWS = 16
BEGIN, END = "<!-- dependencies -->\n", "<!-- /dependencies -->\n"


def graph():
    """Name of the root, and the names of the crates that each crate needs on Linux, by name; several versions of a crate are one."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    needs = collections.defaultdict(set)
    for node in metadata["resolve"]["nodes"]:
        for dependency in node["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                needs[names[node["id"]]].add(names[dependency["pkg"]])
    return names[metadata["resolve"]["root"]], needs


def reachable(root, needs, without=frozenset()):
    found, waiting = set(), [root]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found.add(crate)
            waiting += [needed for needed in needs[crate] if not (crate == root and needed in without)]
    return found


def crate_of(file, section, crates):
    """The crate, as symbols write it, that a piece of the executable belongs to."""
    symbol = re.sub(r"^\.(?:text|rodata|data\.rel\.ro|data|bss|tbss|tdata)\.?(?:unlikely\.|hot\.)?", "", section)
    for name in re.findall(r"[a-z_][a-z0-9_]*", re.sub(r"\d+(?=[a-z_])", " ", symbol) if symbol.startswith("_ZN") else ""):
        if name in crates and name not in STANDARD:
            return name
    # A crate's C code is an archive of its own in its library.
    if library := re.search(r"lib([a-z0-9_]+)-[0-9a-f]{16}\.rlib", file):
        return library[1]
    return None


def sizes(path, crates):
    found = collections.Counter()
    with open(path, errors="replace") as lines:
        for line in lines:
            # Address, load address, size, alignment, then a file with its section.
            part = re.match(r"\s*[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+ {9}(\S.*):\((\.\S+)\)$", line)
            if part and not part[3].startswith((".bss", ".tbss", ".debug", ".comment")):
                found[crate_of(part[2], part[3], crates)] += int(part[1], 16)
    return found


def main(path, document):
    root, needs = graph()
    everything = reachable(root, needs)
    written = {crate.replace("-", "_"): crate for crate in everything}
    bytes_of = collections.Counter()
    for crate, size in sizes(path, written).items():
        bytes_of[written.get(crate)] += size
    assert bytes_of[root] > 1_000_000, f"{path} is no map of the executable: {bytes_of.most_common(5)}"
    groups = {name: frozenset(parts) for name, parts in TOGETHER.items()}
    together = frozenset().union(*groups.values())
    unknown = together - needs[root]
    assert not unknown, f"no dependencies any more: {unknown}"
    groups |= {f"`{crate}`": frozenset([crate]) for crate in needs[root] - together}
    rows = []
    for name, parts in groups.items():
        only = everything - reachable(root, needs, parts)
        rows.append((sum(bytes_of[crate] for crate in only), name, sorted(only)))
    rows.sort(reverse=True)
    shared = set.intersection(*(everything - set(only) for _, _, only in rows)) - {root}
    table = ["| dependency | bytes | crates that only it needs |", "|---|--:|--:|", f"| Claviger itself | {bytes_of[root]:,} | |"]
    table += [f"| {name} | {size:,} | {len(only)} |" for size, name, only in rows[:ROWS]]
    rest = rows[ROWS:]
    table += [f"| {len(rest)} others together | {sum(row[0] for row in rest):,} | {sum(len(row[2]) for row in rest)} |"]
    table += [f"| crates that several of these need | {sum(bytes_of[crate] for crate in shared):,} | {len(shared)} |"]
    table += [f"| the standard library, C's, and what has no name | {bytes_of[None]:,} | |"]
    with open(document) as file:
        text = file.read()
    before, _, after = text.partition(BEGIN)
    assert after, f"{document} has no {BEGIN.strip()}"
    with open(document, "w") as file:
        file.write(before + BEGIN + "\n".join(table) + "\n" + END + after.partition(END)[2])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
