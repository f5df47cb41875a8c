//! The log, with a level that can be changed while it runs, and with each event on a line of its own.

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, parse_level};
use crate::state::text::written_out;

/// Sets the level of the log.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Writes a field of a line. Texts of others are in it, which must begin no line that we did not write.
fn write_field(writer: &mut Writer, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
    let text = format!("{value:?}");
    match field.name() {
        "message" => writer.write_str(&written_out(&text)),
        name => write!(writer, "{name}={}", written_out(&text)),
    }
}

/// Starts the log as the configuration has it.
pub fn start(log: &Log) -> anyhow::Result<SetLevel> {
    let filter = parse_level(&log.level).map_err(anyhow::Error::msg)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if log.json {
        Box::new(lines.json().flatten_event(true).with_filter(filter))
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let lines =
            lines.with_ansi(colours).with_target(false).fmt_fields(debug_fn(write_field).delimited(" "));
        Box::new(lines.with_filter(filter))
    };
    let started = tracing_subscriber::registry().with(lines).try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    Ok(Box::new(move |level| handle.reload(parse_level(level)?).map_err(|error| error.to_string())))
}
