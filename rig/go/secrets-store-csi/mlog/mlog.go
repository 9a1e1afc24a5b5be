// Package mlog stands in for a logging module of the Secrets Store CSI driver that cannot be downloaded. It has the names that
// the driver uses, and logs with klog.
package mlog

import (
	"context"
	"fmt"
	"os"

	"k8s.io/klog/v2"
)

// LogFormat is the format of the log. This package writes one format only.
type LogFormat string

const (
	FormatText LogFormat = "text"
	FormatJSON LogFormat = "json"
)

// Setup returns what flushes the log.
func Setup() func() { return klog.Flush }

// ValidateAndSetKlogLevelAndFormatGlobally accepts everything: klog has its level from its own flag.
func ValidateAndSetKlogLevelAndFormatGlobally(context.Context, klog.Level, LogFormat) error {
	return nil
}

// Error logs an error.
func Error(msg string, err error, keysAndValues ...any) { klog.ErrorS(err, msg, keysAndValues...) }

// Fatal logs an error and ends the process.
func Fatal(err error) {
	klog.Flush()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
