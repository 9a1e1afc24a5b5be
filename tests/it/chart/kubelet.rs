//! A kubelet simulator: places a rendered pod's volumes at their mount paths, in a folder that becomes the
//! container's root, and runs the container as the pod's user.

use super::rendered::{NAMESPACE, Rendered};
use crate::rig::claviger::binary;
use crate::rig::json::array;
use crate::rig::kube::DEFAULT_AUDIENCE;
use crate::rig::kube::actors::Kube;
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The mount path of the API server token in every pod.
const OWN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A container that can be started.
pub struct Container {
    /// Its root folder.
    pub root: TempDir,
    environment: Vec<(String, String)>,
    user: u32,
}

/// A user that a platform such as `OpenShift` assigns: from the namespace's own range.
const ASSIGNED_USER: u64 = 1_000_650_000;

/// The keys of a Secret or `ConfigMap` outside the chart: all that any value set needs.
fn external_keys() -> BTreeMap<&'static str, String> {
    let certificate = generate_simple_self_signed(["rel-claviger.claviger.svc".to_owned()]).unwrap();
    BTreeMap::from([
        ("tls.crt", certificate.cert.pem()),
        ("tls.key", certificate.signing_key.serialize_pem()),
        ("ca.crt", certificate.cert.pem()),
        ("url", "postgres://claviger@127.0.0.1:1/claviger".to_owned()),
        ("key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned()),
        ("hmac", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned()),
        ("token", "s.of-the-store".to_owned()),
    ])
}

impl Container {
    /// Creates the container's files.
    pub async fn of(rendered: &Rendered, kube: &Kube) -> Self {
        let spec = &rendered.pod()["spec"];
        let container = &spec["containers"][0];
        let user = u32::try_from(spec["securityContext"]["runAsUser"].as_u64().unwrap_or(ASSIGNED_USER)).unwrap();
        let mut made = Self { root: tempfile::tempdir().unwrap(), environment: Vec::new(), user };
        made.copy_binary();
        let place = format!("{NAMESPACE}/{}", spec["serviceAccountName"].as_str().unwrap());
        if spec["automountServiceAccountToken"] == true {
            made.put(OWN, "token", &kube.unbound_token(&place, DEFAULT_AUDIENCE).await);
            made.put(OWN, "ca.crt", &kube.plane.ca());
            made.put(OWN, "namespace", NAMESPACE);
        }
        let claims =
            rendered.all("StatefulSet").into_iter().flat_map(|set| array(&set["spec"]["volumeClaimTemplates"]));
        let claims: Vec<&Value> = claims.map(|claim| &claim["metadata"]["name"]).collect();
        for mount in array(&container["volumeMounts"]) {
            let path = mount["mountPath"].as_str().unwrap();
            let volume = array(&spec["volumes"]).find(|volume| volume["name"] == mount["name"]);
            let Some(volume) = volume else {
                assert!(claims.contains(&&mount["name"]), "{mount}: there is no such volume");
                fs::create_dir_all(made.at(path)).unwrap();
                continue;
            };
            let files = files(volume, rendered, kube, &place).await;
            if let Some(one) = mount["subPath"].as_str() {
                let (folder, name) = path.rsplit_once('/').unwrap();
                made.put(folder, name, &files[one]);
            } else {
                fs::create_dir_all(made.at(path)).unwrap();
                for (name, text) in &files {
                    made.put(path, name, text);
                }
            }
        }
        for variable in array(&container["env"]) {
            let value = variable["value"].as_str().map(str::to_owned);
            let of_secret = || external_keys()[variable["valueFrom"]["secretKeyRef"]["key"].as_str().unwrap()].clone();
            made.environment.push((variable["name"].as_str().unwrap().to_owned(), value.unwrap_or_else(of_secret)));
        }
        made.environment.push(("KUBERNETES_SERVICE_HOST".into(), "127.0.0.1".into()));
        made.environment.push(("KUBERNETES_SERVICE_PORT".into(), kube.plane.port().to_string()));
        made.chown_to_user(made.root.path());
        made
    }

    /// A command of the binary in the container, as the container's user.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(format!("--userspec={0}:{0}", self.user)).arg(self.root.path()).arg("/claviger").args(arguments);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Copies the binary under test and the libraries it is linked to; the image has a static one.
    fn copy_binary(&self) {
        let output = Command::new("ldd").arg(binary()).output().unwrap();
        for word in String::from_utf8(output.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
            fs::create_dir_all(self.at(word).parent().unwrap()).unwrap();
            fs::copy(word, self.at(word)).unwrap();
        }
        fs::hard_link(binary(), self.at("/claviger"))
            .or_else(|_| fs::copy(binary(), self.at("/claviger")).map(drop))
            .unwrap();
        // Public root certificates, as in the image.
        fs::create_dir_all(self.at("/etc/ssl/certs")).unwrap();
        fs::copy("/etc/ssl/certs/ca-certificates.crt", self.at("/etc/ssl/certs/ca-certificates.crt")).unwrap();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, folder: &str, name: &str, text: &str) {
        fs::create_dir_all(self.at(folder)).unwrap();
        fs::write(self.at(folder).join(name), text).unwrap();
    }

    fn chown_to_user(&self, path: &Path) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.chown_to_user(&path);
            }
        }
        chown(path, Some(self.user), Some(self.user)).unwrap_or_else(|error| panic!("{error}: this test needs root"));
    }
}

/// The files of a volume.
async fn files(volume: &Value, rendered: &Rendered, kube: &Kube, place: &str) -> BTreeMap<String, String> {
    let keys = external_keys();
    let owned = |(name, text): (&str, &String)| (name.to_owned(), text.clone());
    if let Some(name) = volume["configMap"]["name"].as_str() {
        let Some(map) = rendered.find("ConfigMap", name) else {
            return keys.iter().map(|(n, t)| owned((n, t))).collect();
        };
        let data = map["data"].as_object().unwrap();
        return data.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect();
    }
    if volume["secret"].is_object() {
        return keys.iter().map(|(n, t)| owned((n, t))).collect();
    }
    let mut files = BTreeMap::new();
    for source in array(&volume["projected"]["sources"]) {
        for item in array(&source["secret"]["items"]) {
            let text = &keys[item["key"].as_str().unwrap()];
            files.insert(item["path"].as_str().unwrap().to_owned(), text.clone());
        }
        if let Some(audience) = source["serviceAccountToken"]["audience"].as_str() {
            let path = source["serviceAccountToken"]["path"].as_str().unwrap();
            files.insert(path.to_owned(), kube.unbound_token(place, audience).await);
        }
    }
    files
}
