//! Notices changed files.
//!
//! Folders are watched, not files: `geoipupdate` and most editors put a new file in the old one's place,
//! and a watch on the old one would see nothing more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Calls back when a watched file may have changed.
pub struct Watcher {
    watcher: RecommendedWatcher,
    watched: Arc<Mutex<Watched>>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Watched {
    files: BTreeSet<PathBuf>,
    /// Every file in these counts.
    folders: BTreeSet<PathBuf>,
}

impl Watcher {
    /// A watcher that watches nothing yet.
    ///
    /// # Errors
    /// The system gives no watch.
    pub fn new(changed: impl Fn() + Send + 'static) -> Result<Watcher, notify::Error> {
        let watched = Arc::new(Mutex::new(Watched::default()));
        let is_ours = watched.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let watched = is_ours.lock().expect("nobody panics while holding it");
            let ours = |path: &PathBuf| {
                watched.files.contains(path) || path.parent().is_some_and(|p| watched.folders.contains(p))
            };
            // Reading a file is no change; an error may have hidden one.
            let changes = match event {
                Ok(event) => !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(ours),
                Err(_) => true,
            };
            if changes {
                changed();
            }
        })?;
        Ok(Watcher { watcher, watched, folders: BTreeSet::new() })
    }

    /// Watches these files, and every file of these folders, instead of what was watched before.
    /// What cannot be watched is left out: it is found again at the next reload.
    pub fn watch(&mut self, files: &[PathBuf], folders: &[PathBuf]) {
        let files: BTreeSet<PathBuf> = files.iter().filter_map(|file| in_real_folder(file)).collect();
        let whole: BTreeSet<PathBuf> =
            folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let parents = files.iter().filter_map(|file| file.parent().map(Path::to_path_buf));
        let needed: BTreeSet<PathBuf> = parents.chain(whole.iter().cloned()).collect();
        for gone in self.folders.difference(&needed) {
            // A folder that was removed is no longer watched anyway.
            let _ = self.watcher.unwatch(gone);
        }
        let watcher = &mut self.watcher;
        let known = &self.folders;
        let kept = needed.into_iter().filter(|folder| {
            known.contains(folder) || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        });
        let kept = kept.collect();
        self.folders = kept;
        *self.watched.lock().expect("nobody panics while holding it") = Watched { files, folders: whole };
    }
}

/// The file's own name in its folder's real path, as the system reports it. The file itself may be a
/// link, and what it points at may be missing.
fn in_real_folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(file.file_name()?))
}
