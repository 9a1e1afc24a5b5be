#!/usr/bin/env bash
# Software: the machine's curl (seen: 7.88.1), libcurl 8.23.0 (PyPI pycurl 7.49.0), aiohttp 3.14.5 (PyPI), Java's HttpClient and
#   HttpURLConnection where there is a java (seen: 17.0.15); requests 2.34.2, httpx 0.28.1 and Node's fetch as the control.
# Expected: without an option for retries, a client sends a request once, and a POST in any case.
# Seen: where the connection was used before and ends without an answer, curl sends the request a second time on a new connection, a POST too,
#   and says nothing of it. aiohttp and Java's HttpClient do so for a GET, HttpURLConnection for a POST too. requests, httpx and fetch
#   report an error after one request.
# Why it matters: a server that has read the request and died has done its work. The second request of a one-time download is a 410, as if
#   somebody else had taken it; the second POST makes a second ticket.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check pycurl==7.49.0 aiohttp==3.14.5 requests==2.34.2 httpx==0.28.1
cat >"$work/Ask.java" <<'JAVA'
import java.net.*;
import java.net.http.*;

public class Ask {
  public static void main(String[] given) throws Exception {
    URI first = URI.create(given[0] + "/first"), once = URI.create(given[0] + "/once");
    if (given[1].equals("HttpClient")) {
      var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
      client.send(HttpRequest.newBuilder(first).build(), HttpResponse.BodyHandlers.ofString());
      System.out.println(client.send(HttpRequest.newBuilder(once).build(), HttpResponse.BodyHandlers.ofString()).statusCode());
    } else {
      first.toURL().openStream().readAllBytes();
      var connection = (HttpURLConnection) once.toURL().openConnection();
      connection.setDoOutput(true);
      connection.getOutputStream().write('x');
      System.out.println(connection.getResponseCode());
    }
  }
}
JAVA
cat >"$work/run.py" <<'PY'
import asyncio, shutil, socket, subprocess, sys, threading
import aiohttp, httpx, pycurl, requests

class Server:
    """Answers /first, and ends the connection once it has read the first request for /once."""

    def __init__(self):
        self.seen = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, connection):
        with connection:
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(65536)
                    if not part:
                        return
                    head += part
                once = b" /once " in head
                self.seen += once
                if once and self.seen == 1:
                    return
                connection.sendall(b"HTTP/1.1 " + (b"410 Gone" if once else b"200 OK") + b"\r\nContent-Length: 2\r\n\r\nok")

def curl(*options):
    def run(url):
        command = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", url + "/first", "--next", "-sS", "--noproxy", "*"]
        command += ["-o", "/dev/null", "-w", "%{http_code}", *options, url + "/once"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return run

def libcurl(url):
    handle = pycurl.Curl()
    handle.setopt(pycurl.NOPROXY, "*")
    handle.setopt(pycurl.WRITEFUNCTION, lambda _: None)
    for path in ["/first", "/once"]:
        handle.setopt(pycurl.URL, url + path)
        handle.perform()
    return str(handle.getinfo(pycurl.RESPONSE_CODE))

def by_aiohttp(method):
    async def run(url):
        async with aiohttp.ClientSession() as session:
            async with session.get(url + "/first") as answer:
                await answer.read()
            async with session.request(method, url + "/once") as answer:
                return str(answer.status)
    return lambda url: asyncio.run(run(url))

def by_requests(url):
    with requests.Session() as session:
        session.trust_env = False
        session.get(url + "/first")
        return str(session.get(url + "/once").status_code)

def by_httpx(url):
    with httpx.Client(trust_env=False) as client:
        client.get(url + "/first")
        return str(client.get(url + "/once").status_code)

def node(url):
    script = "const u = process.argv[1]; fetch(u + '/first').then(r => r.text()).then(() => fetch(u + '/once')).then(r => console.log(r.status))"
    return subprocess.run(["node", "-e", script, url], capture_output=True, text=True, check=True).stdout.strip()

def java(kind):
    return lambda url: subprocess.run(["java", sys.argv[1] + "/Ask.java", url, kind], capture_output=True, text=True, check=True).stdout.strip()

print(subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split(" (")[0])
cases = [
    ("curl GET", curl(), 2, "410"), ("curl POST", curl("-d", "x"), 2, "410"), ("libcurl 8.23 GET", libcurl, 2, "410"),
    ("aiohttp GET", by_aiohttp("GET"), 2, "410"), ("aiohttp POST", by_aiohttp("POST"), 1, "error"),
    ("requests GET", by_requests, 1, "error"), ("httpx GET", by_httpx, 1, "error"), ("Node's fetch GET", node, 1, "error"),
]
if shutil.which("java"):
    cases += [("Java HttpClient GET", java("HttpClient"), 2, "410"), ("Java HttpURLConnection POST", java("HttpURLConnection"), 2, "410")]
changed = False
for name, ask, requests_wanted, wanted in cases:
    server = Server()
    try:
        got = ask(server.url)
    except Exception:
        got = "error"
    print(f"{name}: the server read {server.seen} requests, the client has {got}")
    changed |= (server.seen, got) != (requests_wanted, wanted)
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/run.py" "$work"
