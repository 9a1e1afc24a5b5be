//! The reader programs. Each keeps running and answers one question per line, so that hundreds of questions cost
//! seconds.

use super::bundles::Variables;
use crate::rig::installed;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

/// Runs a program to its end in an empty environment.
pub fn run(command: &mut Command) -> Output {
    let path = command.get_envs().find_map(|(name, value)| (name == "PATH").then(|| value.map(ToOwned::to_owned))?);
    let program = PathBuf::from(command.get_program());
    let output = command.env_clear().envs(path.map(|path| ("PATH", path))).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{} cannot be run ({error}): run rig/install base", program.display()))
}

/// A program that gets the path of a file and answers with the file's variables, as a JSON object in hex.
pub struct Reader {
    name: &'static str,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: TempDir,
}

/// Python's `python-dotenv`, with its default interpolation.
pub fn python_dotenv() -> Reader {
    python(
        "python-dotenv",
        "
import sys, json, dotenv
for line in sys.stdin:
    variables = dotenv.dotenv_values(line.rstrip('\\n'))
    print(json.dumps({k: (v or '').encode().hex() for k, v in variables.items()}), flush=True)
",
    )
}

/// Python's `json`.
pub fn python_json() -> Reader {
    python(
        "Python's json",
        "
import sys, json
for line in sys.stdin:
    variables = json.loads(open(line.rstrip('\\n'), 'rb').read())
    print(json.dumps({k: v.encode().hex() for k, v in variables.items()}), flush=True)
",
    )
}

/// Node's `dotenv`, whose result must also reach the environment.
pub fn node_dotenv() -> Reader {
    let package = installed::folder().join("node/node_modules/dotenv");
    assert!(package.is_dir(), "Node's dotenv is not in {}: run rig/install dotenv", package.display());
    let script = "
const dotenv = require(process.argv[1]);
require('readline').createInterface({input: process.stdin}).on('line', path => {
    const read = {};
    const {parsed, error} = dotenv.config({path, quiet: true, processEnv: read});
    const hex = variables => Object.fromEntries(Object.entries(variables).map(([k, v]) => [k, Buffer.from(v).toString('hex')]));
    const same = !error && JSON.stringify(parsed) === JSON.stringify(read);
    process.stdout.write(JSON.stringify(same ? hex(read) : {}) + '\\n');
});
";
    Reader::start("Node's dotenv", Command::new("node").args(["-e", script]).arg(package), "dotenv")
}

/// What `node --env-file` reads: `util.parseEnv` is its parser.
pub fn node_env_file() -> Reader {
    by_node(
        "node --env-file",
        "
const {parseEnv} = require('util'), fs = require('fs');
const read = path => parseEnv(fs.readFileSync(path, 'utf8'));
",
    )
}

/// Next.js: `@next/env`.
pub fn next_env() -> Reader {
    by_node(
        "@next/env",
        "
const {processEnv} = require(package('@next/env')), fs = require('fs');
// Variables that the environment already has are not read.
for (const name of Object.keys(process.env)) delete process.env[name];
const read = path => {
    const file = {path: '.env', contents: fs.readFileSync(path, 'utf8'), env: {}};
    processEnv([file], '/', console, true);
    const {__NEXT_PROCESSED_ENV, ...variables} = process.env;
    for (const name of Object.keys(process.env)) delete process.env[name];
    return variables;
};
",
    )
}

/// npm's `dotenv` followed by `dotenv-expand`, as in Vite.
pub fn dotenv_expand() -> Reader {
    by_node(
        "dotenv-expand",
        "
const dotenv = require(package('dotenv')), {expand} = require(package('dotenv-expand'));
const read = path => {
    const processEnv = {};
    const {parsed} = dotenv.config({path, quiet: true, processEnv});
    return expand({parsed, processEnv}).parsed;
};
",
    )
}

/// A Node program with a function `read`, from a path to an object.
fn by_node(name: &'static str, read: &str) -> Reader {
    let modules = installed::folder().join("node/node_modules");
    assert!(modules.join("@next/env").is_dir(), "@next/env is not in {}: run rig/install dotenv", modules.display());
    let script = format!(
        "
const package = name => process.argv[1] + '/' + name;
{read}
require('readline').createInterface({{input: process.stdin}}).on('line', path => {{
    const hex = Object.entries(read(path)).map(([k, v]) => [k, Buffer.from(v).toString('hex')]);
    process.stdout.write(JSON.stringify(Object.fromEntries(hex)) + '\\n');
}});
"
    );
    Reader::start(name, Command::new("node").args(["-e", &script]).arg(modules), "dotenv")
}

