//! `stores[].awsSecretsManager`: every fault has its place, and optional keys behave as documented.

#[cfg(feature = "aws")]
use super::super::aws_secrets_manager::AwsAuth;
use super::super::aws_secrets_manager::AwsSecretsManager;
use super::super::stores::Kind;
use super::{Folder, fault_lines, good, set};
use serde_json::{Value, json};
#[cfg(feature = "aws")]
use std::time::Duration;

#[cfg(feature = "aws")]
const ROLE: &str = "arn:aws:iam::123456789012:role/claviger";

fn loaded(folder: &Folder, store: &Value) -> Result<AwsSecretsManager, Vec<String>> {
    let mut tree = good();
    set(&mut tree, "/stores/0", json!({"name": "aws", "awsSecretsManager": store}));
    match folder.load(&tree.to_string()) {
        Ok(config) => match config.stores.into_iter().next().unwrap().kind {
            Kind::AwsSecretsManager(aws) => Ok(aws),
            _ => panic!("another kind"),
        },
        Err(faults) => Err(fault_lines(Err(faults))),
    }
}

fn keys() -> Value {
    json!({"staticKeys": {"accessKeyIdFile": "key", "secretAccessKeyFile": "token"}})
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_build_without_aws_refuses_it() {
    let fault_lines = loaded(&Folder::new(), &json!({"region": "eu-central-1", "auth": keys()})).unwrap_err();
    assert_eq!(
        fault_lines,
        ["stores[0].awsSecretsManager: is not in this build of claviger, which was made without its feature aws"]
    );
}

#[cfg(feature = "aws")]
#[test]
fn defaults_are_as_documented() {
    let folder = Folder::new();
    let aws = loaded(&folder, &json!({"region": "eu-central-1", "auth": keys()})).unwrap();
    assert_eq!((aws.region.as_str(), aws.endpoint_url, aws.ca_file), ("eu-central-1", None, None));
    assert_eq!(
        (aws.timeout, aws.cache.ttl, aws.cache.max_entries),
        (Duration::from_secs(2), Duration::from_mins(1), 100_000)
    );
    let AwsAuth::StaticKeys { access_key_id_file, .. } = aws.auth else { panic!("not keys") };
    assert_eq!(access_key_id_file, folder.path("key"));

    let role = json!({"webIdentity": {"roleArn": ROLE, "tokenFile": "token"}});
    let aws = loaded(&folder, &json!({"region": "eu-central-1", "auth": role})).unwrap();
    let AwsAuth::WebIdentity { session_name, sts_endpoint_url, .. } = aws.auth else { panic!("not a role") };
    assert_eq!((session_name.as_str(), sts_endpoint_url), ("claviger", None));

    let agent = json!({"containerCredentials": {"tokenFile": "token"}});
    let aws = loaded(&folder, &json!({"region": "eu-central-1", "auth": agent})).unwrap();
    let AwsAuth::ContainerCredentials { full_uri, .. } = aws.auth else { panic!("not an agent") };
    assert_eq!(full_uri, "http://169.254.170.23/v1/credentials");
}

#[cfg(feature = "aws")]
#[test]
fn each_bad_value_is_reported_at_its_place() {
    let folder = Folder::new();
    let good = |auth: &Value| json!({"region": "eu-central-1", "auth": auth});
    let role = json!({"webIdentity": {"roleArn": ROLE, "tokenFile": "token"}});
    let agent = json!({"containerCredentials": {"tokenFile": "token"}});
    let one_of = "auth: must have exactly one of webIdentity, containerCredentials, staticKeys";
    let missing = "there is no such file";
    for (auth, pointer, value, expected) in [
        (&role, "/region", json!(null), "region: must be set"),
        (&role, "/region", json!("eu-central-1.evil.example/"), "region: must be a region such as"),
        (&role, "/region", json!("EU"), "region: must be a region such as"),
        (&role, "/endpointUrl", json!("vpce.example"), "endpointUrl: must begin with https://"),
        (&role, "/endpointUrl", json!("https://u:hunter2@x"), "endpointUrl: must have no user"),
        (&role, "/endpointUrl", json!("https://x/path"), "endpointUrl: must have no path"),
        (&role, "/caFile", json!("nowhere"), &format!("caFile: {missing}")),
        (&role, "/timeout", json!("61s"), "timeout: must be between 1ms and 1m"),
        (&role, "/cache", json!({"ttl": "25h"}), "cache.ttl: must be between 0s and 24h"),
        (&role, "/accessKeyId", json!("hunter2"), "accessKeyId: unknown key"),
        (&role, "/auth", json!({}), one_of),
        (&role, "/auth/staticKeys", keys()["staticKeys"].clone(), one_of),
        (&role, "/auth/webIdentity/roleArn", json!(null), "auth.webIdentity.roleArn: must be set"),
        (&role, "/auth/webIdentity/roleArn", json!("claviger"), "auth.webIdentity.roleArn: must be a role"),
        (
            &role,
            "/auth/webIdentity/roleArn",
            json!("arn:aws:iam::1:user/x"),
            "auth.webIdentity.roleArn: must be a role",
        ),
        (&role, "/auth/webIdentity/tokenFile", json!("nowhere"), &format!("auth.webIdentity.tokenFile: {missing}")),
        (&role, "/auth/webIdentity/sessionName", json!("a b"), "auth.webIdentity.sessionName: must be 2 to 64"),
        (&role, "/auth/webIdentity/stsEndpointUrl", json!("x"), "auth.webIdentity.stsEndpointUrl: must begin with"),
        (
            &agent,
            "/auth/containerCredentials/fullUri",
            json!("http://evil.example/x"),
            "auth.containerCredentials.fullUri: must be https",
        ),
        (
            &agent,
            "/auth/containerCredentials/fullUri",
            json!("http://169.254.170.23.evil.example"),
            "auth.containerCredentials.fullUri: must be https",
        ),
        (
            &agent,
            "/auth/containerCredentials/fullUri",
            json!("http://169.254.169.254/latest"),
            "auth.containerCredentials.fullUri: must be https",
        ),
        (
            &agent,
            "/auth/containerCredentials/tokenFile",
            json!("nowhere"),
            &format!("auth.containerCredentials.tokenFile: {missing}"),
        ),
        (&keys(), "/auth/staticKeys/accessKeyIdFile", json!(null), "auth.staticKeys.accessKeyIdFile: must be set"),
        (
            &keys(),
            "/auth/staticKeys/secretAccessKeyFile",
            json!("nowhere"),
            &format!("auth.staticKeys.secretAccessKeyFile: {missing}"),
        ),
        (&keys(), "/auth/staticKeys/secretAccessKey", json!("hunter2"), "auth.staticKeys.secretAccessKey: unknown key"),
    ] {
        let mut store = good(auth);
        assert!(loaded(&folder, &store).is_ok());
        set(&mut store, pointer, value.clone());
        let fault_lines = loaded(&folder, &store).unwrap_err();
        assert!(
            fault_lines[0].starts_with(&format!("stores[0].awsSecretsManager.{expected}")),
            "{pointer} = {value}: {fault_lines:?}"
        );
        assert!(fault_lines.len() == 1 && !fault_lines[0].contains("hunter2"), "{pointer} = {value}: {fault_lines:?}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn an_agent_needs_https_unless_it_is_on_this_machine() {
    let folder = Folder::new();
    for uri in [
        "https://agent.example/x",
        "http://169.254.170.2/v2/credentials/1",
        "http://[fd00:ec2::23]/v1",
        "http://127.0.0.1:8080",
    ] {
        let auth = json!({"containerCredentials": {"fullUri": uri, "tokenFile": "token"}});
        assert!(loaded(&folder, &json!({"region": "us-east-1", "auth": auth})).is_ok(), "{uri}");
    }
}
