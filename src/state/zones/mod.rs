//! Master files (RFC 1035 section 5) to checked records.
//!
//! ```text
//! bytes -> entries (lines, quotes, parentheses) -> read (directives, owners, defaults)
//!       -> rdata, by the table in types (uncompressed wire form)
//!       -> settle (duplicates, TTLs of an RRset) -> ZoneText
//! all zones -> view (who has which name) -> check, aliases (what must be, what must not, what points where)
//! ```
//!
//! Every mistake of every file is found at once: a line that cannot be read is an error and reading goes
//! on behind it. A record that cannot be served is an error too, never dropped.
//!
//! Deliberately absent: lookup and rendering, which are the engine's; other classes than IN; `$GENERATE`;
//! signed zones; files that change while they are read, which the next change notice reads again.

mod aliases;
mod check;
mod entries;
mod rdata;
mod read;
mod settle;
mod svc_params;
mod types;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use aliases::ALIASES_MAX;
pub use check::{RECORD_OCTETS, RRSET_OCTETS_MAX, check_zones};
pub use read::{read_zone, read_zone_text};
pub use types::type_name;

use crate::files::Problem;
use crate::wire::Name;

/// A record as its file has it, ready to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneRecord {
    /// The owner name, in the case it was written in.
    pub owner: Name,
    /// The type's number.
    pub record_type: u16,
    /// Seconds, at most 2^31 - 1 (RFC 2181 section 8); the same for a whole RRset.
    pub ttl: u32,
    /// The data in wire form, with no name compressed.
    pub rdata: Vec<u8>,
    /// The file it stands in, which may be an included one.
    pub file: Arc<Path>,
    /// Its first line there, from 1.
    pub line: usize,
}

impl ZoneRecord {
    /// What messages call it: `www.example.com. CNAME`.
    pub fn label(&self) -> String {
        format!("{} {}", self.owner, type_name(self.record_type))
    }

    /// The first name in its data: where NS, CNAME, PTR, MX, SRV and their like point.
    pub fn target(&self) -> Option<Name> {
        rdata::target(self.record_type, &self.rdata)
    }

    /// Where it stands, for a message about another record: `line 7`, or `hosts.inc:7`.
    fn seen_from(&self, other: &ZoneRecord) -> String {
        if self.file == other.file {
            return format!("line {}", self.line);
        }
        format!("{}:{}", self.file.display(), self.line)
    }

    fn error(&self, message: impl Into<String>) -> Problem {
        Problem::error(&self.file, self.line, message).of(self.label())
    }

    fn warning(&self, message: impl Into<String>) -> Problem {
        Problem::warning(&self.file, self.line, message).of(self.label())
    }
}

/// A zone as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneText {
    /// The apex: the file's name without `.zone`, or the `$ORIGIN` in force where the SOA stands.
    pub origin: Name,
    /// The zone's file.
    pub file: PathBuf,
    /// Its records in the order of the file, without duplicates.
    pub records: Vec<ZoneRecord>,
    /// Every file that was read or looked for: the zone's own and what it includes.
    pub files: Vec<PathBuf>,
    /// Whether every line could be read. Where not, nobody can say what is missing.
    pub complete: bool,
}

/// How far reading has come, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done_bytes: u64,
    /// Bytes of the zone files; it grows when a file includes another.
    pub all_bytes: u64,
}

/// Reads every `*.zone` file of a folder, in the order of their names. Hidden files are passed over:
/// editors leave locks and half-written copies under such names.
pub fn read_zones(dir: &Path, progress: &mut dyn FnMut(Progress)) -> (Vec<ZoneText>, Vec<Problem>) {
    let mut problems = Vec::new();
    let files = list(dir).unwrap_or_else(|e| {
        let message = format!("the folder of zones cannot be read: {e}");
        problems.push(Problem::error(dir, None, message));
        Vec::new()
    });
    let all_bytes = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|data| data.len()).sum();
    let mut seen = Progress { done_bytes: 0, all_bytes };
    let mut zones = Vec::new();
    for file in files {
        zones.push(read::read_zone_with(&file, dir, &mut problems, &mut seen, progress));
    }
    (zones, problems)
}

fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.ends_with(b".zone") && !name.starts_with(b".") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
