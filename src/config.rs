//! `rhumb.toml`: a tree of plain structs, one per room, handed down.
//!
//! Paths in the file are relative to the folder it stands in. Everything has a default; the file as it
//! comes with the project names them all.

mod api;
mod log;
mod notify;
mod query_log;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{At, Document, Fields, Problem};
use crate::geo::written::{assigned, read_coordinates};
use crate::geo::{Country, Location, Subdivision, countries};
pub use crate::listeners::Limit;
use crate::listeners::{
    Listen, ListenerConfig, TCP_CONNECTIONS, TCP_CONNECTIONS_PER_CLIENT, TCP_IDLE_TIMEOUT_MS,
    TCP_WRITE_TIMEOUT_MS, UDP_BATCH_DATAGRAMS, UDP_RECEIVE_BUFFER_BYTES, UDP_THREADS,
};

pub use api::{ApiConfig, BODY_BYTES_MAX, MAX_CHANGES_PER_MINUTE, MAX_CONNECTIONS, Socket, Tls};
pub use log::parse_level;
pub use notify::{Event, Hook, NOTIFY_TIMEOUT_S, Secret};
pub use query_log::{LogTo, QUERY_LOG_ONE_IN, QueryLog};

/// Octets of the largest UDP response. 1232 fits the smallest IPv6 MTU without fragments (DNS flag day
/// 2020); 512 is what every client takes (RFC 1035 section 4.2.1); 4096 is past what any path carries whole.
pub const UDP_RESPONSE_OCTETS: Limit<u16> = Limit { default: 1232, least: 512, most: 4096 };
/// Seconds between two log lines with the counters; 0 is off.
pub const LOG_COUNTERS_EVERY_S: Limit<u64> = Limit { default: 0, least: 0, most: 86_400 };

/// Octets of the identity: as NSID it must fit into 512 beside the longest question and a whole subnet.
const IDENTITY_OCTETS_MAX: usize = 200;
/// Octets of the version: one TXT string carries it (RFC 1035 section 3.3.14).
const VERSION_OCTETS_MAX: usize = 255;

/// Everything `rhumb.toml` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file itself.
    pub file: PathBuf,
    /// Where in it the paths stand that everything else is read from, or written to.
    pub paths: Vec<NamedPath>,
    /// The sockets.
    pub listen: ListenerConfig,
    /// Octets of the largest UDP response.
    pub udp_response_octets_max: u16,
    /// How the server presents itself.
    pub identity: Identity,
    /// The folder of the zones.
    pub zones: PathBuf,
    /// The folder of the PoPs, pools and steered records.
    pub filter_chains: PathBuf,
    /// The seed of the sticky hash: the same on every node, forever (DESIGN, decision 8).
    pub sticky_seed: u64,
    /// Where places come from.
    pub geo: Geo,
    /// Where drains, splits, feeds and health are kept.
    pub state: StateConfig,
    /// What is logged.
    pub log: Log,
    /// Which queries are logged, and where.
    pub query_log: QueryLog,
    /// What is counted.
    pub metrics: Metrics,
    /// The control plane.
    pub api: ApiConfig,
    /// Who is told of what happens.
    pub notify: Vec<Hook>,
}

/// A path that the configuration names, or has by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// The table and the field: `zones`, or `geo` and `databases`.
    pub field: (&'static str, &'static str),
    /// The line, where it is written.
    pub line: Option<usize>,
    /// The path, from where the process stands.
    pub path: PathBuf,
}

/// Where what is not in files is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StateConfig {
    /// The store's one file.
    pub file: PathBuf,
    /// How long after the start a damaged store is replaced by its copy without asking; none waits for a
    /// person.
    pub accept_backup_after: Option<Duration>,
}

/// How the server presents itself; what is not written is hidden.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// NSID and `id.server`.
    pub id: String,
    /// `version.bind` and `version.server`.
    pub version: String,
}

