//! The filters, one file each. A file's head is the filter's manual.

use super::Kind;

/// Every filter, by its NS1 key.
pub const KINDS: &[Kind] = &[];
