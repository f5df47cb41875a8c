//! The control plane: over its router, with a real keeper and a clock that is told; and over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod document;
mod served;
mod set;
mod shown;
mod writes;
