//! `rhumb health --answer`: everything that the monitors say of one answer.

use std::fmt::Write;

use super::show::{Table, moment, plain, tone};
use crate::api::bodies::{AddressBody, MonitorBody};
use crate::state::model::Time;

/// Each monitor of the answer, with its addresses and its last changes, the newest first.
pub fn details(answer: &str, monitors: &[MonitorBody], now: Time) -> String {
    if monitors.is_empty() {
        return format!("No monitor probes an answer {answer}; `rhumb health` lists what is probed.\n");
    }
    monitors.iter().map(|monitor| of_monitor(monitor, now)).collect::<Vec<_>>().join("\n")
}

fn of_monitor(monitor: &MonitorBody, now: Time) -> String {
    let MonitorBody { monitor: name, answer, kind, .. } = monitor;
    let since = monitor.since.map_or(String::new(), |since| format!(" since {}", moment(since, now)));
    let marks =
        [(monitor.flapping, ", flapping: held down"), (monitor.frozen, ", frozen: the failure is ours")];
    let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
    let mut text = format!("{name} ({kind}) says of {answer}: {}{since}{marks}\n", says(monitor.up));
    if !monitor.error.is_empty() {
        let at = monitor.error_at.map_or(String::new(), |at| format!(", {}", moment(at, now)));
        let _ = writeln!(text, "last error: {}{at}", monitor.error);
    }
    let addresses = monitor.addresses.iter().filter(|address| address.address.is_some());
    let mut table = Table::new(&[
        "address",
        "says",
        ">latency",
        "probed",
        "certificate ends",
        "failed",
        "~last error or warning",
    ]);
    let mut is_empty = true;
    for address in addresses {
        is_empty = false;
        row(&mut table, address, now);
    }
    if !is_empty {
        let _ = write!(text, "\n{table}");
    }
    if !monitor.history.is_empty() {
        let mut history = Table::new(&["changed", "~to"]);
        for line in monitor.history.iter().rev() {
            history.row([plain(moment(line.time, now)), plain(&line.what)]);
        }
        let _ = write!(text, "\n{history}");
    }
    text
}

fn row(table: &mut Table, address: &AddressBody, now: Time) {
    let at = |time: Option<Time>| plain(time.map_or("-".into(), |time| moment(time, now)));
    let said = if address.warning.is_empty() { &address.error } else { &address.warning };
    table.row([
        plain(address.address.as_deref().unwrap_or_default()),
        (says(address.up).into(), tone(says(address.up))),
        plain(address.latency_ms.map_or("-".into(), |ms| format!("{ms:.1} ms"))),
        at(address.checked_at),
        at(address.certificate_ends),
        at(address.error_at),
        plain(said),
    ]);
}

fn says(up: Option<bool>) -> &'static str {
    match up {
        None => "not yet",
        Some(true) => "up",
        Some(false) => "down",
    }
}
