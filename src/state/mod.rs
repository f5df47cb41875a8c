//! What is wanted, and how it becomes what is served.

pub mod problem;
pub mod zones;

pub use problem::{Problem, Severity};
