//! Reading what the operator wrote, so that every mistake is found at once and named where it stands.
//!
//! The rooms that read files (config, geo, state) share these words; nothing here knows what a file means.

pub mod fields;
pub mod json;
pub mod problem;

pub use fields::{At, Document, Fields, parse_duration};
pub use json::{Json, read_json};
pub use problem::{Problem, Severity};
