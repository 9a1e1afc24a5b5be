//go:build tools

// Package rig pins External Secrets Operator, which the tests run against the API server.
package rig

import _ "github.com/external-secrets/external-secrets"
