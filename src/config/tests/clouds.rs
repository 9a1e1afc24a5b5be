//! `stores[].azureKeyVault` and `stores[].gcpSecretManager`: every fault at its place, and the documented defaults.

use super::super::stores::Kind;
use super::{Folder, fault_lines, good, set};
use serde_json::{Value, json};

const ID: &str = "7b795fb9-09d3-42f4-a494-38864f99ba3c";
const PROVIDER: &str = "projects/123456789012/locations/global/workloadIdentityPools/cluster/providers/kube";

fn loaded(folder: &Folder, kind: &str, store: &Value) -> Result<Kind, Vec<String>> {
    let mut tree = good();
    set(&mut tree, "/stores/0", json!({"name": "cloud", kind: store}));
    match folder.load(&tree.to_string()) {
        Ok(config) => Ok(config.stores.into_iter().next().unwrap().kind),
        Err(faults) => Err(fault_lines(Err(faults))),
    }
}

fn azure(auth: &Value) -> Value {
    json!({"vaultUrl": "https://acme.vault.azure.net", "auth": auth})
}

fn workload_identity() -> Value {
    json!({"workloadIdentity": {"tenantId": ID, "clientId": ID, "tokenFile": "token"}})
}

fn gcp(auth: &Value) -> Value {
    json!({"project": "acme-builds", "auth": auth})
}

fn federation() -> Value {
    json!({"workloadIdentityFederation": {"provider": PROVIDER, "tokenFile": "token"}})
}

#[cfg(not(feature = "azure"))]
#[test]
fn a_build_without_azure_refuses_it() {
    let fault_lines = loaded(&Folder::new(), "azureKeyVault", &azure(&workload_identity())).unwrap_err();
    let expected = "is not in this build of claviger, which was made without its feature azure";
    assert_eq!(fault_lines, [format!("stores[0].azureKeyVault: {expected}")]);
}

#[cfg(not(feature = "gcp"))]
#[test]
fn a_build_without_gcp_refuses_it() {
    let fault_lines = loaded(&Folder::new(), "gcpSecretManager", &gcp(&federation())).unwrap_err();
    let expected = "is not in this build of claviger, which was made without its feature gcp";
    assert_eq!(fault_lines, [format!("stores[0].gcpSecretManager: {expected}")]);
}

#[cfg(any(feature = "azure", feature = "gcp"))]
/// Checks the fault of each bad value. A row has the `auth` of the store, the place, the value, and the start of the fault.
fn assert_refused(kind: &str, store: impl Fn(&Value) -> Value, rows: &[(&Value, &str, Value, &str)]) {
    let folder = Folder::new();
    for (auth, pointer, value, expected) in rows {
        let mut store = store(auth);
        assert!(loaded(&folder, kind, &store).is_ok(), "{pointer}");
        set(&mut store, pointer, value.clone());
        let fault_lines = loaded(&folder, kind, &store).unwrap_err();
        assert!(
            fault_lines[0].starts_with(&format!("stores[0].{kind}.{expected}")),
            "{pointer} = {value}: {fault_lines:?}"
        );
        assert!(fault_lines.len() == 1 && !fault_lines[0].contains("hunter2"), "{pointer} = {value}: {fault_lines:?}");
    }
}

#[cfg(feature = "azure")]
mod azure_key_vault {
    use super::*;
    use crate::config::azure_key_vault::{AzureAuth, AzureKeyVault, ExpiredSecrets};
    use crate::config::value_format::ValueFormat;
    use std::time::Duration;

