"""Speaks to a Vault with hvac, for the tests of the Vault-compatible API. See rig/go/vault-client/main.go for the commands."""

import json
import os
import sys

import hvac

client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ.get("VAULT_TOKEN"), verify=os.environ["VAULT_CACERT"])


def read(path):
    answer = client.secrets.kv.v2.read_secret_version(path, mount_point="claviger", raise_on_deleted_version=True)
    return answer["data"]["data"]


command, argument = sys.argv[1:]
try:
    if command == "login":
        client.auth.kubernetes.login(role="ci", jwt=open(argument).read())
        assert client.is_authenticated()
        print(client.token)
    elif command == "read":
        print(json.dumps(read(argument)))
    else:
        for line in open(argument):
            try:
                read(line.rstrip("\n"))
                print("ok")
            except hvac.exceptions.VaultError as error:
                print(type(error).__name__)
except hvac.exceptions.VaultError as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
