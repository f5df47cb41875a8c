//! The query log: takes what the workers have sampled, and writes a line of JSON for each.
//!
//! ```text
//! Sampler, one per worker -> ring -> Writer (a thread, every 50 ms) -> line -> file
//! ```
//!
//! Nobody waits for the writer. A disk that is slow or full costs lines, which are counted, and nothing else.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use jiff::Timestamp;
use rtrb::Consumer;
use serde::Serialize;
use tracing::{info, warn};

use crate::config::{self, LogTo};
use crate::engine::Transport;
use crate::engine::query_log::{Entry, RING_ENTRIES, Sampler, Written, network_of};
use crate::engine::shares::{Counted, Slots};
use crate::engine::steering::Rung;
use crate::wire::{Name, Rcode};

/// How often the rings are emptied: so much may a line's time be late, and so often may a ring fill up.
const EVERY: Duration = Duration::from_millis(50);
/// How long stopping waits for the last lines: a disk or a pipe may hang.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Its owner and its group may read it: it tells of clients.
const MODE: u32 = 0o640;

/// The query log of a serving process; none where none is configured.
#[derive(Clone, Default)]
pub struct QueryLog {
    writer: Option<Handle>,
    written: Arc<Written>,
}

#[derive(Clone)]
struct Handle {
    messages: Sender<Message>,
    one_in: u32,
}

/// What the writer is told.
enum Message {
    /// There is one more worker.
    Ring(Consumer<Entry>),
    /// The file was renamed, or should be tried again.
    Reopen,
    /// Write what there is, and say when it is written.
    Stop(Sender<()>),
}

impl QueryLog {
    /// Starts the writer, if there is anything to write.
    pub fn start(config: &config::QueryLog, slots: Arc<Slots>) -> io::Result<QueryLog> {
        let Some(to) = config.to.clone() else { return Ok(QueryLog::default()) };
        let (messages, inbox) = channel();
        let written = Arc::new(Written::default());
        let lines = Lines { slots, whole: config.whole_addresses, names: Vec::new(), counted: Vec::new() };
        let sink = Sink { to, open: None, is_torn: false, is_failing: false, written: written.clone() };
        let mut writer = Writer { rings: Vec::new(), lines, sink };
        std::thread::Builder::new().name("query log".into()).spawn(move || writer.run(&inbox))?;
        Ok(QueryLog { writer: Some(Handle { messages, one_in: config.one_in }), written })
    }

    /// For a new worker.
    pub fn sampler(&self) -> Sampler {
        let Some(Handle { messages, one_in }) = &self.writer else { return Sampler::none() };
        let (sampler, ring) = Sampler::new(*one_in, RING_ENTRIES, fastrand::u64(..));
        // Without its writer the ring fills up, and what is dropped is counted.
        let _ = messages.send(Message::Ring(ring));
        sampler
    }

    /// Opens the file anew: it may have been renamed.
    pub fn reopen(&self) {
        if let Some(writer) = &self.writer {
            let _ = writer.messages.send(Message::Reopen);
        }
    }

    /// Writes what there is. Call it when the workers have stopped.
    pub fn stop(&self) {
        let Some(writer) = &self.writer else { return };
        let (reply, done) = channel();
        let _ = writer.messages.send(Message::Stop(reply));
        let _ = done.recv_timeout(LAST_LINES);
    }

    /// What has become of the entries.
    pub fn written(&self) -> Arc<Written> {
        self.written.clone()
    }
}

/// The thread.
struct Writer {
    rings: Vec<Consumer<Entry>>,
    lines: Lines,
    sink: Sink,
}

