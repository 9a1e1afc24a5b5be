//! The cost of a cached secret: the time of a read, and the memory of a hundred thousand. `cargo bench --bench
//! lease_cache`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use claviger::config::cache::Cache;
use claviger::config::stores::{Kind, Store, Vault, VaultAuth};
use claviger::metrics::Metrics;
use claviger::model::request_id::RequestId;
use claviger::model::secret_ref::SecretRef;
use claviger::stores::Stores;
use criterion::Criterion;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const LEASES: usize = 100_000;
const VALUE_BYTES: usize = 200;
/// The promised maximum.
const MOST_MEMORY: u64 = 100_000_000;
const LONGEST_READ: Duration = Duration::from_micros(20);

fn main() {
    let runtime = Runtime::new().unwrap();
    let (stores, _token) = runtime.block_on(open());
    let stores = Arc::new(stores);
    runtime.block_on(read(&stores, "homelab/first"));

    let before = resident_bytes();
    runtime.block_on(fill(&stores));
    let taken = resident_bytes().saturating_sub(before);
    println!("{LEASES} leases of {VALUE_BYTES} bytes take {} MB", taken / 1_000_000);
    assert!(taken < MOST_MEMORY, "{taken} bytes");

    let began = on_cpu();
    runtime.block_on(async {
        for number in 0..LEASES {
            read(&stores, &path(number)).await;
        }
    });
    let each = on_cpu().saturating_sub(began) / u32::try_from(LEASES).unwrap();
    println!("a cached read of each of them takes {each:?}");
    assert!(each < LONGEST_READ, "{each:?}");

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("a cached read", |bench| {
        bench.iter_custom(|times| {
            runtime.block_on(async {
                let secret = secret("homelab/first");
                let request = RequestId::random();
                let began = Instant::now();
                for _ in 0..times {
                    std::hint::black_box(stores.read(&secret, &request).await.unwrap());
                }
                began.elapsed()
            })
        });
    });
    criterion.final_summary();
}

async fn fill(stores: &Arc<Stores>) {
    const WORKERS: usize = 32;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let stores = stores.clone();
        workers.spawn(async move {
            for number in (worker..LEASES).step_by(WORKERS) {
                read(&stores, &path(number)).await;
            }
        });
    }
    workers.join_all().await;
}

fn path(number: usize) -> String {
    format!("homelab/site-{number}/main")
}

fn secret(path: &str) -> SecretRef {
    SecretRef { store: "vault".into(), path: path.into() }
}

async fn read(stores: &Stores, path: &str) {
    stores.read(&secret(path), &RequestId::random()).await.unwrap();
}

/// A Vault store with a server that has every secret.
async fn open() -> (Stores, tempfile::NamedTempFile) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "s.token").unwrap();
    let hour = Duration::from_hours(1);
    let cache = Cache { ttl: hour, negative_ttl: hour, serve_stale_for: hour, max_entries: 2 * LEASES as u64 };
    let auth = VaultAuth::TokenFile(token.path().to_owned());
    let timeout = Duration::from_secs(10);
    let vault = Vault {
        address,
        namespace: None,
        ca_file: None,
        client_certificate: None,
        proxy_url: None,
        auth,
        timeout,
        make_timeout: timeout,
        cache,
    };
    let metrics = Arc::new(Metrics::new(&[], &["vault"]).unwrap());
    let config = [Store { name: "vault".into(), kind: Kind::Vault(vault) }];
    (Stores::open(&config, &metrics).unwrap(), token)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let body = if head.starts_with(b"GET /v1/sys/internal/ui/mounts/") {
            r#"{"data":{"path":"homelab/","type":"kv","options":{"version":"2"}}}"#.to_owned()
        } else if head.starts_with(b"GET /v1/auth/token/lookup-self") {
            r#"{"data":{"ttl":0,"expire_time":null,"renewable":false}}"#.to_owned()
        } else {
            let value = "x".repeat(VALUE_BYTES);
            format!(r#"{{"data":{{"data":{{"GITHUB_TOKEN":"{value}"}},"metadata":{{"version":1}}}}}}"#)
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// CPU time of this thread; other load on the machine does not count.
fn on_cpu() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
