//! THE CLUSTER: one Kubernetes client per cluster, shared by everyone who asks the API server something.
