#!/usr/bin/env bash
# Software: Authlib 1.9.6, python-jose 3.5.0, joserfc 1.8.0 (PyPI); jwcrypto 1.6.1, PyJWT 2.15.1 (PyPI) and jose 6.2.17 (npm) as the control.
# Expected: a set of keys with one more key that is of no use here still verifies a token of the RSA key in it. RFC 7517 (section 5) says that
#   keys of an unknown `kty` are passed over.
# Seen: Authlib and python-jose refuse the token for a key of the post-quantum `kty` AKP that stands before the right one. joserfc passes that
#   over, and refuses the set for an elliptic curve that it does not know, as python-jose does.
# Why it matters: the issuer adds a key for other purposes, and every token is refused until the library is replaced. No test with today's set of
#   keys shows it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check authlib==1.9.6 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1 'pyjwt[crypto]==2.15.1'
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent jose@6.2.17
cat >"$work/run.mjs" <<'JS'
import { createLocalJWKSet, jwtVerify } from 'jose';
const [token, set] = process.argv.slice(2);
console.log((await jwtVerify(token, createLocalJWKSet(JSON.parse(set)))).payload.sub);
JS
cat >"$work/keys.py" <<'PY'
import base64, json, subprocess, sys, time, warnings
warnings.simplefilter("ignore")
import authlib.jose, joserfc.jwk, joserfc.jwt, jwcrypto.jwk, jwcrypto.jwt, jwt
import jose.jwt
from cryptography.hazmat.primitives.asymmetric import rsa

key = rsa.generate_private_key(65537, 2048)
public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
public = {"kid": "a", "use": "sig", "alg": "RS256", "kty": "RSA", "n": public["n"], "e": public["e"]}
token = jwt.encode({"sub": "x", "exp": int(time.time()) + 600}, key, "RS256", {"kid": "a"})

def by_pyjwt(keys):
    return jwt.decode(token, jwt.PyJWKSet.from_dict(keys)["a"], ["RS256"])["sub"]

def by_jwcrypto(keys):
    return json.loads(jwcrypto.jwt.JWT(jwt=token, key=jwcrypto.jwk.JWKSet.from_json(json.dumps(keys))).claims)["sub"]

def by_jose(keys):
    command = ["node", sys.argv[1] + "/run.mjs", token, json.dumps(keys)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

libraries = {
    "Authlib": lambda keys: authlib.jose.jwt.decode(token, authlib.jose.JsonWebKey.import_key_set(keys))["sub"],
    "python-jose": lambda keys: jose.jwt.decode(token, keys, algorithms=["RS256"])["sub"],
    "joserfc": lambda keys: joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(keys)).claims["sub"],
    "jwcrypto": by_jwcrypto,
    "PyJWT": by_pyjwt,
    "jose": by_jose,
}
text = base64.urlsafe_b64encode(bytes(1312)).rstrip(b"=").decode()
others = [
    ("no other key", None, "yes yes yes yes yes yes"),
    ("AKP, ML-DSA-44", {"kty": "AKP", "alg": "ML-DSA-44", "pub": text}, "no no yes yes yes yes"),
    ("EC, another curve", {"kty": "EC", "crv": "brainpoolP320r1", "x": "AAAA", "y": "AAAA"}, "yes no no yes yes yes"),
    ("RSA for encryption", {**public, "use": "enc", "alg": "RSA-OAEP-256"}, "yes yes yes yes yes yes"),
]
changed = False
for name, other, wanted in others:
    keys = {"keys": [{**other, "kid": "b"}, public] if other else [public]}
    got = []
    for verify in libraries.values():
        try:
            got.append("yes" if verify(keys) == "x" else "other")
        except Exception:
            got.append("no")
    print(f"{name}: verified by " + ", ".join(f"{library} {seen}" for library, seen in zip(libraries, got)))
    changed |= got != wanted.split()
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/keys.py" "$work" 2>"$work/log" || { cat "$work/log"; exit 1; }
