//! `rhumb audit`, `rhumb events` and `rhumb rollback`: who changed what, as it happens, and back.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Failure, Request, Server, safe};
use super::connect::ServerArgs;
use super::outcome::{Outcome, ask, tell};
use super::show::{Table, Tone, clock, json_text, plain};
use super::written::{WriteArgs, write_and_tell};
use crate::api::bodies::{AuditLine, RollbackBody};
use crate::state::model::Time;

/// Lines that a server sends at once.
const PAGE_MOST: usize = 1000;
/// How long a stream of events may be silent: servers send a comment every 15 seconds, so three are missing.
const SILENCE_MOST: Duration = Duration::from_secs(50);
/// Until a server that has gone is asked for events again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Which lines of the log.
#[derive(clap::Args)]
pub struct AuditArgs {
    /// Only what this token, `local`, `health` or `rhumb` did.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only this action: drain, undrain, split, ...
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// At most so many, the newest first.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: usize,
    #[command(flatten)]
    to: ServerArgs,
}

/// Events from when on.
#[derive(clap::Args)]
pub struct EventsArgs {
    /// Go on until interrupted, which it does anyway.
    #[arg(long, short)]
    follow: bool,
    /// Begin after this revision; left out, with what happens from now on.
    #[arg(long, value_name = "REVISION")]
    since: Option<u64>,
    #[command(flatten)]
    to: ServerArgs,
}

/// Where to go back to.
#[derive(clap::Args)]
pub struct RollbackArgs {
    /// Drains, splits, monitors and policies become what they were at this revision, as `rhumb audit` lists it.
    revision: u64,
    /// Why.
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    to: ServerArgs,
}

/// Shows the log.
pub fn audit(config: &Path, args: &AuditArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let request = Request::get(&["audit"])
        .with("who", args.who.as_ref())
        .with("action", args.action.as_ref())
        .with("limit", Some(args.limit.min(PAGE_MOST)));
    let answers = ask(&servers, |server| server.list::<AuditLine>(&request, args.limit));
    let told = tell(&answers, args.to.json, |said| match said.body.is_empty() {
        true => "The log has no such line.\n".into(),
        false => lines_table(&said.body, said.at),
    });
    Ok(told.print())
}

/// Lines of the log.
pub fn lines_table(lines: &[AuditLine], now: Time) -> String {
    let mut table = Table::new(&[">revision", "when", "who", "from", "~what", "~why"]);
    for line in lines {
        let what = format!("{} {}", line.action, line.object);
        let what = if line.forced { (format!("{what} (forced)"), Tone::Warn) } else { plain(what) };
        table.row([
            plain(line.revision),
            plain(clock(line.time, now)),
            plain(&line.who),
            plain(if line.from.is_empty() { "-" } else { &line.from }),
            what,
            plain(&line.reason),
        ]);
    }
    table.to_string()
}

/// Prints what happens, a line each, until it is interrupted.
pub fn events(config: &Path, args: &EventsArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.patient_servers(config, SILENCE_MOST)?;
    let is_one = servers.len() == 1;
    let answers = ask(&servers, |server| {
        let followed = follow(server, args.since, &|line, data| {
            let text = match (args.to.json, is_one) {
                (true, true) => json_text(&data.to_string()),
                (true, false) => json_text(&json!({ "server": server.name, "event": data }).to_string()),
                (false, true) => event_words(line),
                (false, false) => format!("{}  {}", server.name, event_words(line)),
            };
            let mut stdout = std::io::stdout().lock();
            // Who closed the pipe has read enough.
            writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
        });
        // Told at once: the other servers' events have no end.
        followed.inspect_err(|failure| errln!("rhumb: {failure}"))
    });
    Ok(Outcome::of_answers(&answers))
}

/// Follows a server's events, over its restarts too. What was missed meanwhile comes first.
fn follow(
    server: &Server,
    since: Option<u64>,
    print: &impl Fn(&AuditLine, &Value) -> bool,
) -> Result<(), Failure> {
    let mut last = since;
    let mut was_there = false;
    loop {
        let request = Request::get(&["events"]).with_header("Last-Event-ID", last);
        let mut go_on = true;
        let ended = server.follow(&request, &mut last, |text| {
            let Ok(data) = serde_json::from_str::<Value>(text) else { return true };
            let Ok(line) = AuditLine::deserialize(safe(data.clone())) else { return true };
            go_on = print(&line, &data);
            go_on
        });
        match ended {
            Ok(()) if !go_on => return Ok(()),
            Ok(()) => was_there = true,
            Err(Failure::Unreachable(_)) if was_there => {}
            Err(failure) => return Err(failure),
        }
        std::thread::sleep(AGAIN_AFTER);
    }
}

/// An event in a line.
fn event_words(line: &AuditLine) -> String {
    let AuditLine { revision, time, who, action, object, reason, .. } = line;
    let forced = if line.forced { " (forced)" } else { "" };
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{}  {revision}  {who}  {action} {object}{forced}{why}", time.strftime("%F %H:%M:%SZ"))
}

/// Puts back what steers.
pub fn rollback(config: &Path, args: &RollbackArgs) -> anyhow::Result<Outcome> {
    let servers = args.to.servers(config)?;
    let body = |dry_run| RollbackBody {
        to_revision: args.revision,
        reason: args.reason.clone(),
        dry_run,
        force: args.write.force,
        expected_revision: None,
    };
    let request = |_: &Server, dry_run| Ok(Request::post(&["rollback"], &body(dry_run)));
    write_and_tell(&servers, args.to.json, &args.write, request)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Takes a connection, and says this; what was asked, and the connection, which stays open.
    fn say(listener: &TcpListener, events: &str) -> (String, TcpStream) {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{events}").unwrap();
        (asked.join("\n").to_ascii_lowercase(), stream)
    }

    /// Neither end closes the connection: whoever listens comes back, and misses nothing.
    #[test]
    fn a_silent_connection_is_dead() {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let http = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_millis(200));
        let server = Server { name: "here".into(), url, http: http.build().unwrap(), token: None };
        let line = json!({
            "revision": 18, "time": "2026-11-24T02:14:00Z", "who": "local", "from": "", "action": "drain",
            "object": "eu-west-1", "reason": "x", "forced": false, "keys": []
        });
        let asked = std::thread::spawn(move || {
            let first = say(&listener, "id: 17\n\n");
            let second = say(&listener, &format!("event: change\nid: 18\ndata: {line}\n\n"));
            [first.0, second.0]
        });
        let printed = RefCell::new(Vec::new());
        let print = |line: &AuditLine, _: &Value| {
            printed.borrow_mut().push(line.revision);
            false
        };
        follow(&server, None, &print).unwrap();
        assert_eq!(printed.into_inner(), [18]);
        let [first, second] = asked.join().unwrap();
        assert!(
            !first.contains("last-event-id") && second.contains("last-event-id: 17"),
            "{first}\n{second}"
        );
    }
}
