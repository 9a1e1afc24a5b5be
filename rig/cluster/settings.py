"""The configuration files of the node's programs."""
import json

import cgroups
from place import BIN, DNS_SERVICE_IP, NODE, NODE_IP, POD_NETWORK, STATE

# Root in a container may lack CAP_SYS_RESOURCE: then no process may lower its OOM score, and without restrict_oom_score_adj
# no sandbox starts.
CONTAINERD = f"""version = 3
root = "{STATE}/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "docker.io/library/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{STATE}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"""

CNI = {
    "cniVersion": "1.0.0", "name": "cluster",
    "plugins": [{
        "type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "hairpinMode": True, "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": f"{STATE}/cni-data",
                 "ranges": [[{"subnet": POD_NETWORK, "rangeStart": "10.111.0.10"}]]},
    }],
}

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "failCgroupV1": False, "cgroupDriver": "cgroupfs",
    "cgroupRoot": f"/{cgroups.NAME}",
    "failSwapOn": False, "clusterDNS": [DNS_SERVICE_IP], "clusterDomain": "cluster.local",
    "resolvConf": f"{STATE}/resolv.conf", "volumePluginDir": f"{STATE}/volume-plugins",
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "tlsCertFile": f"{STATE}/pki/kubelet.crt", "tlsPrivateKeyFile": f"{STATE}/pki/kubelet.key",
    "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                       "x509": {"clientCAFile": f"{STATE}/pki/ca.crt"}},
    "authorization": {"mode": "Webhook"},
    "evictionHard": {name: "1%" for name in
                     ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"]},
    "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99, "maxPods": 110,
}

PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
    "clientConnection": {"kubeconfig": f"{STATE}/proxy.kubeconfig"}, "hostnameOverride": NODE, "clusterCIDR": POD_NETWORK,
    # Not this machine's own limits.
    "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}

DNS = f""".:53 {{
  bind {NODE_IP}
  errors
  ready {NODE_IP}:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {STATE}/admin.kubeconfig
  }}
  cache 5
}}
"""

# The development server has no durable data; its second listener has TLS and an address that pods can reach.
STORE = f"""listener "tcp" {{
  address = "{NODE_IP}:8200"
  tls_cert_file = "{STATE}/pki/store.crt"
  tls_key_file = "{STATE}/pki/store.key"
}}
"""


def write():
    for folder in ["log", "cni", "kubelet", "volume-plugins", "etcd", "volumes"]:
        (STATE / folder).mkdir(parents=True, exist_ok=True)
    (STATE / "containerd.toml").write_text(CONTAINERD)
    (STATE / "cni" / "10-cluster.conflist").write_text(json.dumps(CNI))
    (STATE / "kubelet.json").write_text(json.dumps(KUBELET))
    (STATE / "proxy.json").write_text(json.dumps(PROXY))
    (STATE / "Corefile").write_text(DNS)
    (STATE / "store.hcl").write_text(STORE)
    (STATE / "resolv.conf").write_text("")
    kubectl = STATE / "kubectl"
    kubectl.write_text(f"""#!/bin/sh
exec nsenter -t "$(cat {STATE}/pid)" -n {BIN}/kubectl --kubeconfig {STATE}/admin.kubeconfig --cache-dir {STATE}/kubectl-cache "$@"
""")
    kubectl.chmod(0o755)
