//! The control plane: over its router, with a real keeper and a clock that is told; and over real sockets.

#[path = "../support/mod.rs"]
mod support;

mod asked;
mod auth;
mod document;
mod drains;
mod every_write;
mod explained;
mod served;
mod set;
mod shown;
mod steering;
mod writes;
