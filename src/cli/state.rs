//! `rhumb state export`, `import`, `check` and `accept`: everything that is wanted beside the files, as JSON.
//!
//! ```text
//! a server runs   -> over its API, while it serves
//! none does       -> on the store's own file, which then nobody holds
//! ```

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::audit::{RollbackArgs, rollback};
use super::client::{Failure, Request, Said, Server};
use super::connect::ServerArgs;
use super::outcome::{Answer, Outcome, Wrong, ask, tell};
use super::read_config;
use super::show::{bullets, count, json_text, print_err, print_out};
use super::written::{done, is_confirmed, words};
use crate::api::bodies::{Changed, Status};
use crate::state::keeper::Note;
use crate::state::model::{Actor, Time};
use crate::state::store::backup::copies;
use crate::state::store::embedded::{Embedded, OpenError};
use crate::state::store::export::{Export, check};
use crate::state::store::{Store, revision_after_loss};

/// What to do with the state, and where.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    to: ServerArgs,
}

/// What to do with the state.
#[derive(clap::Subcommand)]
enum Command {
    /// Write everything as JSON: drains, splits, migrations, tokens (their hashes), the newest values.
    ///
    /// Of the server, if one runs, and else of the store's file; it says which.
    Export {
        /// The file to write, readable for you alone; left out, it goes to standard output.
        file: Option<PathBuf>,
    },
    /// Replace everything by an export. The log stays, and the revision never goes back.
    Import {
        /// The export.
        file: PathBuf,
        /// Say what would happen, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        /// Why, for the audit log.
        #[arg(long, short, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Say what is wrong with the store, or with an export.
    ///
    /// Without a file it is the server's store, if one runs, and else the store's own file: its revision, its
    /// rows, and what is damaged. Exit status 1 if something is wrong.
    Check {
        /// An export, which is looked at without a server and without importing it.
        file: Option<PathBuf>,
    },
    /// Take what is served for right, after the store was found damaged and its copy is served.
    ///
    /// The damaged file is put aside, and a new one begins with what is served now.
    Accept {
        /// Why, for the audit log.
        #[arg(long, short, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Put drains, splits, monitors and policies back to what they were at a revision; the same as `rhumb rollback`.
    ///
    /// Migrations that are open are held. It is a change like every other, and can itself be rolled back.
    Rollback(RollbackArgs),
}

/// Does it.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::Export { file } => export(config, &args.to, file.as_deref()),
        Command::Import { file, dry_run, yes, reason } => {
            import(config, &args.to, file, (*dry_run, *yes), reason.as_deref())
        }
        Command::Check { file: None } => check_store(config, &args.to),
        Command::Check { file: Some(file) } => {
            let export = read_export(file, "imported")?;
            let rows = count(export.rows.len(), "row");
            outln!("{}: {rows} at revision {}, nothing is wrong", file.display(), export.revision);
            Ok(Outcome::Done)
        }
        Command::Rollback(args) => rollback(config, args),
        Command::Accept { reason } => {
            let servers = args.to.servers(config)?;
            let request = Request::post(&["state", "accept"], &json!({})).with("reason", reason.as_ref());
            let answers = ask(&servers, |server| server.call::<Changed>(&request));
            Ok(tell(&answers, args.to.json, done).print())
        }
    }
}

fn export(config: &Path, to: &ServerArgs, file: Option<&Path>) -> anyhow::Result<Outcome> {
    let [server] = &to.servers(config)?[..] else {
        bail!(Wrong("an export is of one server; name one alone with --server".into()));
    };
    let (text, from) = match server.call::<Value>(&Request::get(&["state"])) {
        Ok(said) => {
            (serde_json::to_string_pretty(&said.json)? + "\n", format!("the server at {}", server.name))
        }
        Err(Failure::Unreachable(_)) if to.is_local() => {
            let path = read_config(config)?.state.file;
            // Opening one would make one.
            if !path.try_exists()? {
                bail!(
                    "no server runs, and there is no store at {}: there is nothing to export",
                    path.display()
                );
            }
            let mut store = Embedded::open(&path).map_err(|error| {
                anyhow::anyhow!("{error}\nIts copies are exports already: {}", list(&copies(&path)))
            })?;
            let export = Export::new(&store.read()?, Time::now());
            (export.write(), format!("the store's file {}, for no server runs", path.display()))
        }
        Err(failure) => bail!(failure),
    };
    match file {
        None => print_out(&json_text(&text)),
        Some(file) => {
            // It holds the hashes of tokens, as the store does.
            let mut options = OpenOptions::new();
            let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
            let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
            written.with_context(|| format!("{}: cannot be written", file.display()))?;
        }
    }
    errln!("Exported from {from}.");
    Ok(Outcome::Done)
}

/// How a store was found.
struct Checked {
    revision: u64,
    rows: usize,
    wrong: Vec<String>,
}

impl Checked {
    fn new(export: &Export) -> Checked {
        Checked { revision: export.revision, rows: export.rows.len(), wrong: check(export) }
    }

    fn words(&self) -> String {
        let what = format!("{} at revision {}", count(self.rows, "row"), self.revision);
        match self.wrong.is_empty() {
            true => format!("The store: {what}, nothing is wrong\n"),
            false => format!("The store: {what}; wrong is:\n{}", bullets(&self.wrong)),
        }
    }

