//go:build tools

// Package rig pins the API server and kubectl, on which `make matrix` runs the tests.
package rig

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