/// Where places come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geo {
    /// Networks the operator names: the first source.
    pub networks: Option<PathBuf>,
    /// MaxMind DB files, in the order they are asked.
    pub databases: Vec<PathBuf>,
    /// Where a client is taken to be whom neither its own nor its resolver's address places.
    pub default_place: Option<Location>,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// JSON lines instead of text.
    pub json: bool,
    /// A level, and parts with levels of their own, as [`parse_level`] reads it.
    pub level: String,
    /// Seconds between two lines with the counters; 0 is off.
    pub counters_every_s: u64,
}

/// What is counted beyond what always is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Each steered record by itself.
    pub by_record: bool,
}

impl Config {
    /// Reads a file; every mistake at once.
    pub fn read(file: &Path) -> Result<Config, Vec<Problem>> {
        whole(Config::read_partly(file))
    }

    /// Reads a file as far as it can be read, and what is wrong with the rest, where defaults stand in.
    /// Nothing comes of a file that cannot be read at all, or where nobody knows what else is to be read.
    pub fn read_partly(file: &Path) -> (Option<Config>, Vec<Problem>) {
        match std::fs::read_to_string(file) {
            Ok(text) => parse(file, &text),
            Err(error) => {
                let message = format!("cannot be read: {error}; name another file with --config");
                (None, vec![Problem::error(file, None, message)])
            }
        }
    }

    /// Reads a file's text. The file is named in problems, and its folder is where paths begin.
    pub fn parse(file: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        whole(parse(file, text))
    }

    /// Tells of what is missing where it is named: the line and the field of this file.
    pub fn name_missing(&self, problems: &mut [Problem]) {
        for problem in problems.iter_mut().filter(|problem| problem.line.is_none()) {
            if self.paths.iter().any(|named| named.path == problem.file && !named.path.exists()) {
                *problem = self.problem_of(&problem.file, &problem.message);
            }
        }
    }

    /// What is wrong with a path, told where the path is named.
    pub fn problem_of(&self, path: &Path, why: &str) -> Problem {
        let named = self.paths.iter().find(|named| named.path == path);
        let (object, field) = named.map_or(("", ""), |named| named.field);
        let message = format!("{}: {why}", path.display());
        Problem::error(&self.file, named.and_then(|named| named.line), message).of(object).at(field)
    }
}

fn parse(file: &Path, text: &str) -> (Option<Config>, Vec<Problem>) {
    let document = Document::new(file, text);
    let config = document.read().map(|root| read_root(file, root));
    let problems = document.into_problems();
    let is_path = |problem: &Problem| PATH_FIELDS.contains(&problem.field.as_str());
    (config.filter(|_| !problems.iter().any(is_path)), problems)
}

/// The fields that name what else is read.
const PATH_FIELDS: [&str; 4] = ["zones", "filter_chains", "networks", "databases"];

