#!/usr/bin/env bash
# Software: PyJWT 2.15.1, joserfc 1.8.0, Authlib 1.9.6, python-jose 3.5.0, jwcrypto 1.6.1 (PyPI), jose 6.2.17, jsonwebtoken 9.0.3 (npm).
# Expected: `iat` says when a token was made and is no condition: RFC 7519 (4.1.6) names none. `nbf` is there for that.
# Seen: PyJWT, joserfc and Authlib refuse a good token whose `iat` is 90 s ahead of their clock. python-jose, jwcrypto, jose
#   and jsonwebtoken take it. An `nbf` that is 90 s ahead is refused by all.
# Why it matters: an issuer whose clock is some seconds ahead of a verifier's is served by one half of the services and locked out by the other half,
#   for the first seconds of each token only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install --no-compile --disable-pip-version-check authlib==1.9.6 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1 pyjwt==2.15.1
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent jose@6.2.17 jsonwebtoken@9.0.3
cat >"$work/run.mjs" <<'JS'
import { jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
const [token, text] = process.argv.slice(2), key = Buffer.from(text);
const jose = await jwtVerify(token, key).then(() => 'yes', () => 'no');
let other = 'yes';
try { jsonwebtoken.verify(token, key); } catch { other = 'no'; }
console.log(jose, other);
JS
cat >"$work/times.py" <<'PY'
import base64, json, subprocess, sys, time, warnings
warnings.simplefilter("ignore")
import authlib.jose, joserfc.jwk, joserfc.jwt, jwcrypto.jwk, jwcrypto.jwt, jwt
import jose.jwt

key = "0123456789abcdef" * 2

def by_joserfc(token):
    joserfc.jwt.JWTClaimsRegistry().validate(joserfc.jwt.decode(token, joserfc.jwk.OctKey.import_key(key)).claims)

def by_jwcrypto(token):
    jwcrypto.jwt.JWT(jwt=token, key=jwcrypto.jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()))

libraries = {
    "PyJWT": lambda token: jwt.decode(token, key, ["HS256"]),
    "joserfc": by_joserfc,
    "Authlib": lambda token: authlib.jose.jwt.decode(token, key).validate(),
    "python-jose": lambda token: jose.jwt.decode(token, key, ["HS256"]),
    "jwcrypto": by_jwcrypto,
}
changed = False
for name, claims, wanted in [
    ("iat now", {"iat": 0}, "yes yes yes yes yes yes yes"),
    ("iat 90 s ahead", {"iat": 90}, "no no no yes yes yes yes"),
    ("nbf 90 s ahead", {"nbf": 90}, "no no no no no no no"),
]:
    now = int(time.time())
    token = jwt.encode({"sub": "x", "exp": now + 600, **{claim: now + ahead for claim, ahead in claims.items()}}, key, "HS256")
    got = []
    for verify in libraries.values():
        try:
            verify(token)
            got.append("yes")
        except Exception:
            got.append("no")
    got += subprocess.run(["node", sys.argv[1] + "/run.mjs", token, key], capture_output=True, text=True, check=True).stdout.split()
    print(f"{name}: taken by " + ", ".join(f"{library} {seen}" for library, seen in zip([*libraries, "jose", "jsonwebtoken"], got)))
    changed |= got != wanted.split()
sys.exit(changed)
PY
"$work/venv/bin/python" "$work/times.py" "$work" 2>"$work/log" || { cat "$work/log"; exit 1; }
