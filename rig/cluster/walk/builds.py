"""A build pod with a projected token does what docs/CLIENT.md says"""
from pods import build, documented, finished
from report import expect

AGAIN = """printf 'url = "%s"\\n' "$url" | curl -s -o /dev/null -w 'again %{http_code}\\n' -K -
"""
USE = """. /secrets/build-env
echo "NPM_TOKEN=$NPM_TOKEN REGISTRY=$REGISTRY"
"""
ASK = """curl -s -o /secrets/answer -w '%{http_code} ' -H "Authorization: Bearer $(cat /var/run/secrets/claviger/token)" \\
  --data-urlencode "repo=$REPO" --data-urlencode "branch=$BRANCH" "$CLAVIGER_URL/v1/tickets"; cat /secrets/answer
"""


def walk():
    code, output = finished(build("once", documented() + USE + AGAIN))
    expect("the documented lines fetch the bundle by the Service's name, over TLS", output, code == 0 and "NPM_TOKEN=it's the token of main" in output)
    expect("a second download is `410`", output.splitlines()[-1:], "again 410" in output)
    code, output = finished(build("other", ASK, account="other"))
    expect("a pod of another ServiceAccount is refused with `403`", output, output.startswith("403"))
    code, output = finished(build("other-lines", documented(), account="other"))
    expect("its documented lines fail", f"exit code {code}", code != 0)
    code, output = finished(build("absent", documented() + "wc -c </secrets/build-env\n", branch="feature/absent"))
    expect("a branch without secrets of its own gets the shared ones", f"exit code {code}, {output.strip()} bytes", code == 0 and int(output) > 0)
