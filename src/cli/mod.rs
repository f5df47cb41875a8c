//! The commands, one file each.

mod check;
mod diff;
mod explain;
mod geoip;
mod progress;
mod serve;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::files::Problem;

/// Authoritative GeoDNS server with failover filter chains.
///
/// rhumb answers DNS queries with the load balancer addresses of the right PoP: it reads where the client
/// is (EDNS Client Subnet, else the resolver's address), runs the record's filter chain over the record's
/// answers, and says honestly for which networks the answer holds.
///
/// Start with `rhumb serve` in a folder with rhumb.toml, then
/// `dig @127.0.0.1 -p 5300 wss-primary.example.com A +subnet=81.2.69.0/24`.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
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
    /// instead.
    Check,
    /// Say how a query is answered, and why.
    ///
    /// Shows where the client is and which source says so, what each filter kept, dropped or moved and why,
    /// how wide the answer holds and who narrowed it, and the answer itself. Reads the files; it does not
    /// ask a running server.
    Explain(explain::Args),
    /// Say what a change of the files does: which clients go to another PoP.
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
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// Runs the command line. Exit status: 0 done, 1 what was asked for failed, 2 the command line is wrong.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Serve => serve::run(&cli.config),
        Command::Check => return check::run(&cli.config),
        Command::Diff(args) => return diff::run(args),
        Command::Test(args) => return test::run(&cli.config, args),
        Command::Explain(args) => explain::run(&cli.config, args),
        Command::Geoip(command) => geoip::run(&cli.config, command),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "rhumb", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout()).map_err(anyhow::Error::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rhumb: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The exit status of commands that answer yes or no, as that of diff(1): 0 or 1, and 2 on trouble.
fn verdict(answer: anyhow::Result<bool>) -> ExitCode {
    match answer {
        Ok(yes) => ExitCode::from(u8::from(!yes)),
        Err(error) => {
            eprintln!("rhumb: {error:#}");
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

fn print_problems(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}
