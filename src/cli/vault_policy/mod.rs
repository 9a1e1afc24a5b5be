//! `claviger vault-policy`: prints the narrowest ACL policy that suffices for the token of a Vault or OpenBao store.

mod hcl;

use super::command_error::CommandError;
use super::config_file::ConfigArgument;
use super::policy;
use super::runtime::block_on;
use super::server_arguments::ServerArguments;
use crate::app::{self, Engine};
use crate::config::Config;
use crate::config::stores::Kind;
use crate::document::Fault;
use crate::model::secret_ref::SecretRef;
use crate::policy::{Access, GrantedPath, PathPart, Policy};
use hcl::{AclInput, Mount};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The arguments of `claviger vault-policy`.
#[derive(Debug, clap::Args)]
pub struct VaultPolicyArguments {
    #[command(flatten)]
    file: ConfigArgument,
    /// Print only the policy for this store (default: all Vault stores).
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Ask the stores for the engine of each mount. The configured credentials need at least one capability, of any kind, on each mount.
    #[arg(long)]
    online: bool,
    /// Engine of a mount, instead of --online: `homelab=kv2`, `old=kv1`, `database=dynamic`; repeatable.
    #[arg(long = "mount", value_name = "PATH=ENGINE", conflicts_with = "online")]
    mounts: Vec<MountArgument>,
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

impl VaultPolicyArguments {
    fn server(&self) -> Result<Option<ServerArguments>, CommandError> {
        let Some(server) = self.server.clone() else { return Ok(None) };
        let token_file = self.token_file.clone();
        let token_file = token_file.ok_or_else(|| CommandError::usage("--server needs --token-file"))?;
        Ok(Some(ServerArguments::new(server, token_file, self.ca_file.clone(), self.insecure)))
    }
}

/// The value of `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountArgument(Mount);

impl FromStr for MountArgument {
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

/// The granted paths of each store, and the accesses to each path.
type PathsByStore = BTreeMap<Arc<str>, BTreeMap<Vec<PathPart>, BTreeSet<Access>>>;

/// The mount of each granted path, by store and path.
type MountsByPath = BTreeMap<(Arc<str>, Vec<PathPart>), Mount>;

/// Prints the ACL.
pub fn run(arguments: &VaultPolicyArguments) -> Result<(), CommandError> {
    let config = arguments.file.load()?;
    let stores = vault_stores(&config, arguments.store.as_deref())?;
    let policies = match arguments.server()? {
        Some(server) => block_on(server_policies(&server, &config))?,
        None => directory_policies(&config)?,
    };
    let paths = granted_paths(&policies, &stores);
    let mounts = if arguments.online {
        block_on(look_up_mounts(&config, &paths))?
    } else {
        match_mounts(&arguments.mounts, &paths)?
    };
    for store in stores {
        let acl = AclInput { paths: paths.get(&store), mounts: &mounts };
        print!("{}", acl.render(&store).map_err(CommandError::Other)?);
    }
    Ok(())
}

fn vault_stores(config: &Config, only: Option<&str>) -> Result<Vec<Arc<str>>, CommandError> {
    let vaults = config.stores.iter().filter(|store| matches!(store.kind, Kind::Vault(_)));
    let names: Vec<_> =
        vaults.map(|store| store.name.clone()).filter(|name| only.is_none_or(|only| **name == *only)).collect();
    if names.is_empty() {
        return Err(CommandError::usage("the configuration has no Vault store with this name"));
    }
    Ok(names)
}

fn directory_policies(config: &Config) -> Result<Vec<Arc<Policy>>, CommandError> {
    if config.policies.directory.is_none() {
        return Err(CommandError::usage("the configuration has no policies.directory: name a server with --server"));
    }
    app::directory_policies(config).map_err(CommandError::Usage)
}

async fn server_policies(server: &ServerArguments, config: &Config) -> Result<Vec<Arc<Policy>>, CommandError> {
    let bounds = crate::app::policy_bounds(config);
    let mut compiled = Vec::new();
    for policy in policy::fetch_all(server).await? {
        let compile_error = |faults: Vec<Fault>| {
            let first = faults.first().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).unwrap_or_default();
            CommandError::usage(format!("policy {} does not fit this configuration: {first}", policy.name))
        };
        let compiled_here = Policy::compile_listed(&policy.name, &policy.spec, &bounds);
        compiled.push(Arc::new(compiled_here.map_err(compile_error)?));
    }
    Ok(compiled)
}

fn granted_paths(policies: &[Arc<Policy>], stores: &[Arc<str>]) -> PathsByStore {
    let mut paths = PathsByStore::new();
    for GrantedPath { store, parts, access } in policies.iter().flat_map(|policy| policy.needed_paths()) {
        if stores.contains(&store) {
            paths.entry(store).or_default().entry(parts).or_default().insert(access);
        }
    }
    paths
}

async fn look_up_mounts(config: &Config, paths: &PathsByStore) -> Result<MountsByPath, CommandError> {
    let all = || paths.iter().flat_map(|(store, paths)| paths.keys().map(move |path| (store, path)));
    let examples: Vec<_> =
        all().map(|(store, path)| SecretRef { store: store.clone(), path: GrantedPath::example(path) }).collect();
    let found = app::find_mounts(config, &examples).await.map_err(|error| CommandError::Other(error.to_string()))?;
    let mut mounts = MountsByPath::new();
    for ((store, path), found) in all().zip(found) {
        let (mount, engine) = found.map_err(|error| {
            CommandError::Other(format!("store {store}, path {}: {error}", GrantedPath::example(path)))
        })?;
        let segments = mount.trim_end_matches('/').split('/').map(Into::into).collect();
        mounts.insert((store.clone(), path.clone()), Mount { segments, engine });
    }
    Ok(mounts)
}

/// Finds for each path the longest mount on the command line that contains it.
fn match_mounts(given: &[MountArgument], paths: &PathsByStore) -> Result<MountsByPath, CommandError> {
    let mut mounts = MountsByPath::new();
    let mut unknown = BTreeSet::new();
    for (store, paths) in paths {
        for path in paths.keys() {
            let candidates = given.iter().map(|MountArgument(mount)| mount).filter(|mount| mount.contains(path));
            match candidates.max_by_key(|mount| mount.segments.len()) {
                Some(mount) => {
                    mounts.insert((store.clone(), path.clone()), mount.clone());
                }
                None => {
                    unknown.insert(format!("{store}: {}", GrantedPath::example(&path[..1])));
                }
            }
        }
    }
    if unknown.is_empty() {
        return Ok(mounts);
    }
    let unknown: Vec<_> = unknown.into_iter().collect();
    Err(CommandError::usage(format!(
        "the engines of these mounts are not known; use --online, or name each with --mount PATH=ENGINE: {}",
        unknown.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_argument_has_path_and_engine() {
        let mount = |text: &str| {
            text.parse::<MountArgument>().ok().map(|MountArgument(mount)| (mount.segments.join("/"), mount.engine))
        };
        assert_eq!(mount("homelab=kv2"), Some(("homelab".into(), Engine::KvV2)));
        assert_eq!(mount("team/kv/=kv1"), Some(("team/kv".into(), Engine::KvV1)));
        assert_eq!(mount("database=dynamic"), Some(("database".into(), Engine::Dynamic)));
        for text in ["", "homelab", "homelab=", "homelab=kv3", "=kv2", "/=kv2"] {
            assert_eq!(mount(text), None, "{text}");
        }
    }
}
