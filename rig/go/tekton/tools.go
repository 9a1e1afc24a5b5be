//go:build tools

// Package rig pins Tekton's controller and webhook, which the tests run against the API server.
package rig

import (
	_ "github.com/tektoncd/pipeline/cmd/controller"
	_ "github.com/tektoncd/pipeline/cmd/webhook"
)
