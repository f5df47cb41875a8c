//! One copy of the store beside it, for the day when the file is gone or damaged.
//!
//! ```text
//! state.redb.backup.new: written, synced -> .backup becomes .backup.old -> .new becomes .backup
//! ```
//!
//! It is an export ([`super::export`]): it can be read without redb, which may be what failed. At every moment
//! one whole copy has its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::embedded::advice;
use super::export::Export;
use super::{Contents, StoreError};
use crate::state::model::Time;

/// Writes contents to the backup of a store's path.
///
/// # Errors
/// It cannot be written; the one before is still there.
pub fn write(path: &Path, contents: &Contents, now: Time) -> Result<(), StoreError> {
    let [backup, old] = copies(path);
    let new = beside(path, ".backup.new");
    let failed = |error: io::Error| {
        StoreError::Unavailable(format!("{}: {error}: {}", new.display(), advice(error.kind())))
    };
    write_synced(&new, &Export::new(contents, now).write()).map_err(failed)?;
    match fs::rename(&backup, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::rename(&new, &backup).and_then(|()| File::open(folder(path))?.sync_all()).map_err(failed)
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    // It holds the hashes of tokens, as the store does.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Reads the backup of a store's path, and when it was made: the newest copy that can be read.
///
/// # Errors
/// None can; what is wrong with each.
pub fn read_backup(path: &Path) -> Result<(Contents, Time), StoreError> {
    let mut wrong = Vec::new();
    let mut is_corrupt = false;
    for copy in copies(path) {
        let why = match fs::read_to_string(&copy) {
            // Not checked further: it is what the store held.
            Ok(text) => match Export::parse(&text) {
                Ok(export) => return Ok((export.contents(), export.made_at)),
                Err(why) => why,
            },
            Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                wrong.push(format!("{}: {error}", copy.display()));
                continue;
            }
            Err(error) => error.to_string(),
        };
        is_corrupt = true;
        wrong.push(format!("{}: {why}", copy.display()));
    }
    let words = format!("no backup can be read: {}", wrong.join("; "));
    Err(if is_corrupt { StoreError::Corrupt(words) } else { StoreError::Unavailable(words) })
}

/// Where the copies of a store are, the newest first.
pub fn copies(path: &Path) -> [PathBuf; 2] {
    [beside(path, ".backup"), beside(path, ".backup.old")]
}

/// The path with something at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The folder it is in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
