//! Starts the process from a checked configuration.

use super::data_loss::DataLossWatch;
use super::database_clock::{self, DatabaseClock};
use super::database_watch::DatabaseWatch;
use super::error::{StartError, fault_line};
use super::keys;
use super::policy_bounds::policy_bounds;
use super::reload::Reload;
use super::signals::{SignalHandlers, SignalRequest};
use super::stop::{Stop, run_until_stopped, wait_for_stop};
use super::tls::Certificate;
use super::{authenticator_check, descriptor_limit, drain, policies, policy_resources, policy_status};
use crate::admins::Administrators;
use crate::attest::Attestors;
use crate::audit::{self, AuditLog, ChainHasher, Retention};
use crate::authn::Authenticators;
use crate::broker::{Broker, LeaseRecorder, Stages, VersionsKey};
use crate::cluster::Clusters;
use crate::config::Config;
use crate::config::audit::Audit;
use crate::config::authenticators::Kind;
use crate::config::server::Server;
use crate::config::tickets::TicketStorage;
use crate::config::vault_api;
use crate::database::Database;
use crate::http::{self, HttpState, HttpStateFields, ServeLimits, VaultApi, api, ops, serve};
use crate::metrics::Metrics;
use crate::metrics::labels::Outcome;
use crate::model::clock::{Clock, SystemClock};
use crate::stores::{LeaseSettings, Stores};
use crate::tickets::Tickets;
use crate::wire::problem::Code;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Time limit for the last audit events at shutdown.
const FINAL_EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Added to the longest ticket lifetime or request, for the time limit of a drain.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// A running process.
pub struct Running {
    /// Address of the API listener.
    pub api: SocketAddr,
    /// Address of the ops listener.
    pub ops: SocketAddr,
    broker: Arc<Broker>,
    drain_limit: Duration,
    signals: SignalHandlers,
    /// Requests a reload of all files.
    reload: Arc<Notify>,
    /// The task that reloads.
    reloading: JoinHandle<()>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    audit_writer: JoinHandle<()>,
}

