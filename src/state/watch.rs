//! Notices changed files.
//!
//! Folders are watched, not files: `geoipupdate` and most editors put a new file in the old one's place,
//! and a watch on the old one would see nothing more. For the same reason every folder on the way to a file
//! is watched, and the ways of links too: a whole folder may be put in another's place, and mounts of
//! Kubernetes change a file by turning one link.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Links followed on one way; Linux gives up at as many.
const LINKS_MAX: u32 = 40;

/// Calls back when a watched file may have changed.
pub struct Watcher {
    watcher: RecommendedWatcher,
    watched: Arc<Mutex<Watched>>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Watched {
    /// Files, and every folder and link on the way to them.
    names: BTreeSet<PathBuf>,
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
                watched.names.contains(path) || path.parent().is_some_and(|p| watched.folders.contains(p))
            };
            // Reading a file is no change; an error, or more events than the system keeps, may have hidden
            // one.
            let changes = match event {
                Ok(event) if event.need_rescan() => true,
                Ok(event) => !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(ours),
                Err(_) => true,
            };
            if changes {
                changed();
            }
        })?;
        Ok(Watcher { watcher, watched, folders: BTreeSet::new() })
    }

    /// Watches these files, and every file of these folders, instead of what was watched before. What does
    /// not exist yet is noticed when it comes. Called before files are read, it misses no later change.
    ///
    /// Returns the folders that hold what was named and that the system refuses to watch, with its reason.
    pub fn watch(&mut self, files: &[PathBuf], folders: &[PathBuf]) -> Vec<(PathBuf, notify::Error)> {
        let mut ways = Ways::default();
        let whole: BTreeSet<PathBuf> = folders.iter().filter_map(|folder| ways.follow(folder)).collect();
        let ends: Vec<PathBuf> = files.iter().filter_map(|file| ways.follow(file)).collect();
        let parents = ends.iter().filter_map(|file| file.parent().map(Path::to_path_buf));
        let holding: BTreeSet<PathBuf> = parents.chain(whole.iter().cloned()).collect();
        let needed: BTreeSet<PathBuf> = ways.folders.into_iter().chain(whole.iter().cloned()).collect();
        // First, or what comes between the watch and this would pass for somebody else's.
        *self.watched.lock().expect("nobody panics while holding it") =
            Watched { names: ways.names, folders: whole };
        for gone in self.folders.difference(&needed) {
            // A folder that was removed is no longer watched anyway.
            let _ = self.watcher.unwatch(gone);
        }
        let mut refused = Vec::new();
        for folder in &needed {
            // Also where there is a watch: it may be on a folder that has been moved away since.
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive)
                && holding.contains(folder)
            {
                refused.push((folder.clone(), error));
            }
        }
        self.folders = needed;
        refused
    }
}

/// The ways to files, as the system goes them.
#[derive(Default)]
struct Ways {
    /// What a change of may lead elsewhere: files, folders and links, in the real paths of their folders.
    names: BTreeSet<PathBuf>,
    /// The folders these stand in.
    folders: BTreeSet<PathBuf>,
    /// Where ways end, none where something is missing.
    ends: HashMap<PathBuf, Option<PathBuf>>,
}

impl Ways {
    /// Goes the way to a path and keeps what is on it. Returns where it ends, if it does.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        self.follow_links(&std::path::absolute(path).ok()?, LINKS_MAX)
    }

    fn follow_links(&mut self, path: &Path, links: u32) -> Option<PathBuf> {
        if let Some(end) = self.ends.get(path) {
            return end.clone();
        }
        let end = match (path.parent(), path.file_name()) {
            (None, _) => Some(path.to_path_buf()),
            (Some(folder), Some(name)) => {
                self.follow_links(folder, links).and_then(|folder| self.step(folder, name, links))
            }
            // It ends with `..`.
            (Some(folder), None) => {
                let folder = self.follow_links(folder, links);
                folder.map(|folder| folder.parent().unwrap_or(&folder).to_path_buf())
            }
        };
        self.ends.insert(path.to_path_buf(), end.clone());
        end
    }

    /// One name in a real folder.
    fn step(&mut self, folder: PathBuf, name: &OsStr, links: u32) -> Option<PathBuf> {
        let path = folder.join(name);
        self.names.insert(path.clone());
        self.folders.insert(folder.clone());
        if !path.symlink_metadata().ok()?.is_symlink() {
            return Some(path);
        }
        let target = path.read_link().ok()?;
        self.follow_links(&folder.join(target), links.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names on the way to a path that stand in the folder, and where the way ends.
    fn way(folder: &Path, path: &str) -> (Vec<String>, Option<PathBuf>) {
        let mut ways = Ways::default();
        let end = ways.follow(&folder.join(path));
        let inside = |name: &PathBuf| Some(name.strip_prefix(folder).ok()?.to_str()?.to_string());
        let names = ways.names.iter().filter_map(inside).filter(|name| !name.is_empty());
        (names.collect(), end.and_then(|end| Some(end.strip_prefix(folder).ok()?.to_path_buf())))
    }

    #[test]
    fn every_name_on_the_way_counts() {
        let folder = std::env::temp_dir().join(format!("rhumb-ways-{}", std::process::id()));
        fs::create_dir_all(folder.join("data/1")).unwrap();
        let folder = folder.canonicalize().unwrap();
        fs::write(folder.join("data/1/zone"), "").unwrap();
        symlink("1", folder.join("data/..data")).unwrap();
        symlink("..data/zone", folder.join("data/zone")).unwrap();
        symlink(folder.join("data"), folder.join("zones")).unwrap();
        symlink("round", folder.join("round")).unwrap();

        let (names, end) = way(&folder, "zones/zone");
        assert_eq!(names, ["data", "data/..data", "data/1", "data/1/zone", "data/zone", "zones"]);
        assert_eq!(end, Some("data/1/zone".into()));
        assert_eq!(way(&folder, "zones/../data/1").1, Some("data/1".into()));
        // What is missing is noticed when it comes.
        assert_eq!(way(&folder, "data/2/zone"), (vec!["data".into(), "data/2".into()], None));
        assert_eq!(way(&folder, "round"), (vec!["round".into()], None));
        fs::remove_dir_all(folder).unwrap();
    }
}
