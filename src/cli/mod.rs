//! The commands, one file each.
//!
//! ```text
//! serve, check, explain, geoip                  files -> this process
//! everything else   arguments -> connect (which servers) -> client (over the API) -> outcome -> show
//!                   a write goes by way of written: what would happen, a yes, what has happened
//! ```
//!
//! Deliberately absent: a state of its own, and retries. What is true is what the servers say.

/// `println!` panics where the pipe is closed; this does not.
macro_rules! outln {
    ($($words:tt)*) => { $crate::cli::show::print_out(&(format!($($words)*) + "\n")) };
}

/// `eprintln!`, in the same way.
macro_rules! errln {
    ($($words:tt)*) => { $crate::cli::show::print_err(&(format!($($words)*) + "\n")) };
}

mod audit;
mod check;
mod client;
mod connect;
mod diff;
mod drain;
mod drains;
mod explain;
mod feed;
mod geoip;
mod health;
mod inventory;
mod man;
mod migrate;
mod node;
mod outcome;
mod places;
mod plan;
mod policy;
mod progress;
mod serve;
mod show;
mod split;
mod state;
mod status;
mod tables;
mod test;
mod token;
mod verdict;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use connect::ServerArgs;
use outcome::Outcome;
use progress::Progress;

use crate::config::Config;
use crate::files::Problem;
use crate::state::{Loaded, load, load_as_read};

