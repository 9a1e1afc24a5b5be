//! In the build: the Tasks and the Pipeline of the chart, run step by step against an installation, and images that
//! Buildah really builds with them.

mod buildah;
mod image;
mod shells;
mod task;
mod tls;
mod written;