fn whole((config, problems): (Option<Config>, Vec<Problem>)) -> Result<Config, Vec<Problem>> {
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn read_root(file: &Path, mut root: Fields) -> Config {
    let (listen, udp_response_octets_max) = read_listen(root.table("listen"));
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut paths = Vec::new();
    let mut named = |field, path: Option<At<String>>, default: &str| {
        let line = path.as_ref().map(|path| path.line);
        let path = folder.join(path.map_or_else(|| default.to_string(), |path| path.value));
        paths.push(NamedPath { field, line, path: path.clone() });
        path
    };
    let zones = named(("", "zones"), root.text("zones"), "zones");
    let filter_chains = named(("", "filter_chains"), root.text("filter_chains"), "filter-chains");
    let config = Config {
        file: file.to_path_buf(),
        zones,
        filter_chains,
        sticky_seed: root.integer_in("sticky_seed", 0, i64::MAX).map_or(0, |seed| seed.value as u64),
        listen,
        udp_response_octets_max,
        identity: root.table("identity").map(read_identity).unwrap_or_default(),
        geo: match root.table("geo") {
            Some(mut geo) => {
                geo.object = "geo".into();
                let networks = geo.text("networks").map(|path| named(("geo", "networks"), Some(path), ""));
                let databases = geo.texts("databases").into_iter();
                let databases = databases.map(|path| named(("geo", "databases"), Some(path), "")).collect();
                let default_place = geo.table("default_place").and_then(read_place);
                geo.finish();
                Geo { networks, databases, default_place }
            }
            None => Geo::default(),
        },
        state: StateConfig {
            file: read_state(&mut root, folder, &mut paths),
            accept_backup_after: root.duration("accept_backup_after").map(|after| after.value),
        },
        log: read_log(root.table("log")),
        query_log: query_log::read(folder, root.table("query_log"), &mut paths),
        metrics: root.table("metrics").map(read_metrics).unwrap_or_default(),
        api: api::read(folder, root.table("api"), &mut paths),
        notify: notify::read(folder, root.tables("notify")),
        paths,
    };
    root.finish();
    config
}

/// `state = "file:..."`: the kind of store, and where it is.
fn read_state(root: &mut Fields, folder: &Path, paths: &mut Vec<NamedPath>) -> PathBuf {
    let written = root.text("state");
    let line = written.as_ref().map(|written| written.line);
    let file = written.and_then(|written| {
        let file = written.value.strip_prefix("file:").filter(|file| !file.is_empty());
        if file.is_none() {
            let message = format!("`{}` is no store; write file:PATH", written.value);
            root.error("state", written.line, message);
        }
        file.map(|file| folder.join(file))
    });
    let path = file.unwrap_or_else(|| folder.join("state/rhumb.redb"));
    paths.push(NamedPath { field: ("", "state"), line, path: path.clone() });
    path
}

/// A whole number inside its limit; its default where the table or the field is not written.
fn limited<T>(fields: &mut Option<Fields>, name: &'static str, limit: Limit<T>) -> T
where
    T: Copy + TryInto<i64> + TryFrom<i64>,
{
    let bound = |bound: T| bound.try_into().unwrap_or(i64::MAX);
    let written = fields.as_mut().and_then(|f| f.integer_in(name, bound(limit.least), bound(limit.most)));
    written.and_then(|number| T::try_from(number.value).ok()).unwrap_or(limit.default)
}

fn read_listen(mut fields: Option<Fields>) -> (ListenerConfig, u16) {
    let mut config = ListenerConfig::default();
    if let Some(fields) = &mut fields {
        fields.object = "listen".into();
        let written = fields.parsed_list_like::<SocketAddr>("addresses", "192.0.2.1:53 or [2001:db8::1]:53");
        for (index, address) in written.iter().enumerate() {
            // Port 0 is another one each time.
            let is_twin = |other: &At<SocketAddr>| other.value == address.value && address.value.port() != 0;
            if written[..index].iter().any(is_twin) {
                fields.error("addresses", address.line, format!("{} is written twice", address.value));
            }
        }
        if !written.is_empty() {
            let listen = |address: At<SocketAddr>| Listen { address: address.value, written: true };
            config.listen = written.into_iter().map(listen).collect();
        }
        config.udp.pin = fields.flag("pin_threads").is_some_and(|flag| flag.value);
        config.udp.segmentation = fields.flag("udp_segmentation").is_none_or(|flag| flag.value);
    }
    let cores = config.udp.threads;
    config.udp.threads = limited(&mut fields, "udp_threads", Limit { default: cores, ..UDP_THREADS });
    config.udp.batch = limited(&mut fields, "udp_batch", UDP_BATCH_DATAGRAMS);
    config.udp.receive_buffer_bytes =
        limited(&mut fields, "udp_receive_buffer_bytes", UDP_RECEIVE_BUFFER_BYTES);
    config.tcp.connections = limited(&mut fields, "tcp_connections", TCP_CONNECTIONS);
    config.tcp.connections_per_client =
        limited(&mut fields, "tcp_connections_per_client", TCP_CONNECTIONS_PER_CLIENT);
    let ms = Duration::from_millis;
    config.tcp.idle_timeout = ms(limited(&mut fields, "tcp_idle_timeout_ms", TCP_IDLE_TIMEOUT_MS));
    config.tcp.write_timeout = ms(limited(&mut fields, "tcp_write_timeout_ms", TCP_WRITE_TIMEOUT_MS));
    let octets = limited(&mut fields, "udp_response_octets_max", UDP_RESPONSE_OCTETS);
    if let Some(fields) = fields {
        fields.finish();
    }
    (config, octets)
}

fn read_identity(mut fields: Fields) -> Identity {
    fields.object = "identity".into();
    let mut read = |name, octets_max| {
        let text = fields.text(name)?;
        if text.value.len() > octets_max {
            fields.error(name, text.line, format!("{} octets; write at most {octets_max}", text.value.len()));
        }
        Some(text.value)
    };
    let identity = Identity {
        id: read("id", IDENTITY_OCTETS_MAX).unwrap_or_default(),
        version: read("version", VERSION_OCTETS_MAX).unwrap_or_default(),
    };
    fields.finish();
    identity
}

/// A place as the operator writes one: a country, and what is known beyond it.
fn read_place(mut fields: Fields) -> Option<Location> {
    fields.object = "geo default_place".into();
    fields.require(&["country"]);
    let country = fields.parsed::<Country>("country");
    let country = country.and_then(|country| assigned(&fields, "country", country));
    let subdivision = fields.parsed::<Subdivision>("subdivision");
    let coordinates = read_coordinates(&mut fields);
    fields.finish();
    Some(Location {
        country: country?,
        continent: countries::continent(country?),
        subdivision: subdivision.map(|subdivision| subdivision.value),
        coordinates,
    })
}

fn read_log(mut fields: Option<Fields>) -> Log {
    let counters_every_s = limited(&mut fields, "counters_every_s", LOG_COUNTERS_EVERY_S);
    let Some(mut fields) = fields else { return Log { level: "info".into(), ..Log::default() } };
    fields.object = "log".into();
    let format = fields.text("format");
    if let Some(format) = format.as_ref().filter(|format| !["text", "json"].contains(&format.value.as_str()))
    {
        fields.error("format", format.line, format!("`{}` is unknown; write text or json", format.value));
    }
    let level = fields.text("level");
    if let Some(level) = &level
        && let Err(why) = parse_level(&level.value)
    {
        fields.error("level", level.line, why);
    }
    fields.finish();
    Log {
        json: format.is_some_and(|format| format.value == "json"),
        level: level.map_or_else(|| "info".into(), |level| level.value),
        counters_every_s,
    }
}

fn read_metrics(mut fields: Fields) -> Metrics {
    fields.object = "metrics".into();
    let by_record = fields.flag("by_record").is_some_and(|flag| flag.value);
    fields.finish();
    Metrics { by_record }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(text: &str) -> ListenerConfig {
        Config::parse(Path::new("rhumb.toml"), text).unwrap().listen
    }

    /// A default address that the machine lacks is a warning, one that is written an error: which is which is
    /// said here.
    #[test]
    fn addresses_have_defaults() {
        let check = |text: &str, addresses: &[&str], written: bool| {
            let expect: Vec<_> = addresses
                .iter()
                .map(|address| Listen { address: address.parse().unwrap(), written })
                .collect();
            assert_eq!(listener(text).listen, expect, "{text}");
        };
        let default = ["127.0.0.1:5300", "[::1]:5300"];
        check("", &default, false);
        check("[listen]\nudp_threads = 1", &default, false);
        check("[listen]\naddresses = [\"127.0.0.1:5300\"]", &default[..1], true);
        check(
            "[listen]\naddresses = [\"192.0.2.1:53\", \"[2001:db8::1]:53\"]",
            &["192.0.2.1:53", "[2001:db8::1]:53"],
            true,
        );
    }

    #[test]
    fn what_sockets_and_threads_are_told_is_as_written() {
        let default = listener("").udp;
        assert_eq!((default.receive_buffer_bytes, default.pin), (1 << 20, false));
        let udp =
            listener("[listen]\nudp_receive_buffer_bytes = 131072\npin_threads = true\nudp_threads = 3").udp;
        assert_eq!((udp.receive_buffer_bytes, udp.pin, udp.threads), (128 << 10, true, 3));
    }
}
