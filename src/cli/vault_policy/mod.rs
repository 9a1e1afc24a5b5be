//! `claviger vault-policy`: the minimal ACL that a Vault or OpenBao token needs for the policies.

mod hcl;

use super::config_file::ConfigFile;
use super::failure::Failure;
use super::policy;
use super::server::ServerArguments;
use crate::app::{self, Engine};
use crate::config::stores::Kind;
use crate::config::{self, Config};
use crate::document::Fault;
use crate::model::secret_ref::SecretRef;
use crate::policy::{Access, GrantedPath, PathPart, Policy};
use hcl::{Mount, Needed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

/// The options of `claviger vault-policy`.
#[derive(Debug, clap::Args)]
pub struct VaultPolicy {
    #[command(flatten)]
    file: ConfigFile,
    /// Print only the policy for this store (default: all Vault stores).
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Ask the stores for the engine of each mount. The configured credentials need at least one capability, of any kind, on each mount.
    #[arg(long)]
    online: bool,
    /// Engine of a mount, instead of --online: `homelab=kv2`, `old=kv1`, `database=dynamic`; repeatable.
    #[arg(long = "mount", value_name = "PATH=ENGINE", conflicts_with = "online")]
    mounts: Vec<GivenMount>,
    /// Server whose policies are used, including stored ones (default: those of the configured directory).
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File with the bearer token of an administrator of that server.
    #[arg(long, env = "CLAVIGER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow `http` to another host; the token is sent unencrypted.
    #[arg(long, env = "CLAVIGER_INSECURE")]
    insecure: bool,
}

impl VaultPolicy {
    fn server(&self) -> Result<Option<ServerArguments>, Failure> {
        let Some(server) = self.server.clone() else { return Ok(None) };
        let token_file = self.token_file.clone();
        let token_file = token_file.ok_or_else(|| Failure::usage("--server needs --token-file"))?;
        Ok(Some(ServerArguments::new(server, token_file, self.ca_file.clone(), self.insecure)))
    }
}

/// A mount given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenMount(Mount);

impl FromStr for GivenMount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, engine) = text.split_once('=').ok_or("must be PATH=ENGINE")?;
        let engine = match engine {
            "kv1" => Engine::KvV1,
            "kv2" => Engine::KvV2,
            "dynamic" => Engine::Dynamic,
            _ => return Err("the engine must be kv1, kv2 or dynamic"),
        };
        let path = path.trim_matches('/');
        if path.is_empty() {
            return Err("the path must not be empty");
        }
        Ok(Self(Mount { segments: path.split('/').map(Into::into).collect(), engine }))
    }
}

/// Paths by store, and the operation on each.
type Paths = BTreeMap<Arc<str>, BTreeMap<Vec<PathPart>, BTreeSet<Access>>>;

/// The mount of each path.
type Mounts = BTreeMap<(Arc<str>, Vec<PathPart>), Mount>;

/// Prints the ACL.
pub fn run(options: &VaultPolicy) -> ExitCode {
    match print(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print_and_code(),
    }
}

fn print(options: &VaultPolicy) -> Result<(), Failure> {
    let config = config::load(&options.file.config).map_err(|faults| {
        super::faults::print(&options.file.config, &faults);
        Failure::usage("the configuration is not good")
    })?;
    let stores = vault_stores(&config, options.store.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?;
    let policies = match options.server()? {
        Some(server) => runtime.block_on(of_server(&server, &config))?,
        None => of_directory(&config)?,
    };
    let paths = paths(&policies, &stores);
    let mounts = if options.online {
        runtime.block_on(mounts_of_servers(&config, &paths))?
    } else {
        mounts_given(&options.mounts, &paths)?
    };
    for store in stores {
        let needed = Needed { paths: paths.get(&store), mounts: &mounts };
        print!("{}", needed.hcl(&store).map_err(Failure::Failed)?);
    }
    Ok(())
}

fn vault_stores(config: &Config, only: Option<&str>) -> Result<Vec<Arc<str>>, Failure> {
    let vaults = config.stores.iter().filter(|store| matches!(store.kind, Kind::Vault(_)));
    let named: Vec<_> =
        vaults.map(|store| store.name.clone()).filter(|name| only.is_none_or(|only| **name == *only)).collect();
    if named.is_empty() {
        return Err(Failure::usage("the configuration has no Vault store with this name"));
    }
    Ok(named)
}

fn of_directory(config: &Config) -> Result<Vec<Arc<Policy>>, Failure> {
    if config.policies.directory.is_none() {
        return Err(Failure::usage("the configuration has no policies.directory: name a server with --server"));
    }
    app::directory_policies(config).map_err(Failure::Usage)
}

async fn of_server(server: &ServerArguments, config: &Config) -> Result<Vec<Arc<Policy>>, Failure> {
    let bounds = crate::app::policy_bounds(config);
    let mut compiled = Vec::new();
    for policy in policy::all_of(server).await? {
        let faulty = |faults: Vec<Fault>| {
            let first = faults.first().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).unwrap_or_default();
            Failure::usage(format!("policy {} does not fit this configuration: {first}", policy.name))
        };
        let compiled_here = match policy.name.split_once('/') {
            Some((namespace, name)) => Policy::compile_resource(namespace, name, &policy.spec, &bounds),
            None => Policy::compile_stored(&policy.name, &policy.spec, &bounds),
        };
        compiled.push(Arc::new(compiled_here.map_err(faulty)?));
    }
    Ok(compiled)
}

