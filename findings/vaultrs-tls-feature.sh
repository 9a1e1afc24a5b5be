#!/usr/bin/env bash
# Software: vaultrs 0.8.0 (Rust).
# Expected: without its default features the crate compiles, and has no TLS: its types of requests need none.
# Seen: it does not compile. Its client names a function of its HTTP library that exists only with a TLS backend, so one of the features for
#   TLS has to be chosen. With `rustls-no-provider` alone it compiles.
# Why it matters: whoever wants only the types, over a client of their own, takes the default features, and so a second cryptographic provider
#   that makes rustls panic at run time where no provider is chosen.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
echo 'fn main() {}' >"$work/src/main.rs"
with() { # with FEATURES: whether it compiles
  printf '[package]\nname = "seen"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nvaultrs = { version = "=0.8.0", default-features = false, features = [%s] }\n' \
    "$1" >"$work/Cargo.toml"
  (cd "$work" && cargo check --quiet) >"$work/out" 2>&1
}
with '"rustls-no-provider"'
echo 'with rustls-no-provider: compiles'
if with ''; then exit 1; fi
grep -m 1 -o 'no method named `[a-z_]*`\|no function or associated item named `[a-z_]*`' "$work/out"
grep -q 'could not compile `vaultrs`' "$work/out"