impl Writer {
    fn run(&mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(EVERY) {
                Ok(Message::Ring(ring)) => self.rings.push(ring),
                Ok(Message::Reopen) => {
                    // What was asked before the renaming goes where it would have gone.
                    self.drain();
                    (self.sink.open, self.sink.is_torn) = (None, false);
                }
                Err(RecvTimeoutError::Timeout) => self.drain(),
                Ok(Message::Stop(reply)) => {
                    self.drain();
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn drain(&mut self) {
        let now = Timestamp::now();
        for ring in &mut self.rings {
            // No more than there are now: a worker may be as fast as we are.
            let (mut text, count) = (Vec::new(), ring.slots());
            for entry in std::iter::from_fn(|| ring.pop().ok()).take(count) {
                self.lines.write(&entry, now, &mut text);
            }
            if count > 0 {
                self.sink.write(&text, count as u64);
            }
        }
        // A worker that panicked has left its ring.
        self.rings.retain(|ring| !ring.is_abandoned() || !ring.is_empty());
    }
}

/// Where lines go.
struct Sink {
    to: LogTo,
    open: Option<Box<dyn Write + Send>>,
    /// The last line may have been written in part.
    is_torn: bool,
    /// The last attempt failed, which was told.
    is_failing: bool,
    written: Arc<Written>,
}

impl Sink {
    fn write(&mut self, text: &[u8], lines: u64) {
        match self.try_to_write(text) {
            Ok(()) => {
                self.written.lines.fetch_add(lines, Relaxed);
                if std::mem::take(&mut self.is_failing) {
                    info!("the query log is written again");
                }
            }
            Err(error) => {
                self.written.lost.fetch_add(lines, Relaxed);
                self.written.errors.fetch_add(1, Relaxed);
                // Opened anew before the next lines: what ails it may be the file.
                self.is_torn |= self.open.take().is_some();
                if !std::mem::replace(&mut self.is_failing, true) {
                    let name = match &self.to {
                        LogTo::StandardOutput => "standard output".into(),
                        LogTo::File(file) => file.display().to_string(),
                    };
                    warn!(
                        "the query log cannot be written, its lines are lost until it can: {name}: {error}"
                    );
                }
            }
        }
    }

    fn try_to_write(&mut self, text: &[u8]) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(open(&self.to)?),
        };
        if self.is_torn {
            // An empty line hurts no reader, two lines in one do.
            open.write_all(b"\n")?;
            self.is_torn = false;
        }
        open.write_all(text)?;
        open.flush()
    }
}

fn open(to: &LogTo) -> io::Result<Box<dyn Write + Send>> {
    match to {
        LogTo::StandardOutput => Ok(Box::new(io::stdout())),
        // Appending, so that a file which others cut to nothing begins at its beginning.
        LogTo::File(file) => {
            Ok(Box::new(OpenOptions::new().create(true).append(true).mode(MODE).open(file)?))
        }
    }
}

/// Makes lines of entries.
struct Lines {
    slots: Arc<Slots>,
    whole: bool,
    /// What the numbers of entries stand for, as far as it was read: they only become more.
    names: Vec<Name>,
    counted: Vec<Arc<Counted>>,
}

/// A line.
#[derive(Serialize)]
struct Line<'l> {
    time: String,
    transport: &'static str,
    client: String,
    resolver: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    qtype: Option<String>,
    rcode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pop: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rung: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    octets: u16,
}

impl Lines {
    fn write(&mut self, entry: &Entry, now: Timestamp, text: &mut Vec<u8>) {
        let steered = entry.steered.as_ref();
        if let Some(steered) = steered {
            self.look_up(steered.record, &steered.answers);
        }
        let given = steered.iter().flat_map(|steered| &steered.answers);
        let given = given.filter_map(|&slot| self.counted.get(slot as usize));
        let given: Vec<_> = given.map(|counted| shown(counted)).collect();
        let [pool, pop, stack] = given.first().map_or([None; 3], |(_, first)| *first);
        let all = if entry.peer.address.is_ipv4() { 32 } else { 128 };
        let resolver = (entry.peer.address.ip(), all);
        let subnet = entry.subnet.filter(|subnet| subnet.source > 0);
        let client = subnet.map_or(resolver, |subnet| (subnet.address, subnet.source));
        let network = |(address, bits)| {
            let (address, bits) = if self.whole { (address, bits) } else { network_of(address, bits) };
            format!("{address}/{bits}")
        };
        let record = steered.and_then(|steered| self.names.get(steered.record as usize));
        let line = Line {
            time: format!("{now:.3}"),
            transport: match entry.peer.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            },
            client: network(client),
            resolver: network(resolver),
            name: Name::from_wire(&entry.name).ok().map(|name| name.to_string()),
            qtype: entry.qtype.map(type_name),
            rcode: rcode(entry.rcode),
            scope: entry.subnet.map(|_| entry.scope),
            record: record.map(Name::to_string),
            answers: given.iter().map(|(id, _)| *id).collect(),
            pool,
            pop,
            stack,
            rung: steered.and_then(|steered| rung(steered.rung)),
            truncated: entry.truncated,
            octets: entry.octets,
        };
        // Text and numbers go into memory, so nothing fails.
        if serde_json::to_writer(&mut *text, &line).is_ok() {
            text.push(b'\n');
        }
    }

    /// Reads anew what numbers stand for, where these are new.
    fn look_up(&mut self, record: u32, answers: &[u32]) {
        if record as usize >= self.names.len() {
            self.names = self.slots.names();
        }
        if answers.iter().any(|&slot| slot as usize >= self.counted.len()) {
            self.counted = self.slots.counted();
        }
    }
}

/// An answer's id, and its pool, PoP and stack.
fn shown(counted: &Counted) -> (&str, [Option<&str>; 3]) {
    match counted {
        Counted::Answer { id, pool, pop, stack, .. } => {
            (id, [pool.as_deref(), pop.as_deref(), stack.as_deref()])
        }
        Counted::Record(_) | Counted::Rest => ("rest", [None; 3]),
    }
}

/// A type without a name is written by its number (RFC 3597 section 5).
fn type_name(qtype: u16) -> String {
    match RecordType::from(qtype) {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

fn rung(rung: Rung) -> Option<&'static str> {
    match rung {
        Rung::Up => None,
        Rung::Down => Some("down"),
        Rung::PartlyDrained => Some("partly_drained"),
        Rung::Drained => Some("drained"),
    }
}

fn rcode(rcode: Rcode) -> &'static str {
    match rcode {
        Rcode::NoError => "NOERROR",
        Rcode::FormErr => "FORMERR",
        Rcode::ServFail => "SERVFAIL",
        Rcode::NxDomain => "NXDOMAIN",
        Rcode::NotImp => "NOTIMP",
        Rcode::Refused => "REFUSED",
        Rcode::BadVers => "BADVERS",
    }
}