fn paths(policies: &[Arc<Policy>], stores: &[Arc<str>]) -> Paths {
    let mut paths = Paths::new();
    for GrantedPath { store, parts, access } in policies.iter().flat_map(|policy| policy.paths()) {
        if stores.contains(&store) {
            paths.entry(store).or_default().entry(parts).or_default().insert(access);
        }
    }
    paths
}

/// A path that matches a template, used to look up its mount.
fn example_path(path: &[PathPart]) -> String {
    let text = |part: &PathPart| match part {
        PathPart::Literal(literal) => literal.to_string(),
        PathPart::AnySegment | PathPart::AnySegments => "x".to_owned(),
    };
    path.iter().map(text).collect::<Vec<_>>().join("/")
}

async fn mounts_of_servers(config: &Config, paths: &Paths) -> Result<Mounts, Failure> {
    let all = || paths.iter().flat_map(|(store, paths)| paths.keys().map(move |path| (store, path)));
    let samples: Vec<_> =
        all().map(|(store, path)| SecretRef { store: store.clone(), path: example_path(path) }).collect();
    let found = app::find_mounts(config, &samples).await.map_err(|error| Failure::Failed(error.to_string()))?;
    let mut mounts = Mounts::new();
    for ((store, path), found) in all().zip(found) {
        let (mount, engine) =
            found.map_err(|error| Failure::Failed(format!("store {store}, path {}: {error}", example_path(path))))?;
        let segments = mount.trim_end_matches('/').split('/').map(Into::into).collect();
        mounts.insert((store.clone(), path.clone()), Mount { segments, engine });
    }
    Ok(mounts)
}

/// The longest given mount that contains the path.
fn mounts_given(given: &[GivenMount], paths: &Paths) -> Result<Mounts, Failure> {
    let mut mounts = Mounts::new();
    let mut unknown = BTreeSet::new();
    for (store, paths) in paths {
        for path in paths.keys() {
            let fits = given.iter().map(|GivenMount(mount)| mount).filter(|mount| mount.holds(path));
            match fits.max_by_key(|mount| mount.segments.len()) {
                Some(mount) => {
                    mounts.insert((store.clone(), path.clone()), mount.clone());
                }
                None => {
                    unknown.insert(format!("{store}: {}", example_path(&path[..1])));
                }
            }
        }
    }
    if unknown.is_empty() {
        return Ok(mounts);
    }
    let unknown: Vec<_> = unknown.into_iter().collect();
    Err(Failure::usage(format!(
        "how these mounts are read is not known; ask with --online, or state it with --mount PATH=kv2 and the like: {}",
        unknown.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_stated_by_path_and_engine() {
        let mount = |text: &str| {
            text.parse::<GivenMount>().ok().map(|GivenMount(mount)| (mount.segments.join("/"), mount.engine))
        };
        assert_eq!(mount("homelab=kv2"), Some(("homelab".into(), Engine::KvV2)));
        assert_eq!(mount("team/kv/=kv1"), Some(("team/kv".into(), Engine::KvV1)));
        assert_eq!(mount("database=dynamic"), Some(("database".into(), Engine::Dynamic)));
        for text in ["", "homelab", "homelab=", "homelab=kv3", "=kv2", "/=kv2"] {
            assert_eq!(mount(text), None, "{text}");
        }
    }
}