/// Opens all parts of the process and starts to serve.
///
/// # Errors
/// See [`StartError`].
#[expect(clippy::too_many_lines, reason = "the order in which all parts are opened, as one list")]
pub async fn start(config: Config) -> Result<Running, StartError> {
    // All fields are named, so that the code does not compile with a new setting until it is used or ignored here.
    let Config {
        server,
        authenticators: _,
        administrators: _,
        attestation,
        stores: _,
        limits,
        policies: _,
        telemetry: _,
        warnings: _,
        database: database_settings,
        tickets: ticket_settings,
        audit: audit_settings,
        vault_api: _,
    } = &config;
    let Server { listen: api_listen, ops_listen, public_url: _, tls, trusted_proxies } = server;
    let Audit { stdout, retention, max_size, key_file: chain_key, retired_key_files } = audit_settings;
    let signals = SignalHandlers::new().map_err(StartError::Signals)?;
    // The expiry of tokens is checked by this machine's clock. All times that replicas share come from the database's clock.
    let system_clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(new_metrics(&config)?);
    let found = authenticator_check::check(&config);
    for warning in &found.warnings {
        tracing::warn!(setting = warning.dotted_path(), "{}", warning.detail);
    }
    if !found.faults.is_empty() {
        return Err(StartError::Configuration(found.faults.iter().map(fault_line).collect()));
    }
    let directory = policies::open_directory(&config).map_err(StartError::Configuration)?;
    let database = Database::open(&database_settings.url)
        .await
        .map_err(|error| StartError::Database(Box::new(database_settings.url.clone()), error))?;
    let cause = database.data_loss_cause().await.map_err(StartError::Replication)?;
    let data_loss = DataLossWatch::start(cause, database_settings.url.allows_data_loss(), &metrics)
        .map_err(StartError::DataLoss)?;
    let database_clock = Arc::new(DatabaseClock::default());
    let ahead = database_clock.measure(&database).await.map_err(StartError::Clock)?;
    let clocks_differ = ahead.is_some_and(|ahead| database_clock::record_offset(ahead, &metrics));
    let clock: Arc<dyn Clock> = database_clock.clone();
    let policies = policies::open_register(&config, directory, &database, clock.clone(), metrics.clone()).await?;

    let api_listener = listen(*api_listen)?;
    let ops_listener = listen(*ops_listen)?;
    let api_address = api_listener.local_addr().map_err(|error| StartError::Listen(*api_listen, error))?;
    let ops_address = ops_listener.local_addr().map_err(|error| StartError::Listen(*ops_listen, error))?;

    let clusters = connect_clusters(&config, &metrics).await?;
    let watchers = policy_resources::resource_watchers(&config, &clusters, &policies, &metrics);
    let authenticators = open_authenticators(&config, &clusters, &system_clock, &metrics)?;
    let attestors = Attestors::open(&config.authenticators, &clusters, attestation.admission_policy);
    let administrators = Administrators::open(&config, &clusters);
    let stores = Stores::open(&config.stores, &metrics)?;
    let certificate = tls.clone().map(|files| Certificate::open(files, Some(metrics.clone())));
    let certificate = certificate.transpose()?.map(Arc::new);
    let chain_key = chain_key.as_deref().map(keys::read_key_file).transpose()?;
    let retired = retired_key_files.iter().map(|file| keys::read_key_file(file)).collect::<Result<Vec<_>, _>>()?;
    let (audit, audit_writer) = AuditLog::open(
        &database,
        *stdout,
        ChainHasher::new(chain_key.as_ref(), &retired),
        clock.clone(),
        metrics.clone(),
    )
    .await
    .map_err(StartError::Audit)?;
    let retention_limits = audit::RetentionLimits { max_age: *retention, max_size: *max_size };
    let retention = Retention::new(&audit, retention_limits, clock.clone(), metrics.clone());

    let database_key = keys::database_key(database_settings)?;
    let tickets = Tickets::open(ticket_settings, &database, &database_key)?;
    let drain_limit = drain_limit(&config);
    let versions_key = VersionsKey::new(&database_key);
    let lease_recorder = Arc::new(LeaseRecorder::new(audit.clone()));
    let stores = stores.start_lease_manager(LeaseSettings {
        database: database.clone(),
        key: database_key,
        event_recorder: lease_recorder,
        clock: clock.clone(),
        clusters: attestors.names().cloned().collect(),
    })?;

    let broker = Arc::new(Broker::new(Stages {
        authenticators,
        attestors,
        policies: policies.active_set(),
        policy_register: policies.clone(),
        policy_bounds: policy_bounds(&config),
        administrators,
        stores,
        tickets,
        audit,
        metrics: metrics.clone(),
        clock: clock.clone(),
        versions_key,
        ticket_settings: *ticket_settings,
        limits: *limits,
        public_url: public_url(&config, api_address),
    }));

    broker.set_clocks_differ(clocks_differ);

    let database_watch = DatabaseWatch {
        database,
        url: database_settings.url.clone(),
        clock: database_clock,
        data_loss,
        broker: broker.clone(),
    };

    let state = HttpState::from(HttpStateFields {
        broker: broker.clone(),
        trusted_proxies: trusted_proxies.clone().into(),
        body_bytes: limits.body_bytes,
        body_timeout: limits.request_timeout,
        vault: served_vault_api(&config).map(Arc::new),
    });
    let limits = ServeLimits {
        header_timeout: limits.header_timeout,
        write_timeout: limits.request_timeout,
        max_connections: descriptor_limit::limit_connections(limits.max_connections),
        proxies: state.trusted_proxies.clone(),
    };
    let ops_limits = ServeLimits {
        max_connections: descriptor_limit::OPS_CONNECTIONS.min(limits.max_connections),
        ..limits.clone()
    };
    let (stop, stopped) = watch::channel(false);
    let tls = certificate.as_ref().map(|certificate| certificate.tls_source());
    let mut tasks = vec![
        tokio::spawn(serve(api_listener, tls, api(state.clone()), limits, Some(metrics), stopped.clone())),
        tokio::spawn(serve(ops_listener, None, ops(state), ops_limits, None, stopped.clone())),
        tokio::spawn(upkeep(broker.clone(), stopped.clone())),
        tokio::spawn(run_until_stopped(stopped.clone(), broker.clone().follow_holders())),
        tokio::spawn(run_until_stopped(stopped.clone(), broker.clone().follow_admission_policies())),
        tokio::spawn(run_until_stopped(stopped.clone(), broker.clone().follow_usage())),
        tokio::spawn(run_until_stopped(stopped.clone(), retention.run())),
        tokio::spawn(run_until_stopped(stopped.clone(), database_watch.run())),
        tokio::spawn(policies::load_remote_changes(policies.clone(), stopped.clone())),
    ];
    for watcher in watchers {
        tasks.push(tokio::spawn(policy_status::write_statuses(watcher.clone(), clock.clone(), stopped.clone())));
        tasks.push(tokio::spawn(run_until_stopped(stopped.clone(), watcher.run())));
    }
    tracing::info!(api = %api_address, ops = %ops_address, tls = certificate.is_some(), "listening");
    let reload = Reload { broker: broker.clone(), policies, certificate };
    let (reload, reloading) = reload.start(stopped);
    Ok(Running {
        api: api_address,
        ops: ops_address,
        drain_limit,
        broker,
        signals,
        reload,
        reloading,
        stop,
        tasks,
        audit_writer,
    })
}

