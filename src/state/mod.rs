//! What is wanted, and how it becomes what is served.

pub mod fields;
pub mod problem;

pub use fields::{At, Document, Fields};
pub use problem::{Problem, Severity};
