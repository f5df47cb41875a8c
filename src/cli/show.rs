//! How things look: tables that fit the terminal, colour where it is wanted, times and numbers as people
//! read them.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement};

use super::outcome::{Outcome, Told};
use crate::state::model::Time;

/// Between two looks at something that is watched.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// How a cell is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Out of the ordinary, and somebody may want it so.
    Warn,
    /// Wrong.
    Bad,
}

/// The tone of a state's name, for every state there is.
pub fn tone(state: &str) -> Tone {
    match state {
        "serving" | "ok" | "ready" | "up" | "yes" | "done" | "running" | "moved" => Tone::Good,
        "draining" | "scheduled" | "active" | "returning" | "held" | "moving" | "rolled_back" | "down"
        | "partly_drained" | "weightless" => Tone::Warn,
        "drained" | "failing" | "damaged" | "not ready" | "no" | "stale" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// A table without lines: a head, and rows.
pub struct Table {
    table: comfy_table::Table,
    right: Vec<bool>,
}

impl Table {
    /// With these heads; `>` before one puts its column to the right, as numbers stand.
    pub fn new(heads: &[&str]) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::TableStyle::new());
        table.set_content_arrangement(ContentArrangement::Dynamic);
        match width() {
            Some(width) => drop(table.set_width(width)),
            None => drop(table.set_content_arrangement(ContentArrangement::Disabled)),
        }
        if is_coloured() {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        let right: Vec<bool> = heads.iter().map(|head| head.starts_with('>')).collect();
        let heads = heads
            .iter()
            .map(|head| Cell::new(head.trim_start_matches('>')).add_attribute(Attribute::Underlined));
        table.set_header(heads.collect::<Vec<_>>());
        for (column, right) in table.column_iter_mut().zip(&right) {
            column.set_padding((0, 2));
            if *right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        // What a row is about is read whole.
        if let Some(first) = table.column_mut(0) {
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        Table { table, right }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        debug_assert_eq!(N, self.right.len(), "a cell for each head");
        self.table.add_row(cells.into_iter().map(|(text, tone)| {
            let cell = Cell::new(text);
            match tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Warn => cell.fg(Color::Yellow),
                Tone::Bad => cell.fg(Color::Red),
            }
        }));
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        for line in self.table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A cell as it is.
pub fn plain(text: impl ToString) -> (String, Tone) {
    (text.to_string(), Tone::Plain)
}

/// A cell with a state's name, in its tone.
pub fn state(name: &str) -> (String, Tone) {
    (name.replace('_', " "), tone(name))
}

/// A line that is to be seen.
pub fn loud(text: &str, tone: Tone) -> String {
    let code = match tone {
        _ if !is_coloured() => return text.into(),
        Tone::Plain => "1",
        Tone::Good => "1;32",
        Tone::Warn => "1;33",
        Tone::Bad => "1;31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Lines of a list.
pub fn bullets<'t>(lines: impl IntoIterator<Item = &'t String>) -> String {
    lines.into_iter().map(|line| format!("  - {line}\n")).collect()
}

/// Columns to write in: those of COLUMNS or of the terminal; none where nobody looks at the width.
fn width() -> Option<u16> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.filter(|columns| *columns >= 20).or_else(|| comfy_table::Table::new().width())
}

fn is_coloured() -> bool {
    let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_forbidden
}

/// `2 drains`, `1 drain`, `no drains`.
pub fn count(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// A percentage, with a digit behind the point where it has one; `-` for none.
pub fn percent(percent: impl Into<Option<f64>>) -> String {
    percent.into().map_or("-".into(), |percent| format!("{} %", number((percent * 10.0).round() / 10.0)))
}

/// A number as short as it is true, with commas between thousands.
pub fn number(number: f64) -> String {
    let text = number.to_string();
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |point| text.split_at(point));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// A span of time in its two largest units: `2 h 5 min`.
pub fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, unit)| seconds >= *unit).unwrap_or(3);
    let (name, unit) = units[first];
    let mut text = format!("{} {name}", seconds / unit);
    if let Some((name, smaller)) = units.get(first + 1)
        && seconds % unit >= *smaller
    {
        text += &format!(" {} {name}", seconds % unit / smaller);
    }
    text
}

/// A moment, and how far it is from now: `22:10Z, 4 min ago`, `2026-11-25 02:00Z, in 3 h 50 min`.
pub fn moment(time: Time, now: Time) -> String {
    let seconds = now.as_second() - time.as_second();
    let far = span(seconds.unsigned_abs());
    let far = if seconds >= 0 { format!("{far} ago") } else { format!("in {far}") };
    format!("{}, {far}", clock(time, now))
}

/// A moment alone, without the date where that is today's (UTC).
pub fn clock(time: Time, now: Time) -> String {
    let is_today = time.strftime("%F").to_string() == now.strftime("%F").to_string();
    time.strftime(if is_today { "%H:%MZ" } else { "%F %H:%MZ" }).to_string()
}

/// Shows something once, or again every second until it is interrupted: in its place on a terminal, and
/// elsewhere whenever it has changed.
pub fn show(watch: bool, mut tell: impl FnMut() -> anyhow::Result<Told>) -> anyhow::Result<Outcome> {
    if !watch {
        return Ok(tell()?.print());
    }
    let is_terminal = std::io::stdout().is_terminal();
    let (mut last, mut height) = (String::new(), 0);
    loop {
        let told = tell()?;
        let frame = told.out + &told.err;
        if is_terminal {
            height = redraw(&frame, height)?;
        } else if frame != last {
            print!("{frame}");
            std::io::stdout().flush()?;
        }
        last = frame;
        std::thread::sleep(WATCH_EVERY);
    }
}

/// Writes a frame over the one before, line by line, so that nothing flickers; how many lines it has.
fn redraw(frame: &str, height: usize) -> std::io::Result<usize> {
    // What does not fit on the terminal could not be overwritten.
    let (_, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    let most = usize::from(rows.saturating_sub(1));
    let lines: Vec<&str> = frame.lines().take(most).collect();
    let mut out = if height > 0 { format!("\x1b[{height}A\r") } else { String::new() };
    for line in &lines {
        out += &format!("{line}\x1b[K\n");
    }
    out += "\x1b[J";
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(lines.len())
}