fn served_vault_api(config: &Config) -> Option<VaultApi> {
    let vault_api::VaultApi { enabled, mount, max_token_ttl } = config.vault_api.clone();
    enabled.then_some(VaultApi { mount, max_token_ttl })
}

impl Running {
    /// Serves until a signal: `SIGTERM` drains first, and a second signal ends the drain; `SIGINT` stops at once.
    pub async fn until_stopped(mut self) {
        let draining_broker = self.broker.clone();
        // The drain starts when it is first polled.
        let mut drained = Box::pin(drain::wait_until_drained(&draining_broker, self.drain_limit));
        let mut draining = false;
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    // A separate task reloads, because a reload waits for locks and for the database, and a drain must not wait for
                    // them.
                    SignalRequest::Reload => self.reload.notify_one(),
                    SignalRequest::Drain if !draining => draining = true,
                    SignalRequest::Drain | SignalRequest::Stop => break,
                },
                () = &mut drained, if draining => break,
            }
        }
        drop(drained);
        drop(draining_broker);
        let Self { broker, reloading, stop, tasks, audit_writer, .. } = self;
        let _ = stop.send(true);
        // A reload may be waiting for the database; aborting it loses nothing.
        reloading.abort();
        let _ = reloading.await;
        for task in tasks {
            let _ = task.await;
        }
        // The time is bounded, in case the database does not answer.
        let _ = timeout(FINAL_EVENTS_TIMEOUT, broker.upkeep()).await;
        broker.flush_counts();
        broker.stop_leases().await;
        drop(broker);
        // The writer ends when its last handle is dropped.
        if timeout(FINAL_EVENTS_TIMEOUT, audit_writer).await.is_err() {
            tracing::warn!("shutting down; the last audit events may be lost");
        }
        tracing::info!("stopped");
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    http::listen(address).map_err(|error| StartError::Listen(address, error))
}

/// Does the regular work of the broker every second.
async fn upkeep(broker: Arc<Broker>, stop: Stop) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = wait_for_stop(stop);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            _ = second.tick() => broker.upkeep().await,
            () = &mut stopped => return,
        }
    }
}

/// The maximum duration of a drain: every ticket in memory expires within `maxTtl`; requests end within
/// `requestTimeout`.
fn drain_limit(config: &Config) -> Duration {
    let longest = match config.tickets.store {
        TicketStorage::Memory => config.tickets.max_ttl,
        TicketStorage::Database => config.limits.request_timeout,
    };
    longest + DRAIN_MARGIN
}

/// The metrics. Series whose label values are known at start begin at zero.
pub(super) fn new_metrics(config: &Config) -> Result<Metrics, prometheus::Error> {
    let authenticators: Vec<&str> = config.authenticators.iter().map(|one| &*one.name).collect();
    let stores: Vec<&str> = config.stores.iter().map(|one| &*one.name).collect();
    let metrics = Metrics::new(&authenticators, &stores)?;
    metrics.init_ticket_requests(Outcome::Ok, "ok");
    for code in Code::ALL {
        let outcome = if matches!(code.status(), 401 | 403) { Outcome::Denied } else { Outcome::Failed };
        metrics.init_ticket_requests(outcome, code.as_str());
        metrics.init_error(code.as_str());
    }
    Ok(metrics)
}

/// Creates one client for each cluster, which all users share.
pub(super) async fn connect_clusters(config: &Config, metrics: &Arc<Metrics>) -> Result<Clusters, StartError> {
    let mut clusters = Clusters::default();
    for authenticator in &config.authenticators {
        if let Kind::Kubernetes(kubernetes) = &authenticator.kind {
            clusters
                .connect(kubernetes.kubeconfig.as_deref(), metrics)
                .await
                .map_err(|error| StartError::Cluster(authenticator.name.clone(), error))?;
        }
    }
    Ok(clusters)
}

pub(super) fn open_authenticators(
    config: &Config,
    clusters: &Clusters,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Authenticators, StartError> {
    let reviews = config.limits.reviews_per_second;
    let opened = Authenticators::open(&config.authenticators, reviews, clusters, clock, metrics.clone());
    opened.map_err(|faults| StartError::Configuration(faults.iter().map(fault_line).collect()))
}

fn public_url(config: &Config, api: SocketAddr) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    config.server.public_url.clone().unwrap_or_else(|| format!("{scheme}://{api}"))
}
