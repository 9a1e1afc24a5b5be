//go:build tools

// Package rig pins the API server and kubectl, which the tests run.
package rig

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
