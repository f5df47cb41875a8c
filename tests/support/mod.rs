//! What the tests of the whole server share: a folder of files, a state loaded from it as the server loads
//! it, queries made by hickory-proto and responses read by it.

#![allow(dead_code, reason = "each test crate takes what it needs")]

pub mod breakable;
pub mod control;
pub mod disk;
pub mod entries;
pub mod fake;
pub mod http;
pub mod process;
pub mod query;
pub mod response;
pub mod scenario;
pub mod transcript;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb::config::Config;
use rhumb::files::Problem;
use rhumb::state::{Loaded, load};

/// The project's own folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of its own for one test, gone when the test is done.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder; no two are the same.
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("folder-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A copy of the example as it comes with the project.
    pub fn example() -> Folder {
        let folder = Folder::new();
        for part in ["rhumb.toml", "zones", "filter-chains", "geoip"] {
            copy(&project().join(part), &folder.path().join(part));
        }
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, and the folders above the file.
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file in it.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Loads what is in it, as `rhumb serve` does.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let config = Config::read(&self.0.join("rhumb.toml"))?;
        load(&config, 1, &|_, _| {})
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies a file, or a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
