//! The control plane over HTTP.

pub mod bodies;
