//! Typed actors: pods with tokens, and their life cycle.

use super::{ControlPlane, User, control_plane};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The administrator's client of a cluster.
pub struct Kube {
    /// The control plane.
    pub plane: &'static ControlPlane,
    pub(super) admin: Client,
}

/// A build pod, and the token mounted in it.
pub struct PodActor {
    /// Its namespace.
    pub namespace: String,
    /// Its ServiceAccount.
    pub service_account: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its token for the broker.
    pub token: String,
    admin: Client,
}

impl Kube {
    /// Starts the control plane unless it runs.
    pub async fn start() -> Self {
        Self::of(control_plane()).await
    }

    /// A client of another control plane.
    pub async fn of(plane: &'static ControlPlane) -> Self {
        Self { plane, admin: plane.client(User::Admin).await }
    }

    /// A pod created by another user, with a token for it.
    pub async fn existing_pod(&self, namespace: &str, name: &str) -> PodActor {
        let found = self.api::<Pod>(namespace).get(name).await.unwrap();
        let mut pod = PodActor {
            namespace: namespace.into(),
            service_account: found.spec.unwrap().service_account_name.unwrap(),
            name: name.into(),
            uid: found.metadata.uid.unwrap(),
            token: String::new(),
            admin: self.admin.clone(),
        };
        pod.token = pod.token_for("claviger").await;
        pod
    }

    /// A pod of `NAMESPACE/SERVICEACCOUNT`, Pending, with a token for the audience `claviger`.
    pub async fn pod(&self, account: &str) -> PodActor {
        self.pod_with(account, json!({})).await
    }

    /// The same with labels, annotations or ownerReferences.
    pub async fn pod_with(&self, account: &str, metadata: Value) -> PodActor {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("build-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let (namespace, service_account) = self.create_service_account(account).await;
        let mut pod = PodActor {
            namespace,
            service_account,
            name,
            uid: String::new(),
            token: String::new(),
            admin: self.admin.clone(),
        };
        pod.create(metadata).await;
        pod
    }

    /// A token of `NAMESPACE/SERVICEACCOUNT` that is not bound to a pod.
    pub async fn unbound_token(&self, account: &str, audience: &str) -> String {
        self.unbound_token_for_audiences(account, &[audience]).await
    }

    /// The same for several audiences.
    pub async fn unbound_token_for_audiences(&self, account: &str, audiences: &[&str]) -> String {
        let (namespace, service_account) = self.create_service_account(account).await;
        mint(&self.admin, &namespace, &service_account, audiences, Value::Null).await
    }

    /// Deletes a ServiceAccount.
    pub async fn delete_service_account(&self, account: &str) {
        let (namespace, name) = account.split_once('/').unwrap();
        self.api::<ServiceAccount>(namespace).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Binds a cluster role to a ServiceAccount. Rules without an API group are for Claviger's group.
    pub async fn grant_cluster_role(&self, namespace: &str, service_account: &str, rules: &[Value]) {
        let rules: Vec<Value> = rules
            .iter()
            .map(|rule| {
                let mut whole = json!({"apiGroups": ["claviger.dev"]});
                whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
                whole
            })
            .collect();
        let name = format!("{namespace}-{service_account}");
        let role = json!({"metadata": {"name": name}, "rules": rules});
        create(&Api::<ClusterRole>::all(self.admin.clone()), role).await.unwrap();
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": service_account}],
        });
        create(&Api::<ClusterRoleBinding>::all(self.admin.clone()), binding).await.unwrap();
    }

    pub(super) async fn create_service_account(&self, account: &str) -> (String, String) {
        let (namespace, name) = account.split_once('/').unwrap();
        create(&Api::<Namespace>::all(self.admin.clone()), json!({"metadata": {"name": namespace}})).await.unwrap();
        create(&self.api::<ServiceAccount>(namespace), json!({"metadata": {"name": name}})).await.unwrap();
        (namespace.to_owned(), name.to_owned())
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), namespace)
    }
}

impl PodActor {
    /// Another token of this pod.
    pub async fn token_for(&self, audience: &str) -> String {
        self.token_for_audiences(&[audience]).await
    }

