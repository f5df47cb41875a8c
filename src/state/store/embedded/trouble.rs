//! What goes wrong with the file, and the words for it: read at three in the morning, by someone who has
//! never heard of redb.

use std::io::{self, ErrorKind};
use std::path::Path;

use redb::{DatabaseError, StorageError};

use super::OpenError;
use crate::state::store::{CommitError, StoreError};

/// Why something was not done.
pub enum Trouble {
    /// Another writer was first; the newest revision.
    Conflict(u64),
    /// What should be written makes no sense.
    Refused(String),
    /// A table holds what cannot be understood.
    Unreadable {
        /// Which table.
        table: &'static str,
        /// Under which key.
        key: String,
        /// Why.
        why: String,
    },
    /// The format is another one.
    Format(String),
    /// The database fails.
    Database(redb::Error),
    /// The database panicked: it was damaged where it did not expect it.
    Panic(String),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble::Database(error.into())
    }
}

impl Trouble {
    /// The system's error, if that is what it is. What redb says about a file that is too short or begins with
    /// something else comes as one, and is none.
    fn system(&self) -> Option<&io::Error> {
        match self {
            Trouble::Database(redb::Error::Io(error)) => Some(error)
                .filter(|error| ![ErrorKind::InvalidData, ErrorKind::UnexpectedEof].contains(&error.kind())),
            _ => None,
        }
    }

    /// Whether the file may be read all the same.
    pub fn is_of_writing(&self) -> bool {
        self.system().is_some()
    }

    /// Whether the database can go on without being opened again.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Trouble::Conflict(_) | Trouble::Refused(_))
    }

    /// In words, of a file.
    pub fn of_store(self, path: &Path) -> StoreError {
        let file = path.display();
        if let Some(error) = self.system() {
            return StoreError::Unavailable(format!("{file}: {error}: {}", advice(error.kind())));
        }
        let why = match self {
            Trouble::Database(redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) => {
                return StoreError::Unavailable(format!(
                    "{file}: another process has it open, and two servers cannot share it: stop the other one \
                     (`fuser {file}` names it), or give this one a file of its own"
                ));
            }
            Trouble::Database(redb::Error::Backend(error)) => {
                return StoreError::Unavailable(format!("{file}: {error}"));
            }
            Trouble::Conflict(newest) => {
                return StoreError::Unavailable(format!("{file}: it is at {newest}"));
            }
            Trouble::Refused(why) => return StoreError::Corrupt(format!("{file}: not written: {why}")),
            Trouble::Format(why) => return StoreError::Corrupt(format!("{file}: {why}")),
            Trouble::Unreadable { table, key, why } => format!("table {table}, key `{key}`: {why}"),
            Trouble::Database(error) => error.to_string(),
            Trouble::Panic(why) => format!("damaged: {why}"),
        };
        StoreError::Corrupt(format!(
            "{file}: {why}: this file cannot be used. Keep a copy, move it away, and import its backup \
             ({file}.backup) with `rhumb state import`"
        ))
    }

    /// Of a commit.
    pub fn of_commit(self, path: &Path) -> CommitError {
        match self {
            Trouble::Conflict(newest) => CommitError::Conflict(newest),
            other => CommitError::Store(other.of_store(path)),
        }
    }

    /// Of opening.
    pub fn of_open(self, path: &Path) -> OpenError {
        let is_format = matches!(&self, Trouble::Format(_));
        match self.of_store(path) {
            StoreError::Corrupt(words) if is_format => OpenError::Format(words),
            StoreError::Corrupt(words) => OpenError::Corrupt(words),
            StoreError::Unavailable(words) => OpenError::Unavailable(words),
        }
    }
}

/// The trouble of a system call.
pub fn of_system(error: io::Error) -> Trouble {
    DatabaseError::Storage(StorageError::Io(error)).into()
}

/// What to do.
pub fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on its file system; nothing has to be restarted after that"
        }
        ErrorKind::PermissionDenied => {
            "give the user that runs rhumb the right to read and write it and its folder"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only, often because of a disk error: look at the kernel's log and mount it \
             writable again"
        }
        ErrorKind::NotFound => "it is not there: bring it back, or see whether its file system is mounted",
        ErrorKind::IsADirectory => "it is a folder: name a file in it",
        ErrorKind::NotADirectory => "something on the way to it is a file, not a folder: name another place",
        ErrorKind::AlreadyExists => "there is something already, and it is not replaced: move it away first",
        _ => "look for disk errors in the kernel's log; the next call tries again by itself",
    }
}
