//! Reads and checks a kubeconfig: the API server's address, its CA and the client's credentials.
//!
//! `kube` reads credentials only when it sends a request. Invalid credentials then fail every call or cause a panic. Therefore
//! credentials are read here, where each fault names its field, and `kube` gets only the other settings.

use super::connect_error::{ConnectError, KubeconfigFault};
use super::credentials::{CredentialReader, bearer_header};
use super::object_name::is_object_name;
use crate::trust::FileStamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use kube::Config;
use kube::config::{self, AuthInfo, ExecAuthCluster, Kubeconfig};
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(super) struct ClientInputs {
    pub(super) config: Config,
    /// The `Authorization` header of every call. `None` if `kube` adds the header itself, or if none is sent.
    pub(super) authorization: Option<HeaderValue>,
    /// The files that were read, with their stamps from before the read.
    pub(super) files: Vec<(PathBuf, Option<FileStamp>)>,
    /// Settings that work but should be changed.
    pub(super) warnings: Vec<KubeconfigFault>,
}

/// Reads the cluster and the user of the current context.
pub(super) fn read(path: &Path) -> Result<ClientInputs, ConnectError> {
    let empty_path = path.parent().map(|folder| folder.join("")).unwrap_or_default();
    let mut reader = CredentialReader { empty_path, ..CredentialReader::default() };
    reader.record_stamp(path);
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| match error {
        config::KubeconfigError::ReadConfig(error, _) => ConnectError::Unreadable(error.kind()),
        _ => ConnectError::NotAKubeconfig,
    })?;
    let context_name = kubeconfig.current_context.as_deref().ok_or(ConnectError::NotAKubeconfig)?;
    let context = kubeconfig.contexts.iter().find(|entry| entry.name == context_name);
    let context = context.and_then(|entry| entry.context.as_ref()).ok_or(ConnectError::NotAKubeconfig)?;
    let index = kubeconfig.clusters.iter().position(|entry| entry.name == context.cluster);
    let index = index.ok_or(ConnectError::NotAKubeconfig)?;
    let cluster = kubeconfig.clusters[index].cluster.as_ref().ok_or(ConnectError::NotAKubeconfig)?;
    // As in kubectl, a context without a user has no credentials.
    let user = kubeconfig.auth_infos.iter().position(|entry| Some(&entry.name) == context.user.as_ref());

    let field = format!("clusters[{index}].cluster");
    let server = reader.ok_or_record(&format!("{field}.server"), parse_server(cluster.server.as_deref()));
    let ca = reader.read_data_or_file(
        (&format!("{field}.certificate-authority-data"), cluster.certificate_authority_data.as_deref()),
        (&format!("{field}.certificate-authority"), cluster.certificate_authority.as_deref()),
    );
    let roots = ca.and_then(|(field, pem)| reader.parse_roots(&field, &pem));
    let proxy = non_empty(cluster.proxy_url.as_deref())
        .map(|url| reader.ok_or_record(&format!("{field}.proxy-url"), parse_proxy(url)));
    if non_empty(cluster.tls_server_name.as_deref()).is_some_and(|name| ServerName::try_from(name).is_err()) {
        reader.record_fault(format!("{field}.tls-server-name"), "must be a host name or an IP address");
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        let detail =
            "an attacker on the network path can impersonate the API server: write certificate-authority instead";
        reader.warnings.push(KubeconfigFault { field: format!("{field}.insecure-skip-tls-verify"), detail });
    }
    if server.as_ref().is_some_and(is_remote_without_tls) {
        let detail = "tokens are sent to the API server without TLS: write https://";
        reader.warnings.push(KubeconfigFault { field: format!("{field}.server"), detail });
    }

    let auth_info = user.and_then(|user| kubeconfig.auth_infos[user].auth_info.clone());
    let field = user.map_or_else(|| "users".to_owned(), |user| format!("users[{user}].user"));
    let mut auth_info = auth_info.unwrap_or_default();
    let authorization = take_authorization(&field, &mut auth_info, &mut reader);
    if let Some(exec) = auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = ExecAuthCluster::try_from(cluster).ok();
    }
    let CredentialReader { faults, warnings, files, .. } = reader;
    let (Some(server), true) = (server, faults.is_empty()) else { return Err(ConnectError::Faults(faults)) };
    let is_without_tls = server.scheme_str() == Some("http");
    // The kubeconfig loader of `kube` is not used, because it takes proxies from the environment.
    let mut config = Config::new(server);
    // Plain HTTP must also work on a machine without a CA bundle.
    config.root_cert = if is_without_tls { Some(Vec::new()) } else { roots };
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.proxy_url = proxy.flatten();
    config.auth_info = auth_info;
    if let Some(namespace) = non_empty(context.namespace.as_deref()).filter(|namespace| is_object_name(namespace)) {
        namespace.clone_into(&mut config.default_namespace);
    }
    Ok(ClientInputs { config, authorization, files, warnings })
}