    fn json(&self) -> Value {
        json!({ "revision": self.revision, "rows": self.rows, "wrong": self.wrong })
    }
}

/// Checks the store of every server, or its file where none runs.
fn check_store(config: &Path, to: &ServerArgs) -> anyhow::Result<Outcome> {
    let servers = to.servers(config)?;
    let mut answers = ask(&servers, check_server);
    if to.is_local() && matches!(answers[0].said, Err(Failure::Unreachable(_))) {
        let path = read_config(config)?.state.file;
        if !to.json {
            outln!("No server runs; this is the store's file {}.", path.display());
        }
        let checked = check_file(&path)?;
        answers[0].said = Ok(Said { json: checked.json(), body: checked, at: Time::now() });
    }
    let is_wrong =
        |answer: &Answer<Said<Checked>>| answer.said.as_ref().is_ok_and(|said| !said.body.wrong.is_empty());
    let outcome = tell(&answers, to.json, |said| said.body.words()).print();
    let is_found = outcome == Outcome::Done && answers.iter().any(is_wrong);
    Ok(if is_found { Outcome::Failed } else { outcome })
}

fn check_server(server: &Server) -> Result<Said<Checked>, Failure> {
    let store = server.call::<Status>(&Request::get(&["status"]))?.body.store;
    let said = server.call::<Value>(&Request::get(&["state"]))?;
    let export = Export::parse(&said.json.to_string());
    let export = export.map_err(|why| Failure::Strange(format!("{}: {why}", server.name)))?;
    let mut checked = Checked::new(&export);
    if store.state != "ok" {
        checked.wrong.insert(0, format!("it is {}: {}", store.state, store.why));
    }
    Ok(Said { json: checked.json(), body: checked, at: said.at })
}

fn check_file(path: &Path) -> anyhow::Result<Checked> {
    // Opening one would make one.
    if !path.try_exists()? && !copies(path).iter().any(|copy| copy.exists()) {
        bail!("there is no store at {}: there is nothing to check", path.display());
    }
    let contents = Embedded::open(path)?.read()?;
    Ok(Checked::new(&Export::new(&contents, Time::now())))
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn import(
    config: &Path,
    to: &ServerArgs,
    file: &Path,
    (dry_run, yes): (bool, bool),
    reason: Option<&str>,
) -> anyhow::Result<Outcome> {
    let export = read_export(file, "imported")?;
    let servers = to.servers(config)?;
    let request = |dry_run: bool| {
        let request = Request::put(&["state"], &export).with("reason", reason);
        request.with("dry_run", dry_run.then_some(true))
    };
    if !yes && !dry_run && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        let rows = count(export.rows.len(), "row");
        errln!("{}: {rows} at revision {}, made {:.0}", file.display(), export.revision, export.made_at);
        errln!("They replace every drain, split, migration and token there is.");
        // Where no server runs, nobody knows more than that.
        let answers = ask(&servers, |server: &Server| server.call::<Changed>(&request(true)));
        answers
            .iter()
            .filter_map(|answer| answer.said.as_ref().ok())
            .for_each(|said| print_err(&words(said)));
        if !is_confirmed("Do it?")? {
            errln!("rhumb: nothing was changed");
            return Ok(Outcome::Failed);
        }
    }
    let answers = ask(&servers, |server: &Server| server.call::<Changed>(&request(dry_run)));
    let is_alone = to.is_local() && matches!(answers[0].said, Err(Failure::Unreachable(_)));
    if is_alone {
        let path = read_config(config)?.state.file;
        if dry_run {
            let rows = count(export.rows.len(), "row");
            outln!("This would happen: {rows} take the place of all in the store's file {}", path.display());
            return Ok(Outcome::Done);
        }
        import_into(&path, &export, reason.unwrap_or_default())?;
        errln!("Imported into the store's file {}, for no server runs.", path.display());
        return Ok(Outcome::Done);
    }
    Ok(tell(&answers, to.json, words).print())
}

/// Puts an export into a store's file; where a store was lost, a new one begins with it.
fn import_into(path: &Path, export: &Export, reason: &str) -> anyhow::Result<()> {
    let (now, mut contents) = (Time::now(), export.contents());
    let note = Note {
        actor: Actor { name: "local".into(), from: "the store's file".into() },
        action: "imported".into(),
        object: "everything that is wanted".into(),
        reason: reason.into(),
    };
    let opened = Embedded::open(path);
    if let Err(OpenError::Corrupt(why)) = &opened {
        errln!("{why}\nThe damaged file is put aside.");
    }
    match opened {
        Err(OpenError::Missing { .. } | OpenError::Corrupt(_)) => {
            contents.model.revision = revision_after_loss(contents.model.revision, now);
            Embedded::begin_anew(path, &contents, note.entry(now))?;
        }
        opened => drop(opened?.replace(&contents, note.entry(now))?),
    }
    Ok(())
}

/// Reads an export, or prints what is wrong with it, so that nothing can be done with it.
pub fn read_export(file: &Path, done: &str) -> anyhow::Result<Export> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let export = Export::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    let wrong = check(&export);
    for why in &wrong {
        errln!("{}: {why}", file.display());
    }
    if wrong.is_empty() { Ok(export) } else { bail!("{} cannot be {done}", file.display()) }
}
