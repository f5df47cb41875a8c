//! Query bytes to response bytes.

pub mod peer;

pub use peer::{Peer, Reply, Transport};
