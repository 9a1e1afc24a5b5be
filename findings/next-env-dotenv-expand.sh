#!/usr/bin/env bash
# Software: @next/env 16.4.6 (Next.js), dotenv 18.0.10 with dotenv-expand 1000.0.0 (the readers of Vite and many others), npm.
# Expected: both expand variables of a .env file, so both read one file alike.
# Seen: they differ on a bcrypt hash, on $ and a digit, on a $ at the end, on an open ${ and on nested defaults: with A set,
#   ${A:-${B:-z}} is the value of A to dotenv-expand, and z to @next/env.
# Why it matters: no spelling of such a value that was tested with one reader is safe for the other. A writer has to escape every $, or
#   refuse the value.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --ignore-scripts --silent @next/env@16.4.6 dotenv@18.0.10 dotenv-expand@1000.0.0
cat >"$work/run.js" <<'JS'
const fs = require('fs'), path = require('path');
const { loadEnvConfig } = require('@next/env'), dotenv = require('dotenv'), { expand } = require('dotenv-expand');
const cases = [ // as it stands in the file, next, dotenv-expand
  ["'$2b$10$N9qo8uLO'", '', '$2b$10'],
  ['"a$1b"', 'a', 'a$1b'],
  ['"$A-$"', '$A-$', 'one-$'],
  ['"a${B"', 'a', 'a${B'],
  ['"${A:-${B:-z}}"', 'z', 'one'],
  ['"a\\$b"', 'a$b', 'a$b'], // the escape that both know
  ['"$A$A"', 'oneone', 'oneone'],
];
let changed = false;
cases.forEach(([text, next, other], number) => {
  const folder = path.join(__dirname, `case${number}`);
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, '.env'), `A=one\nK=${text}\n`);
  const clean = { PATH: process.env.PATH };
  process.env = { ...clean };
  const byNext = loadEnvConfig(folder, false, { info() {}, error() {} }, true).combinedEnv.K;
  process.env = { ...clean };
  const byOther = expand({ parsed: dotenv.parse(fs.readFileSync(path.join(folder, '.env'))), processEnv: {} }).parsed.K;
  console.log(`${text}: @next/env ${JSON.stringify(byNext)}, dotenv-expand ${JSON.stringify(byOther)}`);
  changed ||= byNext !== next || byOther !== other;
});
process.exit(changed ? 1 : 0);
JS
node "$work/run.js"
