//! Builds: the chart's Tasks and Pipeline, run step by step against an installation, and images built by the real
//! Buildah.

mod buildah;
mod image;
mod shells;
mod task;
mod task_text;
mod tls;
