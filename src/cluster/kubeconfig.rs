//! Reads and checks a kubeconfig: the API server's address, its CA and the client's credentials.
//!
//! `kube` reads credentials only when it sends: an unusable one fails every call or panics. Therefore they are
//! read here, where each fault has a place, and `kube` gets the rest.

use super::credentials::{Reader, bearer};
use super::kubeconfig_fault::KubeconfigFault;
use super::name::is_object_name;
use super::stamp::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use kube::Config;
use kube::config::{AuthInfo, ExecAuthCluster, Kubeconfig, KubeconfigError};
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// The inputs for a client.
pub(super) struct Access {
    pub(super) config: Config,
    /// The `Authorization` header of every call; `None` if `kube` adds it, or if none is sent.
    pub(super) authorization: Option<HeaderValue>,
    /// Stamps, taken before reading, of the files that were read.
    pub(super) files: Vec<(PathBuf, Option<Stamp>)>,
    /// Settings that work but should be changed.
    pub(super) warnings: Vec<KubeconfigFault>,
}

/// Why a kubeconfig cannot be used.
pub(super) enum Unusable {
    Unreadable(io::ErrorKind),
    NotAKubeconfig,
    Faults(Vec<KubeconfigFault>),
}

/// Reads the cluster and the user of the current context.
pub(super) fn read(path: &Path) -> Result<Access, Unusable> {
    let no_path = path.parent().map(|folder| folder.join("")).unwrap_or_default();
    let mut reader = Reader { no_path, ..Reader::default() };
    reader.watch(path);
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| match error {
        KubeconfigError::ReadConfig(error, _) => Unusable::Unreadable(error.kind()),
        _ => Unusable::NotAKubeconfig,
    })?;
    let wanted = kubeconfig.current_context.as_deref().ok_or(Unusable::NotAKubeconfig)?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == wanted);
    let context = context.and_then(|named| named.context.as_ref()).ok_or(Unusable::NotAKubeconfig)?;
    let at = kubeconfig.clusters.iter().position(|named| named.name == context.cluster);
    let at = at.ok_or(Unusable::NotAKubeconfig)?;
    let cluster = kubeconfig.clusters[at].cluster.as_ref().ok_or(Unusable::NotAKubeconfig)?;
    // As in kubectl, a context without a user has no credentials.
    let user = kubeconfig.auth_infos.iter().position(|named| Some(&named.name) == context.user.as_ref());

    let at = format!("clusters[{at}].cluster");
    let server = reader.checked(&format!("{at}.server"), server(cluster.server.as_deref()));
    let ca = reader.text_or_file(
        (&format!("{at}.certificate-authority-data"), cluster.certificate_authority_data.as_deref()),
        (&format!("{at}.certificate-authority"), cluster.certificate_authority.as_deref()),
    );
    let roots = ca.and_then(|(place, pem)| reader.checked_roots(&place, &pem));
    let proxy = set(cluster.proxy_url.as_deref()).map(|url| reader.checked(&format!("{at}.proxy-url"), proxy(url)));
    if set(cluster.tls_server_name.as_deref()).is_some_and(|name| ServerName::try_from(name).is_err()) {
        reader.fault(format!("{at}.tls-server-name"), "must be a host name or an IP address");
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        let detail =
            "whoever is on the way to the API server can answer in its place: write certificate-authority instead";
        reader.warnings.push(KubeconfigFault { place: format!("{at}.insecure-skip-tls-verify"), detail });
    }
    if server.as_ref().is_some_and(is_in_clear) {
        let detail = "tokens are sent to the API server without TLS: write https://";
        reader.warnings.push(KubeconfigFault { place: format!("{at}.server"), detail });
    }

    let auth_info = user.and_then(|user| kubeconfig.auth_infos[user].auth_info.clone());
    let at = user.map_or_else(|| "users".to_owned(), |user| format!("users[{user}].user"));
    let mut auth_info = auth_info.unwrap_or_default();
    let authorization = authorization(&at, &mut auth_info, &mut reader);
    if let Some(exec) = auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = ExecAuthCluster::try_from(cluster).ok();
    }
    let Reader { faults, warnings, files, .. } = reader;
    let (Some(server), true) = (server, faults.is_empty()) else { return Err(Unusable::Faults(faults)) };
    let is_plain = server.scheme_str() == Some("http");
    // `Config::new` instead of `kube`'s kubeconfig loader, because the loader uses proxies from the environment.
    let mut config = Config::new(server);
    // Without TLS there is nothing to verify, so a machine without a CA bundle suffices.
    config.root_cert = if is_plain { Some(Vec::new()) } else { roots };
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.proxy_url = proxy.flatten();
    config.auth_info = auth_info;
    if let Some(namespace) = set(context.namespace.as_deref()).filter(|namespace| is_object_name(namespace)) {
        namespace.clone_into(&mut config.default_namespace);
    }
    Ok(Access { config, authorization, files, warnings })
}