    fn vault(store: &Value) -> AzureKeyVault {
        match loaded(&Folder::new(), "azureKeyVault", store) {
            Ok(Kind::AzureKeyVault(vault)) => vault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_as_documented() {
        let azure = vault(&azure(&workload_identity()));
        assert_eq!(azure.vault_url, "https://acme.vault.azure.net");
        assert_eq!(
            (azure.authority_url.as_str(), azure.scope.as_str()),
            ("https://login.microsoftonline.com", "https://vault.azure.net/.default")
        );
        assert_eq!((azure.values, azure.expired), (ValueFormat::Object, ExpiredSecrets::Refuse));
        assert_eq!((azure.ca_file, azure.proxy_url), (None, None));
        assert_eq!((azure.timeout, azure.cache.ttl), (Duration::from_secs(2), Duration::from_mins(1)));
        let AzureAuth::WorkloadIdentity { tenant_id, client_id, .. } = azure.auth else { panic!("no identity") };
        assert_eq!((tenant_id.as_str(), client_id.as_str()), (ID, ID));
        // The token's default place, where no file is in this test.
        let unset = json!({"workloadIdentity": {"tenantId": ID, "clientId": ID}});
        let fault_lines = loaded(&Folder::new(), "azureKeyVault", &super::azure(&unset)).unwrap_err();
        assert_eq!(fault_lines, ["stores[0].azureKeyVault.auth.workloadIdentity.tokenFile: there is no such file"]);
    }

    #[test]
    fn authority_and_scope_depend_on_the_cloud_and_can_be_set() {
        for (cloud, authority, scope) in [
            ("usGovernment", "https://login.microsoftonline.us", "https://vault.usgovcloudapi.net/.default"),
            ("china", "https://login.chinacloudapi.cn", "https://vault.azure.cn/.default"),
        ] {
            let mut store = azure(&workload_identity());
            store["cloud"] = json!(cloud);
            let azure = vault(&store);
            assert_eq!((azure.authority_url.as_str(), azure.scope.as_str()), (authority, scope));
        }
        let mut store = azure(&workload_identity());
        store["authorityUrl"] = json!("https://login.acme.example/");
        store["scope"] = json!("https://vault.acme.example/.default");
        let azure = vault(&store);
        assert_eq!(azure.authority_url, "https://login.acme.example");
        assert_eq!(azure.scope, "https://vault.acme.example/.default");
    }

    #[test]
    fn each_bad_value_is_reported_at_its_place() {
        let identity = workload_identity();
        let secret = json!({"clientSecret": {"tenantId": ID, "clientId": ID, "clientSecretFile": "token"}});
        let one_of = "auth: must have exactly one of workloadIdentity, clientSecret";
        let missing = "there is no such file";
        let rows = [
            (&identity, "/vaultUrl", json!(null), "vaultUrl: must be set"),
            (&identity, "/vaultUrl", json!("http://acme.vault.azure.net"), "vaultUrl: must begin with https://"),
            (&identity, "/vaultUrl", json!("http://127.0.0.1:1"), "vaultUrl: must begin with https://"),
            (&identity, "/vaultUrl", json!("https://x/secrets"), "vaultUrl: must have no path"),
            (&identity, "/vaultUrl", json!("https://u:hunter2@x"), "vaultUrl: must have no user"),
            (&identity, "/cloud", json!("moon"), "cloud: must be one of public, usGovernment, china"),
            (&identity, "/authorityUrl", json!("https://x"), "scope: must be set"),
            (&identity, "/scope", json!("https://vault.azure.net/.default"), "authorityUrl: must be set"),
            (&identity, "/values", json!("json"), "values: must be one of object, text"),
            (&identity, "/expired", json!("warn"), "expired: must be one of refuse, serve"),
            (&identity, "/caFile", json!("nowhere"), &format!("caFile: {missing}")),
            (&identity, "/proxyUrl", json!("proxy:1"), "proxyUrl: must begin with https:// or http://"),
            (&identity, "/timeout", json!("61s"), "timeout: must be between 1ms and 1m"),
            (&identity, "/clientSecret", json!("hunter2"), "clientSecret: unknown key"),
            (&identity, "/auth", json!({}), one_of),
            (&identity, "/auth/clientSecret", secret["clientSecret"].clone(), one_of),
            (
                &identity,
                "/auth/workloadIdentity/tenantId",
                json!("a/b"),
                "auth.workloadIdentity.tenantId: must be an id",
            ),
            (&identity, "/auth/workloadIdentity/clientId", json!(null), "auth.workloadIdentity.clientId: must be set"),
            (
                &identity,
                "/auth/workloadIdentity/tokenFile",
                json!("nowhere"),
                &format!("auth.workloadIdentity.tokenFile: {missing}"),
            ),
            (
                &secret,
                "/auth/clientSecret/clientSecretFile",
                json!(null),
                "auth.clientSecret.clientSecretFile: must be set",
            ),
            (
                &secret,
                "/auth/clientSecret/clientSecret",
                json!("hunter2"),
                "auth.clientSecret.clientSecret: unknown key",
            ),
        ];
        assert_refused("azureKeyVault", azure, &rows);
        for (authority, scope, expected) in [
            ("http://x", "https://y/.default", "authorityUrl: must begin with https://"),
            ("https://x", "https://y", "scope: must be a scope"),
            ("https://x", "https://y\"/.default", "scope: must be a scope"),
        ] {
            let mut store = azure(&identity);
            store["authorityUrl"] = json!(authority);
            store["scope"] = json!(scope);
            let fault_lines = loaded(&Folder::new(), "azureKeyVault", &store).unwrap_err();
            assert!(fault_lines[0].starts_with(&format!("stores[0].azureKeyVault.{expected}")), "{fault_lines:?}");
        }
    }
}

#[cfg(feature = "gcp")]
mod gcp_secret_manager {
    use super::*;
    use crate::config::gcp_secret_manager::{GcpAuth, GcpSecretManager};
    use crate::config::value_format::ValueFormat;

    fn manager(store: &Value) -> GcpSecretManager {
        match loaded(&Folder::new(), "gcpSecretManager", store) {
            Ok(Kind::GcpSecretManager(manager)) => manager,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_as_documented() {
        let google = manager(&gcp(&federation()));
        assert_eq!(google.endpoint_url, "https://secretmanager.googleapis.com");
        assert_eq!((google.location, google.values), (None, ValueFormat::Object));
        let GcpAuth::WorkloadIdentityFederation { service_account, sts_url, iam_credentials_url, .. } = google.auth
        else {
            panic!("no federation")
        };
        assert_eq!(service_account, None);
        assert_eq!(sts_url, "https://sts.googleapis.com");
        assert_eq!(iam_credentials_url, "https://iamcredentials.googleapis.com");

        let google = manager(&gcp(&json!({"metadataServer": {}})));
        let GcpAuth::MetadataServer { service_account, endpoint_url } = google.auth else { panic!("no metadata") };
        assert_eq!((service_account.as_str(), endpoint_url.as_str()), ("default", "http://169.254.169.254"));

        let mut regional = gcp(&federation());
        regional["location"] = json!("europe-west3");
        let google = manager(&regional);
        assert_eq!(google.endpoint_url, "https://secretmanager.europe-west3.rep.googleapis.com");
        assert_eq!(google.location.as_deref(), Some("europe-west3"));
        assert!(matches!(
            manager(&gcp(&json!({"serviceAccountKeyFile": "key"}))).auth,
            GcpAuth::ServiceAccountKeyFile(_)
        ));
    }

    #[test]
    fn each_bad_value_is_reported_at_its_place() {
        let federation = federation();
        let metadata = json!({"metadataServer": {}});
        let one_of = "auth: must have exactly one of workloadIdentityFederation, metadataServer, serviceAccountKeyFile";
        let at = "auth.workloadIdentityFederation";
        let clear = "must begin with https:// unless it is an address of this machine";
        let email = "must be NAME@PROJECT.iam.gserviceaccount.com";
        let rows = [
            (&federation, "/project", json!(null), "project: must be set".to_owned()),
            (&federation, "/project", json!("a/b"), "project: must be the id".into()),
            (&federation, "/location", json!("x.evil.example/"), "location: must be a location".into()),
            (
                &federation,
                "/endpointUrl",
                json!("http://secretmanager.googleapis.com"),
                format!("endpointUrl: {clear}"),
            ),
            (&federation, "/endpointUrl", json!("https://x/v1"), "endpointUrl: must have no path".into()),
            (&federation, "/endpointUrl", json!("https://u:hunter2@x"), "endpointUrl: must have no user".into()),
            (&federation, "/values", json!("json"), "values: must be one of object, text".into()),
            (&federation, "/expired", json!("refuse"), "expired: unknown key".into()),
            (&federation, "/auth", json!({}), one_of.into()),
            (&federation, "/auth/metadataServer", json!({}), one_of.into()),
            (
                &federation,
                "/auth/workloadIdentityFederation/provider",
                json!(null),
                format!("{at}.provider: must be set"),
            ),
            (
                &federation,
                "/auth/workloadIdentityFederation/provider",
                json!("projects/acme/locations/global/workloadIdentityPools/a/providers/b"),
                format!("{at}.provider: must be projects/NUMBER/"),
            ),
            (
                &federation,
                "/auth/workloadIdentityFederation/tokenFile",
                json!("nowhere"),
                format!("{at}.tokenFile: there is no such file"),
            ),
            (
                &federation,
                "/auth/workloadIdentityFederation/serviceAccount",
                json!("x/../y"),
                format!("{at}.serviceAccount: {email}"),
            ),
            (
                &federation,
                "/auth/workloadIdentityFederation/stsUrl",
                json!("http://x"),
                format!("{at}.stsUrl: {clear}"),
            ),
            (
                &federation,
                "/auth/workloadIdentityFederation/iamCredentialsUrl",
                json!("https://x/y"),
                format!("{at}.iamCredentialsUrl: must have no path"),
            ),
            (
                &metadata,
                "/auth/metadataServer/endpointUrl",
                json!("http://169.254.169.254.evil.example"),
                "auth.metadataServer.endpointUrl: must be http://169.254.169.254".into(),
            ),
            (
                &metadata,
                "/auth/metadataServer/endpointUrl",
                json!("http://169.254.170.2"),
                "auth.metadataServer.endpointUrl: must be http://169.254.169.254".into(),
            ),
            (
                &metadata,
                "/auth/metadataServer/serviceAccount",
                json!("a/b"),
                format!("auth.metadataServer.serviceAccount: {email}"),
            ),
            (
                &json!({"serviceAccountKeyFile": "key"}),
                "/auth/serviceAccountKeyFile",
                json!("nowhere"),
                "auth.serviceAccountKeyFile: there is no such file".into(),
            ),
        ];
        let rows: Vec<_> =
            rows.iter().map(|(auth, at, value, fault)| (*auth, *at, value.clone(), fault.as_str())).collect();
        assert_refused("gcpSecretManager", gcp, &rows);
    }

    #[test]
    fn loopback_emulators_and_metadata_servers_are_accepted() {
        let folder = Folder::new();
        let mut store = gcp(&federation());
        store["endpointUrl"] = json!("http://127.0.0.1:8080");
        assert!(loaded(&folder, "gcpSecretManager", &store).is_ok());
        for url in ["http://[fd20:ce::254]", "http://127.0.0.1:988"] {
            let auth = json!({"metadataServer": {"endpointUrl": url, "serviceAccount": "a@b.iam.gserviceaccount.com"}});
            assert!(loaded(&folder, "gcpSecretManager", &gcp(&auth)).is_ok(), "{url}");
        }
    }
}
