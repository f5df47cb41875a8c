//! `rhumb token create`, `list` and `revoke`: who may do what over the API.

use std::path::Path;

use super::client::{Request, Said, Server};
use super::connect::ServerArgs;
use super::drain::check_duration;
use super::outcome::{Outcome, Told, ask, tell};
use super::show::{Table, Tone, moment, plain};
use super::written::{WriteArgs, write_and_tell};
use crate::api::bodies::{MadeToken, NewToken, TokenBody};
use crate::state::model::Time;

/// What to do with tokens, and where.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    to: ServerArgs,
}

/// What to do with tokens.
#[derive(clap::Subcommand)]
enum Command {
    /// Make a token. Its secret goes to standard output alone, and nobody can show it again.
    ///
    /// With several servers each makes a secret of its own, and the lines `SERVER SECRET` are a file for
    /// --token-file.
    Create {
        /// What it is called: in the audit log, and as the owner of its drains.
        name: String,
        /// What its bearer may do. `read` sees; `feed` sees and gives values; `drain` sees and drains;
        /// `operate` all of that, with splits, migrations, monitors, policies, rollback and others' drains;
        /// `admin` everything, tokens included.
        #[arg(long, value_parser = ["read", "feed", "drain", "operate", "admin"])]
        role: String,
        /// Confine it to this pool.
        #[arg(long, value_name = "POOL")]
        pool: Option<String>,
        /// How long it is good: 90d, 12h.
        #[arg(long, value_name = "TIME", value_parser = check_duration)]
        expires: Option<String>,
    },
    /// List the tokens, without their secrets.
    List,
    /// Make a token worthless, from the next request on.
    Revoke {
        /// What it is called.
        name: String,
        #[command(flatten)]
        write: WriteArgs,
    },
}

/// Does it.
pub fn run(config: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    match &args.command {
        Command::Create { name, role, pool, expires } => {
            let body = NewToken {
                name: name.clone(),
                role: role.clone(),
                pool: pool.clone(),
                expires_in: expires.clone(),
                dry_run: false,
                expected_revision: None,
            };
            let request = Request::post(&["tokens"], &body);
            let answers = ask(&servers, |server| server.call::<MadeToken>(&request));
            let told = tell(&answers, args.to.json, |_| String::new());
            if args.to.json {
                return Ok(told.print());
            }
            let (mut out, mut err) = (String::new(), String::new());
            for answer in &answers {
                let Ok(Said { body: made, .. }) = &answer.said else { continue };
                let server = if servers.len() > 1 { format!("{} ", answer.server) } else { String::new() };
                out += &format!("{server}{}\n", made.token);
                err += &format!("{} made at revision {} of {}.\n", made.name, made.revision, answer.server);
            }
            if !out.is_empty() {
                err += "Keep the secret in a file that only its user can read, and name that with --token-file.\n";
            }
            Ok(Told { out, err: err + &told.err, ..told }.print())
        }
        Command::List => {
            let request = Request::get(&["tokens"]);
            let answers = ask(&servers, |server| server.list::<TokenBody>(&request, usize::MAX));
            Ok(tell(&answers, args.to.json, |said| words(&said.body, said.at)).print())
        }
        Command::Revoke { name, write } => {
            let request = |_: &Server, dry_run: bool| {
                Ok(Request::delete(&["tokens", name]).with("dry_run", dry_run.then_some(true)))
            };
            write_and_tell(&servers, args.to.json, write, request)
        }
    }
}

fn words(tokens: &[TokenBody], now: Time) -> String {
    if tokens.is_empty() {
        return "There are no tokens: only the socket beside the configuration lets anybody in.\n".into();
    }
    let mut table = Table::new(&["name", "role", "pool", "~made", "~good until"]);
    for token in tokens {
        let until = match token.expires_at {
            None => plain("it is revoked"),
            Some(until) if until <= now => (format!("{} (no longer good)", moment(until, now)), Tone::Bad),
            Some(until) => plain(moment(until, now)),
        };
        table.row([
            plain(&token.name),
            plain(&token.role),
            plain(token.pool.as_deref().unwrap_or("every pool")),
            plain(moment(token.created_at, now)),
            until,
        ]);
    }
    table.to_string()
}
