//go:build tools

// Package rig pins etcd, which the tests run beside the API server.
package rig

import _ "go.etcd.io/etcd/server/v3"
