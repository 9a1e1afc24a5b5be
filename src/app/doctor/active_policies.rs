//! Reads the policies that a start would make active: from files, from the database and from the clusters. Writes nothing.

use crate::app::policies::open_directory;
use crate::app::policy_bounds::policy_bounds;
use crate::app::start::connect_clusters;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::config::authenticators::Kind;
use crate::config::database::Url;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::model::clock::SystemClock;
use crate::model::policy_resource::{ResourceChange, ResourceKind};
use crate::policy::{Policy, PolicyRegister};
use crate::wire::doctor::DoctorCheck;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time limit for listing the objects of one kind.
const LIST_TIMEOUT: Duration = Duration::from_secs(8);

/// Returns the policies that can be read, and a check of each source.
pub async fn read_active_policies(config: &Config, metrics: &Arc<Metrics>) -> (Vec<Arc<Policy>>, Vec<DoctorCheck>) {
    let mut checks = Vec::new();
    let Some(register) = open_register(config, &mut checks).await else { return (Vec::new(), checks) };
    if !config.policies.custom_resources.is_empty() {
        register.set_clusters(&config.policies.custom_resources).await;
        // The checks of the cluster report why there is no connection.
        if let Ok(clusters) = connect_clusters(config, metrics).await {
            for authenticator in &config.authenticators {
                let Kind::Kubernetes(kubernetes) = &authenticator.kind else { continue };
                let is_configured = config.policies.custom_resources.contains(&authenticator.name);
                if let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref()).filter(|_| is_configured) {
                    checks.push(read_cluster_policies(&cluster, &authenticator.name, &register).await);
                }
            }
        }
    }
    (register.active_set().load().policies().to_vec(), checks)
}

/// Opens a register with the policies of files and database. If the database cannot be read, opens one with only the policies
/// of files. `None` if that fails too.
async fn open_register(config: &Config, checks: &mut Vec<DoctorCheck>) -> Option<PolicyRegister> {
    const NAME: &str = "database: policies";
    let open = |database| {
        let directory = open_directory(config).ok().flatten();
        PolicyRegister::open(directory, database, Arc::new(SystemClock), policy_bounds(config), Box::new(()))
    };
    if let Some(database) = open_existing(&config.database.url).await {
        if let Ok(register) = open(database).await {
            let invalid = register.invalid_deny_policies().await;
            if invalid.is_empty() {
                let count = register.active_set().load().len();
                checks.push(DoctorCheck::passed(NAME, format!("read; {count} are in force with those of files")));
            }
            let advice = "correct the policy with the version of Claviger that runs, or delete it; in this version, what cannot \
                 be read of it matches everything";
            checks.extend(invalid.into_iter().map(|invalid| DoctorCheck::failed(NAME, invalid, advice)));
            return Some(register);
        }
        let advice = "see whether the server is up, or whether this user may read the tables";
        checks.push(DoctorCheck::failed(NAME, "the stored policies cannot be read", advice));
    }
    open(Database::open(&Url::SqliteMemory).await.ok()?).await.ok()
}

/// Opens the database if it exists and has a schema. The checks of the database report why it cannot be opened.
async fn open_existing(url: &Url) -> Option<Database> {
    let database = Database::open_for_inspection(url).await.ok()??;
    database.schema_version().await.ok().filter(|version| version.applied > 0)?;
    Some(database)
}

/// Reads the policies of a cluster into the register.
async fn read_cluster_policies(cluster: &Arc<Cluster>, name: &str, register: &PolicyRegister) -> DoctorCheck {
    let check = format!("cluster {name}: policies");
    let advice = "see the other checks of this cluster; without its policies no replica becomes ready";
    let mut count = 0;
    for &kind in ResourceKind::ALL {
        match timeout(LIST_TIMEOUT, cluster.watch_policies(kind).next()).await {
            Ok(Ok(change)) => {
                if let ResourceChange::Listed(_, resources) = &change {
                    count += resources.len();
                }
                register.apply_resource_changes(name, vec![change]).await;
            }
            Ok(Err(error)) => return DoctorCheck::failed(check, error.to_string(), advice),
            Err(_) => {
                let detail = format!("the list of {} did not end within {} s", kind.plural(), LIST_TIMEOUT.as_secs());
                return DoctorCheck::failed(check, detail, advice);
            }
        }
    }
    DoctorCheck::passed(check, format!("{count} objects were read"))
}