    /// Another token of this pod, for several audiences.
    pub async fn token_for_audiences(&self, audiences: &[&str]) -> String {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid});
        mint(&self.admin, &self.namespace, &self.service_account, audiences, pod).await
    }

    /// Sets its phase, like a kubelet.
    pub async fn set_phase(&self, phase: &str) {
        self.set_status(json!({"phase": phase})).await;
    }

    /// Sets its status, like a kubelet.
    pub async fn set_status(&self, status: Value) {
        let patch = json!({"status": status});
        self.pods().patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Patches it.
    pub async fn patch(&self, patch: Value) {
        self.pods().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Requests its deletion; it stays with a `deletionTimestamp`.
    pub async fn start_deletion(&self) {
        self.patch(json!({"metadata": {"finalizers": ["claviger.dev/hesitates"]}})).await;
        self.delete_now().await;
        let pod = self.pods().get(&self.name).await.unwrap();
        assert!(pod.metadata.deletion_timestamp.is_some());
    }

    /// Deletes it.
    pub async fn delete(&self) {
        self.delete_now().await;
        assert!(self.pods().get_opt(&self.name).await.unwrap().is_none());
    }

    /// Its creation time according to the API server.
    pub async fn creation_time(&self) -> String {
        let pod = serde_json::to_value(self.pods().get(&self.name).await.unwrap()).unwrap();
        pod["metadata"]["creationTimestamp"].as_str().unwrap().to_owned()
    }

    /// Deletes it, and creates another pod with its name. The token stays that of the old pod.
    pub async fn replace(&mut self) -> PodActor {
        self.replace_with(json!({})).await
    }

    /// The same with metadata for the new pod.
    pub async fn replace_with(&mut self, metadata: Value) -> PodActor {
        self.delete().await;
        let mut other = PodActor {
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            name: self.name.clone(),
            uid: String::new(),
            token: String::new(),
            admin: self.admin.clone(),
        };
        other.create(metadata).await;
        assert_ne!(other.uid, self.uid);
        other
    }

    async fn delete_now(&self) {
        self.pods().delete(&self.name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    async fn create(&mut self, mut metadata: Value) {
        metadata["name"] = self.name.as_str().into();
        let pod = json!({
            "metadata": metadata,
            "spec": {
                "serviceAccountName": self.service_account,
                "containers": [{"name": "build", "image": "scratch"}],
            },
        });
        create(&self.pods(), pod).await.unwrap();
        self.uid = self.pods().get(&self.name).await.unwrap().metadata.uid.unwrap();
        self.token = self.token_for("claviger").await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }
}

async fn mint(admin: &Client, namespace: &str, service_account: &str, audiences: &[&str], bound_to: Value) -> String {
    let spec = json!({"audiences": audiences, "boundObjectRef": bound_to, "expirationSeconds": 600});
    let request = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let answer = accounts.create_token_request(service_account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token.unwrap()
}

/// The RBAC permissions of the broker, also split into parts.
pub async fn grant(admin: &Client) -> Result<(), kube::Error> {
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let get_pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    let get_runs = json!({"apiGroups": ["tekton.dev"], "resources": ["taskruns", "pipelineruns"], "verbs": ["get"]});
    let get_admission_policy = json!({
        "apiGroups": ["admissionregistration.k8s.io"], "verbs": ["get"], "resourceNames": [super::admission::POLICY_NAME],
        "resources": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
    });
    let rules = [&get_pods, &get_runs, &get_admission_policy];
    create(&roles, json!({"metadata": {"name": "claviger"}, "rules": rules})).await?;
    create(&roles, json!({"metadata": {"name": "pod-reader"}, "rules": [get_pods]})).await?;
    bind(admin, "system:auth-delegator", User::Broker).await?;
    bind(admin, "claviger", User::Broker).await?;
    bind(admin, "system:auth-delegator", User::Reviewer).await?;
    bind(admin, "pod-reader", User::PodReader).await
}

async fn bind(admin: &Client, role: &str, user: User) -> Result<(), kube::Error> {
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let binding = json!({
        "metadata": {"name": format!("{user:?}-{}", role.replace(':', "-")).to_lowercase()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name()}],
    });
    create(&bindings, binding).await
}

/// Creates an object unless it exists.
async fn create<K>(api: &Api<K>, object: Value) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let object = serde_json::from_value(object).unwrap();
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        other => other.map(|_| ()),
    }
}
