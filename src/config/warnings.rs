//! Settings that work but should be changed. `claviger check` and `claviger serve` report them; neither fails.

use super::address::is_in_clear;
use super::authenticators::{Kind as AuthenticatorKind, is_of_api_server};
use super::database::Url;
use super::sections::Config;
use super::stores::Kind as StoreKind;
use crate::document::Fault;
use ipnet::IpNet;

/// The widest plausible proxy networks, as prefix lengths: 10.0.0.0/8 and `fc00::/7`.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 7;

/// All warnings, ordered by place. `proxies` has the environment variables that name a proxy.
pub(super) fn find(config: &Config, proxies: &[&str]) -> Vec<Fault> {
    let mut found = Vec::new();
    for variable in proxies {
        let detail = "is set in the environment and is not read: write proxyUrl in an entry of stores or authenticators, or \
             proxy-url in a kubeconfig";
        found.push(Fault::new("", format!("{variable} {detail}")));
    }
    for (index, network) in config.server.trusted_proxies.iter().enumerate() {
        found.extend(
            network_warning(network).map(|detail| Fault::new(format!("/server/trustedProxies/{index}"), detail)),
        );
    }
    found.extend(issuers(config));
    for (index, store) in config.stores.iter().enumerate() {
        if let StoreKind::Vault(vault) = &store.kind
            && is_in_clear(&vault.address)
        {
            let detail = "the broker's token and all secrets pass without TLS: write https://, with caFile where its CA is private";
            found.push(Fault::new(format!("/stores/{index}/vault/address"), detail));
        }
    }
    if let Url::Postgres(url) = &config.database.url {
        let detail = "the server's certificate or its name is not checked, and policies and tickets are believed as they come from \
             there: write sslmode=verify-full, with sslrootcert where its CA is private";
        let unverified = [("/database/url", Some(url)), ("/database/directUrl", url.direct())].into_iter();
        let unverified = unverified.filter(|(_, url)| url.is_some_and(|url| !url.is_verified()));
        found.extend(unverified.map(|(at, _)| Fault::new(at, detail)));
    }
    found.sort();
    found
}

fn network_warning(network: &IpNet) -> Option<String> {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let v4 = v6.addr().to_ipv4_mapped()?;
            let prefix = v6.prefix_len() - 96;
            Some(format!("never matches, because addresses of IPv4 are compared as such: write {v4}/{prefix}"))
        }
        IpNet::V4(v4) if v4.prefix_len() < WIDEST_V4 => Some(TOO_WIDE.to_owned()),
        IpNet::V6(v6) if v6.prefix_len() < WIDEST_V6 => Some(TOO_WIDE.to_owned()),
        _ => None,
    }
}

const TOO_WIDE: &str = "is very wide: whoever connects from there can write any address into X-Forwarded-For. Write the networks \
     of the proxies that you run, such as 10.0.0.0/8";

fn issuers(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for (index, authenticator) in config.authenticators.iter().enumerate() {
        let AuthenticatorKind::Oidc(oidc) = &authenticator.kind else { continue };
        let at = format!("/authenticators/{index}/oidc/issuer");
        if is_of_api_server(&oidc.issuer) {
            let detail = "is the issuer of a cluster: a token of a pod is believed for its signature alone, also after the pod has \
                 ended. Write a kubernetes entry, which has the token reviewed and looks at the pod";
            found.push(Fault::new(at.clone(), detail));
        }
        if oidc.jwks_file.is_none() && is_in_clear(&oidc.issuer) {
            let detail =
                "the issuer is asked for its keys without TLS: whoever is on the way can make tokens. Write https://";
            found.push(Fault::new(at, detail));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_are_not_what_they_look_like_are_told() {
        for (network, told) in [
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
            assert!(if told.is_empty() { warning.is_empty() } else { warning.contains(told) }, "{network}: {warning}");
        }
    }
}
