"""Where the programs and the state of the cluster are, and its addresses."""
import os
import pathlib

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
RIG = pathlib.Path(os.environ.get("CLAVIGER_RIG") or pathlib.Path(CACHE) / "claviger-rig")
BIN = RIG / "bin"
# Links and settings of one cluster; a second checkout has a second cluster.
STATE = pathlib.Path(os.environ.get("CLAVIGER_CLUSTER") or CHECKOUT / "target" / "cluster")
# The executable for the product's image: any build, also one that needs the machine's libraries.
EXECUTABLE = pathlib.Path(os.environ.get("CLAVIGER_BINARY") or CHECKOUT / "target" / "debug" / "claviger")

NODE = "node1"
NODE_IP = "10.111.0.1"
POD_NETWORK = "10.111.0.0/24"
SERVICE_NETWORK = "10.96.0.0/24"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
API_SERVER = f"https://{NODE_IP}:6443"
KUBERNETES = "1.36.3"
TEKTON = "1.9.0"
CSI_DRIVER = "1.6.0"
CONTAINERD = "2.4.2"
