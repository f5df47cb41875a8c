//! Bytes to and from DNS messages.

pub mod name;

pub use name::{Name, NameError};