/// Authoritative GeoDNS server with failover filter chains.
///
/// rhumb answers DNS queries with the load balancer addresses of the right PoP: it reads where the client
/// is (EDNS Client Subnet, else the resolver's address), runs the record's filter chain over the record's
/// answers, and says honestly for which networks the answer holds.
///
/// Start with `rhumb serve` in a folder with rhumb.toml, then
/// `dig @127.0.0.1 -p 5300 wss-primary.example.com A +subnet=81.2.69.0/24`.
///
/// At night: `rhumb status`, `rhumb pops`, `rhumb drain POP --reason "..."`, `rhumb undrain POP`.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_STATUS)]
struct Cli {
    /// The configuration; zones, chains and geo data are found from it.
    #[arg(long, global = true, default_value = "rhumb.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve DNS until told to stop.
    ///
    /// Changed files (configuration, zones, chains, geo data) are noticed, compiled aside and swapped; what
    /// does not compile is logged and the old state keeps serving. Addresses and threads change with a
    /// restart. SIGHUP reloads at once, SIGUSR1 logs the counters, SIGTERM and SIGINT stop.
    Serve,
    /// Read everything and say what is wrong, without serving.
    ///
    /// Exit status 0 with a summary, or 1 with every error: file, line, object, field, and what to write
    /// instead. Places that only a start needs are looked at, too: files of TLS, the socket's and the store's folder.
    Check,
    /// Say how a query is answered, and why.
    ///
    /// Shows where the client is and which source says so, what each filter kept, dropped or moved and why,
    /// how wide the answer holds and who narrowed it, and the answer itself. Reads the files; with --live it
    /// asks a server, which knows the drains, splits, feeds and verdicts of this moment.
    Explain(explain::Args),
    /// Say what a change of the files or of the live state does: which clients go to another PoP.
    ///
    /// Compares two configurations and prints what is written otherwise about PoPs, pools and steered
    /// records; then, for records that are answered alike, the share of the clients that goes elsewhere, from
    /// where to where, what the PoPs gain, and the countries. A client is a network of the address space, as
    /// far as the geo data of NEW places it: every IPv4 address is counted where the chain is the same for
    /// all of a network, and a sample stands in where a split or a random step decides. IPv6 is a sample of
    /// networks. Data of zones is not compared.
    ///
    /// Exit status 0 and no word when nothing differs, 1 when something does, 2 on trouble. For a change
    /// under git: `git worktree add ../before && rhumb diff ../before .`
    /// For what has become of the clients since an export: `rhumb state export now.json && rhumb diff . .
    /// --old-state then.json --new-state now.json`
    Diff(diff::Args),
    /// Run the tests of the routing that are kept beside the filter chains.
    ///
    /// A test says who should get what, also when something is drained, split, down or loaded; the files
    /// `*.test.toml` are described in docs/configuration.md. One line for each test, and for each that fails
    /// what was expected, what is so, and the command that shows why. It reads the files; it does not ask a
    /// running server.
    ///
    /// Exit status 0 when all pass, 1 when one fails, 2 on trouble.
    Test(test::Args),
    /// Look addresses up in the geo data, or build a small database.
    #[command(subcommand)]
    Geoip(geoip::Command),
    /// Show how a server is: ready or not, alarms, store, files, what is in force.
    ///
    /// With several servers, how they differ stands first.
    Status(status::Args),
    /// Show the sites: how each stands in each pool, and its share of the answers.
    Pops {
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Show the pools: every answer, whether it is being answered, and why not.
    Pools {
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Show the steered records, or one with all its values and where they come from.
    Records(inventory::RecordsArgs),
    /// Show what was answered in the last 1 and 10 minutes.
    Share(inventory::ShareArgs),
    /// Take a site, pool, stack or answer out, for all clients or for a part of them.
    ///
    /// On a terminal it shows what would happen and asks. Then it shows what is left: the share of the
    /// answers, how long resolvers may still have the old ones, and the open connections, which stay.
    /// The same drain asked for twice is one drain, so repeating is safe.
    ///
    /// Example: rhumb drain eu-west-1 --pool wss --percent 30 --for 2h --reason "envoy-wss failing"
    Drain(drain::DrainArgs),
    /// Bring back what was drained, by the steps of its return or --now.
    Undrain(drain::UndrainArgs),
    /// Show the drains, or what was drained before.
    ///
    /// With several servers, how they differ stands first.
    Drains(drains::Args),
    /// Share a site's clients between its stacks.
    ///
    /// Example: rhumb split wss eu-west-1 haproxy=75 envoy=25
    Split(split::SplitArgs),
    /// Show a pool's splits.
    Splits(split::SplitsArgs),
    /// Move a pool's clients from one stack to another, PoP by PoP, in steps, and back.
    Migrate(migrate::Args),
    /// Show what the monitors say: up or down, and the last error; set one, or reset it.
    ///
    /// A monitor that is set is probed at once, and replaces the files' of its name until it is reset.
    ///
    /// Example: rhumb health show wss-tcp > m.toml, edit it, rhumb health set wss-tcp m.toml
    Health(health::HealthArgs),
    /// Show how a pool is operated, set it otherwise, or stop what health does to it.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Give values of a feed: load, connections, up or down.
    #[command(subcommand)]
    Feed(feed::FeedCommand),
    /// Show the feeds and their values.
    Feeds {
        #[command(flatten)]
        to: ServerArgs,
    },
    /// Show who changed what, when and why.
    Audit(audit::AuditArgs),
    /// Print changes as they happen, until it is interrupted.
    Events(audit::EventsArgs),
    /// Put drains, splits, monitors and policies back to what they were at a revision.
    ///
    /// Migrations that are open are held. It is a change like every other, and can itself be rolled back.
    Rollback(audit::RollbackArgs),
    /// Make, list and revoke the tokens of the API.
    Token(token::Args),
    /// Export, import and check everything that is wanted beside the files.
    State(state::Args),
    /// Say that the machine's clock is right, after it jumped.
    #[command(subcommand)]
    Clock(node::ClockCommand),
    /// Have the server read its files anew.
    Reload(node::ReloadArgs),
    /// Set the level of the server's log, until its next start.
    LogLevel(node::LogLevelArgs),
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of every command.
    Man(man::Args),
}

/// At the end of the help.
const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 refused or failed; 2 the command line is wrong; 3 no server is reachable; \
4 some servers did it and some did not.";

/// Runs the command line; the exit status is what the end of its help says.
pub fn run() -> ExitCode {
    let matches = command().get_matches();
    refuse_servers(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let config = &cli.config;
    let done = match &cli.command {
        Command::Serve => serve::run(config).map(|()| Outcome::Done),
        Command::Check => return check::run(config),
        Command::Diff(args) => return diff::run(args),
        Command::Test(args) => return test::run(config, args),
        Command::Explain(args) => explain::run(config, args),
        Command::Geoip(command) => geoip::run(config, command).map(|()| Outcome::Done),
        Command::Status(args) => status::run(config, args),
        Command::Pops { to } => inventory::pops(config, to),
        Command::Pools { to } => inventory::pools(config, to),
        Command::Records(args) => inventory::records(config, args),
        Command::Share(args) => inventory::share(config, args),
        Command::Drain(args) => drain::drain(config, args),
        Command::Undrain(args) => drain::undrain(config, args),
        Command::Drains(args) => drains::run(config, args),
        Command::Split(args) => split::split(config, args),
        Command::Splits(args) => split::splits(config, args),
        Command::Migrate(args) => migrate::run(config, args),
        Command::Health(args) => health::health(config, args),
        Command::Policy(command) => policy::policy(config, command),
        Command::Feed(command) => feed::feed(config, command),
        Command::Feeds { to } => feed::feeds(config, to),
        Command::Audit(args) => audit::audit(config, args),
        Command::Events(args) => audit::events(config, args),
        Command::Rollback(args) => audit::rollback(config, args),
        Command::Token(args) => token::run(config, args),
        Command::State(args) => state::run(config, args),
        Command::Clock(command) => node::clock(config, command),
        Command::Reload(args) => node::reload(config, args),
        Command::LogLevel(args) => node::log_level(config, args),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command(), "rhumb", &mut text);
            show::print_out(&String::from_utf8_lossy(&text));
            Ok(Outcome::Done)
        }
        Command::Man(args) => man::run(args),
    };
    let outcome = done.unwrap_or_else(|error| {
        errln!("rhumb: {error:#}");
        Outcome::of_error(&error)
    });
    outcome.into()
}

/// Commands that talk to no server.
const LOCAL: [&str; 7] = ["serve", "check", "diff", "test", "geoip", "completions", "man"];

/// The command line. What is said of servers may stand before the command as well as after it.
fn command() -> clap::Command {
    let of_servers = ServerArgs::augment_args(clap::Command::new("servers"));
    let hide = |local: clap::Command| {
        let known: Vec<clap::Id> = local.get_arguments().map(|arg| arg.get_id().clone()).collect();
        let others = of_servers.get_arguments().filter(|arg| !known.contains(arg.get_id()));
        local.args(others.map(|arg| arg.clone().hide(true)))
    };
    let command = ServerArgs::augment_args(Cli::command());
    LOCAL.iter().fold(command, |command, name| command.mut_subcommand(name, hide))
}

/// Refuses to name servers to a command that talks to none.
fn refuse_servers(matches: &clap::ArgMatches) {
    let Some(name) = matches.subcommand_name().filter(|name| LOCAL.contains(name)) else { return };
    let is_typed = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    if let Some(id) = ["server", "token_file", "ca"].into_iter().find(is_typed) {
        let why = format!("`rhumb {name}` talks to no server: leave out --{}", id.replace('_', "-"));
        command().error(ErrorKind::ArgumentConflict, why).exit();
    }
}

/// The exit status of commands that answer yes or no, as that of diff(1): 0 or 1, and 2 on trouble.
fn verdict(answer: anyhow::Result<bool>) -> ExitCode {
    match answer {
        Ok(yes) => ExitCode::from(u8::from(!yes)),
        Err(error) => {
            errln!("rhumb: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Reads the configuration, or prints what is wrong with it.
fn read_config(file: &std::path::Path) -> anyhow::Result<Config> {
    Config::read(file).map_err(|problems| {
        print_problems(&problems);
        anyhow::anyhow!("{} cannot be used", file.display())
    })
}

/// Reads the configuration and compiles what it names, or prints what is wrong with all of it, so that nothing
/// can be done.
fn load_files(file: &std::path::Path, done: &str) -> anyhow::Result<(Config, Loaded)> {
    let (config, problems) = Config::read_partly(file);
    let progress = Progress::new();
    let loaded = load_as_read(config.as_ref(), problems, |config| {
        load(config, 0, &|step, share| progress.report(step, share))
    });
    drop(progress);
    match (config, loaded) {
        (Some(config), Ok(loaded)) => Ok((config, loaded)),
        (_, loaded) => {
            print_problems(&loaded.err().unwrap_or_default());
            anyhow::bail!("{} does not compile, so nothing can be {done}", file.display())
        }
    }
}

fn print_problems(problems: &[Problem]) {
    for problem in problems {
        errln!("{problem}");
    }
}
