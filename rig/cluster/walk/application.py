"""An application of an image without a shell, under `claviger exec`"""
from pods import SERVER, build, finished
from report import expect


def application(name, account="build-bot"):
    command = ["/claviger", "exec", f"--server={SERVER}", "--token-file=/var/run/secrets/claviger/token", "--repo=site", "--branch=main",
               "--ca-file=/ca/ca.crt", "--", "/application"]
    return build(name, "", account=account, image="application:1", command=command)


def walk():
    code, output = finished(application("application"))
    expect("it is replaced by the application (process 1, its exit code 7), which has the secret and not Claviger's variables",
           f"exit code {code}: {output}", code == 7 and output.startswith("pid 1, NPM_TOKEN of 22 bytes, CLAVIGER_URL not set"))
    code, output = finished(application("refused", account="other"))
    expect("without a policy for it: exit code 125, and the application does not run", f"exit code {code}: {output}",
           code == 125 and "pid" not in output)
