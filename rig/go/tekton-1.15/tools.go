//go:build tools

// Package rig pins Tekton's controller and webhook, with which `make matrix` runs the tests.
package rig

import (
	_ "github.com/tektoncd/pipeline/cmd/controller"
	_ "github.com/tektoncd/pipeline/cmd/webhook"
)