/// Node's `JSON.parse`.
pub fn node_json() -> Reader {
    let script = "
const fs = require('fs');
require('readline').createInterface({input: process.stdin}).on('line', path => {
    const entries = Object.entries(JSON.parse(fs.readFileSync(path, 'utf8')));
    const pairs = entries.map(([k, v]) => JSON.stringify(k) + ':' + JSON.stringify(Buffer.from(v).toString('hex')));
    process.stdout.write('{' + pairs.join(',') + '}\\n');
});
";
    Reader::start("Node's JSON.parse", Command::new("node").args(["-e", script]), "dotenv")
}

/// Python's `netrc`: each machine with its `login:password`.
pub fn python_netrc() -> Reader {
    python(
        "Python's netrc",
        "
import sys, json, netrc
for line in sys.stdin:
    hosts = netrc.netrc(line.rstrip('\\n')).hosts
    print(json.dumps({k: f'{v[0]}:{v[2]}'.encode().hex() for k, v in hosts.items()}), flush=True)
",
    )
}

/// Python's `json` and `base64`: each registry with its `user:password`.
pub fn python_docker_config() -> Reader {
    python(
        "Python's json",
        "
import sys, json, base64
for line in sys.stdin:
    auths = json.loads(open(line.rstrip('\\n'), 'rb').read())['auths']
    pairs = {k: base64.b64decode(v.pop('auth'), validate=True).hex() for k, v in auths.items()}
    print(json.dumps({} if any(auths.values()) else pairs), flush=True)
",
    )
}

/// Python's `tarfile`: each file with its content, if all metadata are as expected.
pub fn python_tar() -> Reader {
    python(
        "Python's tarfile",
        "
import sys, json, tarfile
for line in sys.stdin:
    files = {}
    with tarfile.open(line.rstrip('\\n'), 'r:') as archive:
        for file in archive:
            facts = (file.isreg(), file.mode, file.uid, file.gid, file.mtime, file.uname, file.gname)
            if facts == (True, 0o400, 0, 0, 0, '', ''):
                files[file.name] = archive.extractfile(file).read().hex()
    print(json.dumps(files), flush=True)
",
    )
}

/// How npm reads a `.npmrc`: its ini parser and its expansion of `${NAME}`.
pub fn npm_ini() -> Reader {
    let script = "
const fs = require('fs'), path = require('path');
const npm = process.env.PATH.split(':').map(folder => path.join(folder, 'npm')).find(file => fs.existsSync(file));
const need = require('module').createRequire(fs.realpathSync(npm));
const ini = need('ini'), expand = need('@npmcli/config/lib/env-replace.js');
require('readline').createInterface({input: process.stdin}).on('line', file => {
    const entries = Object.entries(ini.parse(fs.readFileSync(file, 'utf8')));
    const texts = entries.filter(([, value]) => typeof value === 'string');
    const hex = texts.map(([key, value]) => [expand(key), Buffer.from(expand(value)).toString('hex')]);
    process.stdout.write(JSON.stringify(Object.fromEntries(hex)) + '\\n');
});
";
    Reader::start("npm", Command::new("node").args(["-e", script]), "dotenv")
}

fn python(name: &'static str, script: &str) -> Reader {
    Reader::start(name, Command::new(installed::folder().join("bin/python-dotenv")).args(["-c", script]), "dotenv")
}

impl Reader {
    fn start(name: &'static str, command: &mut Command, part: &str) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            started.unwrap_or_else(|error| panic!("{name} cannot be run ({error}): run rig/install {part}"));
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { name, child, questions, answers, folder: tempfile::tempdir().unwrap() }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the program reads from a file with these bytes.
    pub fn read(&mut self, bytes: &[u8]) -> Variables {
        let file = self.folder.path().join("file");
        std::fs::write(&file, bytes).unwrap();
        self.ask(&file)
    }

    fn ask(&mut self, file: &Path) -> Variables {
        writeln!(self.questions, "{}", file.display()).expect("the reader is up");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the reader answers");
        let answer: Variables = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{} fell over", self.name));
        answer.into_iter().map(|(name, hex)| (name, text(&hex))).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(hex: &str) -> String {
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).expect("a hex digit")).unwrap();
    let bytes = hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    String::from_utf8(bytes).expect("UTF-8")
}
