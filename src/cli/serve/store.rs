//! Opens the store, or what is left of it.

use tracing::{error, warn};

use crate::config::StateConfig;
use crate::state::keeper::{BeginAnew, Kept};
use crate::state::store::backup::read_backup;
use crate::state::store::embedded::{Embedded, OpenError};
use crate::state::store::{Contents, Store, StoreError};

/// Opens the store. One that cannot be used is told, and its newest readable copy is served instead; an empty
/// one never begins by itself (DESIGN, decision 12).
pub fn open(config: &StateConfig) -> (Kept, Contents) {
    let is_lost = |error: &OpenError| matches!(error, OpenError::Missing { .. } | OpenError::Corrupt(_));
    let opened = Embedded::open(&config.file).map_err(|error| (error.to_string(), is_lost(&error)));
    let read = opened.and_then(|mut store| match store.read() {
        Ok(contents) => Ok((store, contents)),
        Err(error) => Err((error.to_string(), matches!(error, StoreError::Corrupt(_)))),
    });
    match read {
        Ok((store, contents)) => (Kept::Store(Box::new(store)), contents),
        Err((why, is_lost)) => unusable(config, why, is_lost),
    }
}

/// What is served instead. Only a store that is lost is replaced without asking: one that another process has, that
/// the disk does not give, or that another version wrote, is whole somewhere.
fn unusable(config: &StateConfig, why: String, is_lost: bool) -> (Kept, Contents) {
    error!("{why}");
    let (contents, copy_made_at) = match read_backup(&config.file) {
        Ok((contents, made_at)) => {
            let revision = contents.model.revision;
            warn!(
                "serving the copy of {made_at:.0} instead (revision {revision}), until `rhumb state accept`"
            );
            (contents, Some(made_at))
        }
        Err(error) => {
            warn!(
                "there is no copy to serve instead, so no drain or split is in force until `rhumb state \
                 accept` or an import: {error}"
            );
            (Contents::default(), None)
        }
    };
    let file = config.file.clone();
    let begin_anew: BeginAnew = Box::new(move |contents, entry| {
        let (store, revision) = Embedded::begin_anew(&file, contents, entry)?;
        Ok((Box::new(store), revision))
    });
    let accept_after = config.accept_backup_after.filter(|_| is_lost);
    (Kept::Damaged { why, copy_made_at, begin_anew, accept_after }, contents)
}
