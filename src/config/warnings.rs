//! Warnings for settings that work but should be changed. `claviger check` and `claviger serve` report them and do not fail.

use super::address::is_unencrypted_remote;
use super::authenticators::{Kind as AuthenticatorKind, is_api_server_name};
use super::database::Url;
use super::sections::Config;
use super::stores::Kind as StoreKind;
use crate::document::Fault;
use ipnet::IpNet;

/// The shortest plausible prefix length of a network of proxies in IPv4: that of 10.0.0.0/8.
const MIN_PREFIX_V4: u8 = 8;
/// The same in IPv6: that of `fc00::/7`.
const MIN_PREFIX_V6: u8 = 7;

/// Returns all warnings, ordered by place. `proxy_variables` has the names of the environment variables that set a proxy.
pub(super) fn find_warnings(config: &Config, proxy_variables: &[&str]) -> Vec<Fault> {
    let mut found = Vec::new();
    for variable in proxy_variables {
        let detail = "is set in the environment and is not read: write proxyUrl in an entry of stores or authenticators, or \
             proxy-url in a kubeconfig";
        found.push(Fault::new("", format!("{variable} {detail}")));
    }
    for (index, network) in config.server.trusted_proxies.iter().enumerate() {
        found.extend(
            network_warning(network).map(|detail| Fault::new(format!("/server/trustedProxies/{index}"), detail)),
        );
    }
    found.extend(issuer_warnings(config));
    for (index, store) in config.stores.iter().enumerate() {
        if let StoreKind::Vault(vault) = &store.kind
            && is_unencrypted_remote(&vault.address)
        {
            let detail = "the token of Claviger and all secrets are sent without TLS: write https://, with caFile if the CA is private";
            found.push(Fault::new(format!("/stores/{index}/vault/address"), detail));
        }
    }
    if let Url::Postgres(url) = &config.database.url {
        let detail = "the certificate of the server or its name is not verified, so another server could supply policies and \
             tickets: write sslmode=verify-full, with sslrootcert if the CA is private";
        let unverified = [("/database/url", Some(url)), ("/database/directUrl", url.direct())].into_iter();
        let unverified = unverified.filter(|(_, url)| url.is_some_and(|url| !url.is_verified()));
        found.extend(unverified.map(|(pointer, _)| Fault::new(pointer, detail)));
    }
    found.sort();
    found
}

fn network_warning(network: &IpNet) -> Option<String> {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let v4 = v6.addr().to_ipv4_mapped()?;
            let prefix = v6.prefix_len() - 96;
            Some(format!("never matches, because IPv4 addresses are compared in their IPv4 form: write {v4}/{prefix}"))
        }
        IpNet::V4(v4) if v4.prefix_len() < MIN_PREFIX_V4 => Some(TOO_WIDE_WARNING.to_owned()),
        IpNet::V6(v6) if v6.prefix_len() < MIN_PREFIX_V6 => Some(TOO_WIDE_WARNING.to_owned()),
        _ => None,
    }
}

const TOO_WIDE_WARNING: &str = "is very wide: anyone who connects from there can write any address into X-Forwarded-For. Write the \
     networks of the proxies that you run, such as 10.0.0.0/8";

fn issuer_warnings(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for (index, authenticator) in config.authenticators.iter().enumerate() {
        let AuthenticatorKind::Oidc(oidc) = &authenticator.kind else { continue };
        let pointer = format!("/authenticators/{index}/oidc/issuer");
        if is_api_server_name(&oidc.issuer) {
            let detail = "is the issuer of a cluster: the token of a pod is verified only by its signature, even after the pod has \
                 ended. Write a kubernetes entry, which uses TokenReview and checks the pod";
            found.push(Fault::new(pointer.clone(), detail));
        }
        if oidc.jwks_file.is_none() && is_unencrypted_remote(&oidc.issuer) {
            let detail = "the keys of the issuer are fetched without TLS, so anyone on the network path can forge tokens. Write https://";
            found.push(Fault::new(pointer, detail));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_mapped_and_wide_networks_cause_warnings() {
        for (network, expected) in [
            ("10.0.0.0/8", ""),
            ("192.0.2.1/32", ""),
            ("fd00::/8", ""),
            ("fc00::/7", ""),
            ("::1/128", ""),
            ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("::ffff:192.0.2.1/128", "write 192.0.2.1/32"),
            ("::ffff:0.0.0.0/96", "write 0.0.0.0/0"),
            ("0.0.0.0/1", "very wide"),
            ("10.0.0.0/7", "very wide"),
            ("2000::/3", "very wide"),
        ] {
            let warning = network_warning(&network.parse().expect("a network")).unwrap_or_default();
            assert!(
                if expected.is_empty() { warning.is_empty() } else { warning.contains(expected) },
                "{network}: {warning}"
            );
        }
    }
}