/// Moves the credentials of the user at `field` out of the configuration for `kube`, and checks those that remain there. Returns
/// the `Authorization` header. `None` if `kube` adds the header, or if there are no credentials for one.
fn take_authorization(field: &str, auth_info: &mut AuthInfo, reader: &mut CredentialReader) -> Option<HeaderValue> {
    // Serialisation is the only access to the values of the type in which `kube` keeps secrets.
    let user = serde_json::to_value(&*auth_info).unwrap_or_default();
    let text = |name: &str| non_empty(user.get(name).and_then(Value::as_str));
    let certificate = reader.read_data_or_file(
        (&format!("{field}.client-certificate-data"), text("client-certificate-data")),
        (&format!("{field}.client-certificate"), text("client-certificate")),
    );
    let key = reader.read_data_or_file(
        (&format!("{field}.client-key-data"), text("client-key-data")),
        (&format!("{field}.client-key"), text("client-key")),
    );
    match (certificate, key) {
        (Some((field, certificate)), Some((_, key))) => {
            reader.check_pair(&field, &certificate, &key);
            auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
            auth_info.client_key_data = Some(STANDARD.encode(key).into());
        }
        (Some(_), None) if reader.non_empty_path(text("client-key")).or(text("client-key-data")).is_none() => {
            reader.record_fault(format!("{field}.client-key"), "must be set too: a client certificate needs its key");
        }
        (None, Some(_))
            if reader.non_empty_path(text("client-certificate")).or(text("client-certificate-data")).is_none() =>
        {
            reader.record_fault(
                format!("{field}.client-certificate"),
                "must be set too: a client key needs its certificate",
            );
        }
        // Neither is set, or the fault is already recorded.
        _ => {}
    }
    (auth_info.client_certificate, auth_info.client_key) = (None, None);
    for name in ["as", "as-uid", "as-groups", "as-user-extra"] {
        if user.get(name).is_some_and(|value| !strings_in(value).all(|text| HeaderValue::from_str(text).is_ok())) {
            reader.record_fault(
                format!("{field}.{name}"),
                "has a character that no HTTP header can carry: write visible ASCII",
            );
        }
    }
    (auth_info.token, auth_info.token_file) = (None, None);
    if let Some(provider) = &mut auth_info.auth_provider {
        for name in ["id-token", "access-token"] {
            if let Some(token) = provider.config.get_mut(name) {
                token.truncate(token.trim_end().len());
                let _ = reader.ok_or_record(&format!("{field}.auth-provider.config.{name}"), bearer_header(token));
            }
        }
        return None;
    }
    if text("username").is_some() && text("password").is_some() {
        return None;
    }
    let inline = text("token").map(|token| (format!("{field}.token"), token));
    let header = match reader.non_empty_path(text("tokenFile")) {
        // As in kubectl, `tokenFile` takes precedence over `token`, which is used if the file cannot be read.
        Some(file) => reader.read_token_file(&format!("{field}.tokenFile"), Path::new(file), inline),
        None => inline.and_then(|(field, token)| reader.ok_or_record(&field, bearer_header(token))),
    };
    if header.is_some() {
        auth_info.exec = None;
    }
    header
}

/// All strings in a value, at any depth.
fn strings_in(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(values) => Box::new(values.iter().flat_map(strings_in)),
        Value::Object(values) => Box::new(values.values().flat_map(strings_in)),
        _ => Box::new(std::iter::empty()),
    }
}

/// As in kubectl, an empty value counts as unset.
fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn parse_server(text: Option<&str>) -> Result<Uri, &'static str> {
    const NOT_AN_ADDRESS_FAULT: &str = "must be an address such as https://host:6443";
    let uri: Uri = text.ok_or(NOT_AN_ADDRESS_FAULT)?.trim().parse().map_err(|_| NOT_AN_ADDRESS_FAULT)?;
    let is_valid =
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty());
    if is_valid { Ok(uri) } else { Err(NOT_AN_ADDRESS_FAULT) }
}

fn parse_proxy(text: &str) -> Result<Uri, &'static str> {
    const NOT_AN_ADDRESS_FAULT: &str = "must be the URL of a proxy, such as http://host:3128: http, https or socks5";
    let uri: Uri = text.trim().parse().map_err(|_| NOT_AN_ADDRESS_FAULT)?;
    let is_valid = matches!(uri.scheme_str(), Some("https" | "http" | "socks5"))
        && uri.host().is_some_and(|host| !host.is_empty());
    if is_valid { Ok(uri) } else { Err(NOT_AN_ADDRESS_FAULT) }
}

fn is_remote_without_tls(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_local = host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    server.scheme_str() == Some("http") && !is_local
}
