//! The log, with a level that can be changed while it runs.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, parse_level};

/// Sets the level of the log.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Starts the log as the configuration has it.
pub fn start(log: &Log) -> anyhow::Result<SetLevel> {
    let filter = parse_level(&log.level).map_err(anyhow::Error::msg)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if log.json {
        Box::new(lines.json().flatten_event(true).with_filter(filter))
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Box::new(lines.with_ansi(colours).with_target(false).with_filter(filter))
    };
    let started = tracing_subscriber::registry().with(lines).try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    Ok(Box::new(move |level| handle.reload(parse_level(level)?).map_err(|error| error.to_string())))
}
