//! One file, by redb: the store of a server that is alone.
//!
//! ```text
//! open -> whole check, repair after a crash -> format -> call: transaction -> answer
//!                                                          | fails
//!                                                          v
//!                                              close; the next call opens again
//! ```
//!
//! A store that is there is never replaced and never silently started empty: a new one is made under another
//! name and takes the file's only when nothing has it.
//! Reading needs no writable disk: what cannot be opened for writing is read into memory for that one call.
//! redb may panic over damage it did not expect (it does so in debug builds); that is a damaged file too.
//!
//! Deliberately absent: sharing the file between processes. The second to open it is told so.

mod tables;
mod trouble;

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, StorageBackend};

use super::backup;
use super::{CommitError, Contents, Store, StoreError, Watched};
use crate::state::model::{Entry, Time};
pub(super) use trouble::advice;
use trouble::{Trouble, of_system};

/// What redb keeps in memory, in bytes. Its default is a gigabyte; a large store of ours is some megabytes, and
/// it is read once.
const CACHE_BYTES: usize = 4 << 20;

/// Dropping this many entries is worth rewriting the file: it takes some ten syncs. Fewer leave room that
/// the next entries take.
const ENTRIES_WORTH_SHRINKING: usize = 256;

/// A store in one file.
pub struct Embedded {
    path: PathBuf,
    connect: Connect,
    /// None before the first call and after a failure.
    database: Option<Database>,
}

type Connect = Box<dyn Fn(Access) -> Result<Database, Trouble> + Send>;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading and writing.
    Write,
}

impl Embedded {
    /// Opens the store of a path. Where there never was one it is made, and its folder too.
    ///
    /// # Errors
    /// See [`OpenError`]. Whatever it is, nothing was replaced.
    pub fn open(path: &Path) -> Result<Embedded, OpenError> {
        let is_there = path.try_exists().map_err(|error| of_system(error).of_open(path))?;
        if !is_there {
            if let Some(backup) = backup::copies(path).into_iter().find(|copy| copy.exists()) {
                return Err(OpenError::Missing { path: path.into(), backup });
            }
            return Embedded::create(path);
        }
        Embedded::open_existing(path)
    }

    /// Makes an empty store, whether there is a backup of an earlier one or not.
    ///
    /// # Errors
    /// There is one at this path, or none can be made.
    pub fn create(path: &Path) -> Result<Embedded, OpenError> {
        create_file(path).map_err(|trouble| trouble.of_open(path))?;
        Embedded::open_existing(path)
    }

    /// Begins with these contents in the place of a store that was lost, and puts what is left of its file aside; the
    /// revision, as of [`Store::replace`]. At every moment the path has what it had, or all of the new store.
    ///
    /// # Errors
    /// The new store cannot be written, or not take the place.
    pub fn begin_anew(path: &Path, contents: &Contents, entry: Entry) -> Result<(Embedded, u64), StoreError> {
        let begun = begin_file(path, contents, entry);
        let revision = begun.map_err(|trouble| trouble.of_store(path))?;
        let store = Embedded::open_existing(path);
        Ok((store.map_err(|error| StoreError::Unavailable(error.to_string()))?, revision))
    }

    fn open_existing(path: &Path) -> Result<Embedded, OpenError> {
        let file = path.to_path_buf();
        Embedded::open_with(path, move |access| {
            let file = OpenOptions::new().read(true).write(access == Access::Write).open(&file)?;
            FileBackend::new(file).map_err(io::Error::other)
        })
    }

    /// Opens the store on something else than a file. `path` is what errors name, and where the backup goes;
    /// `medium` is called each time it is opened again.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with<B: StorageBackend>(
        path: &Path,
        medium: impl Fn(Access) -> io::Result<B> + Send + 'static,
    ) -> Result<Embedded, OpenError> {
        let connect = Box::new(move |access| guard(|| connect(medium(access).map_err(of_system)?, access)));
        let mut store = Embedded { path: path.into(), connect, database: None };
        // On a full or read-only disk the server comes up all the same, with what it can read.
        store.run(Access::Read, |_| Ok(())).map_err(|trouble| trouble.of_open(path))?;
        Ok(store)
    }

    /// Makes an empty store on something else than a file.
    ///
    /// # Errors
    /// It holds something, or cannot be written.
    pub fn create_with(path: &Path, medium: impl StorageBackend) -> Result<(), OpenError> {
        guard(|| create(medium, |_| Ok(()))).map_err(|trouble| trouble.of_open(path))
    }

    /// Does something with the open database, and lets go of it if that fails: redb refuses everything after
    /// an error, and a new start repairs.
    fn run<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut Database) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => match (self.connect)(Access::Write) {
                Ok(database) => database,
                Err(trouble) if access == Access::Read && trouble.is_of_writing() => {
                    let mut copy = (self.connect)(Access::Read)?;
                    return guard(|| work(&mut copy));
                }
                Err(trouble) => return Err(trouble),
            },
        };
        let done = guard(|| work(&mut database));
        match &done {
            Err(trouble) if !trouble.is_harmless() => guard(|| {
                drop(database);
                Ok(())
            })?,
            _ => self.database = Some(database),
        }
        done
    }

    fn run_for_store<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut Database) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        self.run(access, work).map_err(|trouble| trouble.of_store(&self.path))
    }
}

/// Values are durable when `put_values` returns, as commits are: redb would keep them in memory until the next
/// commit otherwise, and a quiet night has none.
impl Store for Embedded {
    fn read(&mut self) -> Result<Contents, StoreError> {
        self.run_for_store(Access::Read, |database| tables::read(database))
    }

