//go:build tools

// Package rig pins the Secrets Store CSI driver, which the tests run against the API server.
package rig

import (
	_ "sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver"
)