/// Moves the credentials that are read here out of the configuration for `kube`.
fn authorization(at: &str, auth_info: &mut AuthInfo, reader: &mut Reader) -> Option<HeaderValue> {
    // `kube` keeps secrets in a type that serialises them; serialisation is the only access to their values.
    let written = serde_json::to_value(&*auth_info).unwrap_or_default();
    let text = |name: &str| set(written.get(name).and_then(Value::as_str));
    let certificate = reader.text_or_file(
        (&format!("{at}.client-certificate-data"), text("client-certificate-data")),
        (&format!("{at}.client-certificate"), text("client-certificate")),
    );
    let key = reader.text_or_file(
        (&format!("{at}.client-key-data"), text("client-key-data")),
        (&format!("{at}.client-key"), text("client-key")),
    );
    match (certificate, key) {
        (Some((place, certificate)), Some((_, key))) => {
            reader.check_pair(&place, &certificate, &key);
            auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
            auth_info.client_key_data = Some(STANDARD.encode(key).into());
        }
        (Some(_), None) if reader.named(text("client-key")).or(text("client-key-data")).is_none() => {
            reader.fault(format!("{at}.client-key"), "must be set too: a client certificate needs its key");
        }
        (None, Some(_)) if reader.named(text("client-certificate")).or(text("client-certificate-data")).is_none() => {
            reader.fault(format!("{at}.client-certificate"), "must be set too: a client key needs its certificate");
        }
        // Neither is set, or the fault is already recorded.
        _ => {}
    }
    (auth_info.client_certificate, auth_info.client_key) = (None, None);
    for name in ["as", "as-uid", "as-groups", "as-user-extra"] {
        if written.get(name).is_some_and(|value| !texts(value).all(|text| HeaderValue::from_str(text).is_ok())) {
            reader.fault(format!("{at}.{name}"), "has a character that no HTTP header can carry: write visible ASCII");
        }
    }
    (auth_info.token, auth_info.token_file) = (None, None);
    if let Some(provider) = &mut auth_info.auth_provider {
        for name in ["id-token", "access-token"] {
            if let Some(token) = provider.config.get_mut(name) {
                token.truncate(token.trim_end().len());
                let _ = reader.checked(&format!("{at}.auth-provider.config.{name}"), bearer(token));
            }
        }
        return None;
    }
    if text("username").is_some() && text("password").is_some() {
        return None;
    }
    let inline = text("token").map(|token| (format!("{at}.token"), token));
    let header = match reader.named(text("tokenFile")) {
        // As in kubectl, `tokenFile` wins over `token`; if the file cannot be read, `token` is used.
        Some(file) => reader.token_file(&format!("{at}.tokenFile"), Path::new(file), inline),
        None => inline.and_then(|(place, token)| reader.checked(&place, bearer(token))),
    };
    if header.is_some() {
        auth_info.exec = None;
    }
    header
}

fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(values) => Box::new(values.iter().flat_map(texts)),
        Value::Object(values) => Box::new(values.values().flat_map(texts)),
        _ => Box::new(std::iter::empty()),
    }
}

/// As in kubectl, an empty value counts as unset.
fn set(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn server(text: Option<&str>) -> Result<Uri, &'static str> {
    const NOT_AN_ADDRESS: &str = "must be an address such as https://host:6443";
    let uri: Uri = text.ok_or(NOT_AN_ADDRESS)?.trim().parse().map_err(|_| NOT_AN_ADDRESS)?;
    let is_good = matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty());
    if is_good { Ok(uri) } else { Err(NOT_AN_ADDRESS) }
}

fn proxy(text: &str) -> Result<Uri, &'static str> {
    const NOT_AN_ADDRESS: &str = "must be the URL of a proxy, such as http://host:3128: http, https or socks5";
    let uri: Uri = text.trim().parse().map_err(|_| NOT_AN_ADDRESS)?;
    let is_good = matches!(uri.scheme_str(), Some("https" | "http" | "socks5"))
        && uri.host().is_some_and(|host| !host.is_empty());
    if is_good { Ok(uri) } else { Err(NOT_AN_ADDRESS) }
}

fn is_in_clear(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_local = host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    server.scheme_str() == Some("http") && !is_local
}