    fn commit(&mut self, after: u64, entries: &[Entry]) -> Result<(), CommitError> {
        let done = self.run(Access::Write, |database| tables::commit(database, after, entries));
        done.map_err(|trouble| trouble.of_commit(&self.path))
    }

    fn watch(&mut self, after: u64) -> Result<Watched, StoreError> {
        self.run_for_store(Access::Read, |database| tables::watch(database, after))
    }

    fn log(&mut self, before: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.run_for_store(Access::Read, |database| tables::log(database, before, limit))
    }

    fn put_values(&mut self, values: &BTreeMap<String, Option<String>>, now: Time) -> Result<(), StoreError> {
        self.run_for_store(Access::Write, |database| tables::put_values(database, values, now))
    }

    fn compact(&mut self, before: Time, keep: usize) -> Result<(), StoreError> {
        self.run_for_store(Access::Write, |database| {
            if tables::compact(database, before, keep)? >= ENTRIES_WORTH_SHRINKING {
                database.compact()?;
            }
            Ok(())
        })
    }

    fn back_up(&mut self, now: Time) -> Result<(), StoreError> {
        let contents = self.read()?;
        backup::write(&self.path, &contents, now)
    }

    fn replace(&mut self, contents: &Contents, entry: Entry) -> Result<u64, StoreError> {
        self.run_for_store(Access::Write, |database| tables::replace(database, contents, entry))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // The whole file is read and checked, which takes milliseconds: without it redb trusts a file that was
    // closed properly, and stumbles later over what has rotted since.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn connect<B: StorageBackend>(medium: B, access: Access) -> Result<Database, Trouble> {
    let len = medium.len().map_err(of_system)?;
    // redb would begin a new database here.
    if len == 0 {
        return Err(of_system(io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
    }
    let database = match access {
        Access::Write => builder().create_with_backend(medium)?,
        Access::Read => {
            let mut bytes = vec![0; usize::try_from(len).map_err(|e| of_system(io::Error::other(e)))?];
            medium.read(0, &mut bytes).map_err(of_system)?;
            medium.close().map_err(of_system)?;
            let copy = InMemoryBackend::new();
            copy.set_len(len).and_then(|()| copy.write(0, &bytes)).map_err(of_system)?;
            builder().create_with_backend(copy)?
        }
    };
    tables::check_format(&database)?;
    Ok(database)
}

/// Makes a store where there is nothing at all, with something in it.
fn create<T>(
    medium: impl StorageBackend,
    fill: impl FnOnce(&Database) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    if medium.len().map_err(of_system)? > 0 {
        return Err(of_system(io::ErrorKind::AlreadyExists.into()));
    }
    let database = builder().create_with_backend(medium)?;
    tables::create(&database)?;
    let filled = fill(&database)?;
    database.close()?;
    Ok(filled)
}

/// Makes it aside, whole and synced.
fn create_aside<T>(
    path: &Path,
    fill: impl FnOnce(&Database) -> Result<T, Trouble>,
) -> Result<(PathBuf, T), Trouble> {
    let folder = backup::folder(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(of_system)?;
    let aside = backup::beside(path, ".new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(of_system(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&aside).map_err(of_system)?;
    let filled = guard(|| create(FileBackend::new(file)?, fill))?;
    Ok((aside, filled))
}

/// Gives it its name with a link: a link, unlike a rename, never takes the place of a file that another process
/// has made meanwhile.
fn create_file(path: &Path) -> Result<(), Trouble> {
    let (aside, ()) = create_aside(path, |_| Ok(()))?;
    let named = match fs::hard_link(&aside, path) {
        Ok(()) => fs::remove_file(&aside),
        // Some file systems have no links (FAT, shares of Windows): there, two first starts at the same moment
        // are not told apart.
        Err(error) if NO_LINKS.contains(&error.kind()) && !path.exists() => fs::rename(&aside, path),
        Err(error) => fs::remove_file(&aside).and(Err(error)),
    };
    named.and_then(|()| File::open(backup::folder(path))?.sync_all()).map_err(of_system)
}

/// Gives it the name of a file that is lost, which keeps another: the renaming takes its place at once.
fn begin_file(path: &Path, contents: &Contents, entry: Entry) -> Result<u64, Trouble> {
    let (aside, revision) = create_aside(path, |database| tables::replace(database, contents, entry))?;
    let damaged = backup::beside(path, &format!(".damaged-{}", Time::now().as_millisecond()));
    let kept = match fs::hard_link(path, &damaged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if NO_LINKS.contains(&error.kind()) => fs::rename(path, &damaged),
        kept => kept,
    };
    let named = kept.and_then(|()| fs::rename(&aside, path));
    named.and_then(|()| File::open(backup::folder(path))?.sync_all()).map_err(of_system)?;
    Ok(revision)
}

/// What a file system says that has no links.
const NO_LINKS: [io::ErrorKind; 2] = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];

/// Makes trouble of a panic.
fn guard<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let words = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("redb panicked").into(),
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Trouble::Panic(words(panic))))
}

/// A store cannot be opened. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is a backup, so there was a store: an empty one would forget every drain.
    #[error(
        "{}: it is not there, but its backup {} is: bring the file back, import the backup with `rhumb state \
         import`, or remove the backup to begin with an empty store",
        path.display(), backup.display()
    )]
    Missing {
        /// The file that is missing.
        path: PathBuf,
        /// The copy that is not.
        backup: PathBuf,
    },
    /// It cannot be read now; it may be later.
    #[error("{0}")]
    Unavailable(String),
    /// It is damaged, or no store.
    #[error("{0}")]
    Corrupt(String),
    /// Another version of rhumb wrote it.
    #[error("{0}")]
    Format(String),
}
