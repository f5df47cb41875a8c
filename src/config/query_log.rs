//! `[query_log]`: which queries are logged, and where.

use std::path::{Path, PathBuf};

use super::{Limit, NamedPath, limited};
use crate::files::Fields;

/// Queries for each that is logged. 1 is every query, for a test or a quiet server.
pub const QUERY_LOG_ONE_IN: Limit<u32> = Limit { default: 1000, least: 1, most: 1_000_000 };

/// Which queries are logged, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryLog {
    /// Where lines go; none is no log.
    pub to: Option<LogTo>,
    /// Queries for each that is logged.
    pub one_in: u32,
    /// Addresses as they came, not cut to their network.
    pub whole_addresses: bool,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq)]
pub enum LogTo {
    /// Standard output.
    StandardOutput,
    /// The end of a file.
    File(PathBuf),
}

/// Reads the table.
pub fn read(folder: &Path, mut fields: Option<Fields>, paths: &mut Vec<NamedPath>) -> QueryLog {
    if let Some(fields) = &mut fields {
        fields.object = "query_log".into();
    }
    let one_in = limited(&mut fields, "one_in", QUERY_LOG_ONE_IN);
    let Some(mut fields) = fields else { return QueryLog { to: None, one_in, whole_addresses: false } };
    let file = fields.text("file");
    if let Some(file) = file.as_ref().filter(|file| file.value.is_empty()) {
        fields.error("file", file.line, "empty; write a path, or - for standard output");
    }
    let to = file.map(|file| match file.value.as_str() {
        "-" => LogTo::StandardOutput,
        path => {
            let path = folder.join(path);
            paths.push(NamedPath { field: ("query_log", "file"), line: Some(file.line), path: path.clone() });
            LogTo::File(path)
        }
    });
    let whole_addresses = fields.flag("whole_addresses").is_some_and(|flag| flag.value);
    fields.finish();
    QueryLog { to, one_in, whole_addresses }
}
