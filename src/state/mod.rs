//! What is wanted, and how it becomes what is served.

pub mod problem;

pub use problem::{Problem, Severity};
