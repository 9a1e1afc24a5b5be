//! The start: requirements, error messages, and memory.

use crate::rig::claviger::{Claviger, binary, run, wait_until};
use crate::rig::http::request;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// A public key: the base point of P-256, whose private key is 1.
const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1",
    "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]}"#;

/// Writes a configuration with its own database and default settings.
fn configure(folder: &Path, listen: &str, database: &Path) -> String {
    fs::write(folder.join("secrets.yaml"), "{}").unwrap();
    fs::write(folder.join("jwks.json"), JWKS).unwrap();
    let oidc = json!({"issuer": "https://issuer.invalid", "jwksFile": "jwks.json", "algorithms": ["ES256"]});
    let config = json!({
        "server": {"listen": listen, "opsListen": "127.0.0.1:0"},
        "authenticators": [{"name": "issuer", "oidc": oidc}],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "database": {"url": format!("sqlite://{}", database.display())},
    });
    let file = folder.join("claviger.yaml");
    fs::write(&file, config.to_string()).unwrap();
    file.display().to_string()
}

/// Serves for a moment as a user other than root. Returns the exit code (0 after a drain by SIGTERM) and standard
/// error.
fn serve_as_nobody(config: &str) -> (Option<i32>, String) {
    let is_root = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
    let mut command = Command::new("timeout");
    command.args(["-k", "10", "--preserve-status", "5"]);
    if is_root {
        command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    // Another user may have no access to the binary's folder.
    let copy = Path::new(config).with_file_name("claviger");
    fs::copy(binary(), &copy).unwrap();
    let output = command.arg(copy).args(["serve", "--config", config]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_address_in_use_is_exit_code_1() {
    let running = Claviger::sample();
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &running.api.to_string(), &folder.path().join("claviger.db"));
    let (code, _, stderr) = run(&["serve", "--config", &config]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("cannot listen on {}", running.api)), "{stderr}");
    assert_eq!(request(running.ops, "GET", "/livez", &[], b"").status, 200);
}

#[test]
fn it_runs_as_any_user_that_can_write_its_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let database = data.join("claviger.db");
    let config = configure(folder.path(), "127.0.0.1:0", &database);

    fs::set_permissions(&data, Permissions::from_mode(0o555)).unwrap();
    let (code, stderr) = serve_as_nobody(&config);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("claviger: database {}: the database cannot be opened: ", database.display())),
        "{stderr}"
    );
    assert!(!database.exists());

    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    let (code, stderr) = serve_as_nobody(&config);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("listening") && stderr.contains("stopped"), "{stderr}");
    let mode = fs::metadata(data.join("claviger.db.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_invalid_file_of_the_configuration_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), "127.0.0.1:0", &folder.path().join("claviger.db"));
    for (file, spoilt, place) in [
        ("jwks.json", r#"{"keys":[]}"#, "authenticators[0].oidc.jwksFile: "),
        ("secrets.yaml", "[hunter2]", "stores[0].file.path: "),
    ] {
        let file = folder.path().join(file);
        let good = fs::read(&file).unwrap();
        fs::write(&file, spoilt).unwrap();
        let (code, _, stderr) = run(&["serve", "--config", &config]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.lines().any(|line| line.starts_with(place)) && !stderr.contains("hunter2"), "{stderr}");
        fs::write(&file, good).unwrap();
    }
}

#[test]
fn a_database_in_memory_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    fs::write(folder.path().join("jwks.json"), JWKS).unwrap();
    let oidc = json!({
        "issuer": "https://issuer.invalid", "jwksFile": folder.path().join("jwks.json"), "algorithms": ["ES256"],
    });
    let claviger = Claviger::serve(json!({
        "authenticators": [{"name": "issuer", "oidc": oidc}],
        "stores": [{"name": "local", "file": {"path": folder.path().join("secrets.yaml")}}],
        "database": {"url": "sqlite::memory:"},
    }));
    assert_eq!(request(claviger.ops, "GET", "/readyz", &[], b"").status, 200);
    let files = fs::read_dir(claviger.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<BTreeSet<_>>(), BTreeSet::from(["claviger.yaml", "stderr", "stdout"].map(Into::into)));
}

#[test]
fn it_takes_little_memory() {
    let claviger = Claviger::sample();
    let idle = claviger.anonymous_memory();
    // A debug build needs 10 MB.
    assert!(idle < 24 << 20, "{idle}");
    for _ in 0..200 {
        let path = claviger.ticket("moreira.dev", "main");
        assert_eq!(claviger.download(&path).status, 200);
    }
    let grown = claviger.anonymous_memory().saturating_sub(idle);
    assert!(grown < 16 << 20, "{grown} more after 200 tickets");
}

#[test]
fn database_files_are_private_to_their_owner_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), "127.0.0.1:0", &folder.path().join("claviger.db"));
    let mode = |name: &str| fs::metadata(folder.path().join(name)).map(|file| file.permissions().mode() & 0o777).ok();
    // First the files are created with umask 000; then they exist and everyone can read them.
    for _ in 0..2 {
        let script = format!("umask 000; exec timeout -s INT 3 {} serve --config {config}", binary().display());
        let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        for name in ["claviger.db", "claviger.db-wal", "claviger.db-shm", "claviger.db.key"] {
            wait_until(name, || mode(name) == Some(0o600));
        }
        child.wait().unwrap();
        for name in ["claviger.db", "claviger.db-wal", "claviger.db-shm"] {
            let file = folder.path().join(name);
            if !file.exists() {
                fs::write(&file, "").unwrap();
            }
            fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        }
    }
}
