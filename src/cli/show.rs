//! How things look: tables that fit the terminal, colour where it is wanted, times and numbers as people
//! read them.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Width};

use super::outcome::{Outcome, Told};
use crate::state::model::Time;
use crate::state::text::is_control;

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

/// A table without lines: a head, and rows. Where the terminal is too narrow for it, texts of several words are
/// broken between them, and columns that can be done without are left out. Where that is not enough, each row is a
/// list of its cells under the first of them: words broken into pieces can be read by nobody.
pub struct Table {
    heads: Vec<Head>,
    rows: Vec<Vec<(String, Tone)>>,
}

struct Head {
    name: String,
    is_right: bool,
    wraps: bool,
    is_spare: bool,
}

/// A column that is shown: which, and the fewest letters it can do with; none where it stays as wide as it is.
struct Column {
    at: usize,
    least: Option<usize>,
}

/// The least columns for a text that may be broken into lines.
const WRAPPED_LEAST: usize = 14;
/// Between two columns.
const GAP: usize = 2;

impl Table {
    /// With these heads. `>` before one puts its column to the right, as numbers stand; `~` lets its texts be
    /// broken into lines; `?` before these leaves it out where there is no room, the first of them first.
    pub fn new(heads: &[&str]) -> Table {
        let head = |head: &&str| {
            let marked = head.trim_start_matches('?');
            Head {
                name: marked.trim_start_matches(['>', '~']).into(),
                is_right: marked.starts_with('>'),
                wraps: marked.starts_with('~'),
                is_spare: head.starts_with('?'),
            }
        };
        Table { heads: heads.iter().map(head).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        debug_assert_eq!(N, self.heads.len(), "a cell for each head");
        self.rows.push(cells.into());
    }

    /// The most that is measured of a column's texts.
    fn measure(&self, at: usize, measure: impl Fn(&str) -> usize) -> usize {
        let cells = self.rows.iter().map(|row| row[at].0.as_str());
        cells.chain([self.heads[at].name.as_str()]).map(measure).max().unwrap_or(0)
    }

    fn whole(&self, at: usize) -> usize {
        self.measure(at, |text| text.chars().count())
    }

    /// The longest word.
    fn word(&self, at: usize) -> usize {
        self.measure(at, |text| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0))
    }

    fn column(&self, at: usize) -> Column {
        let least = self.heads[at].wraps.then(|| self.whole(at).min(WRAPPED_LEAST));
        Column { at, least }
    }

    /// The letters that a column takes at least.
    fn now(&self, column: &Column) -> usize {
        column.least.unwrap_or_else(|| self.whole(column.at))
    }

    /// The letters that it could do with. A name that is one word stays one, so that it can be copied, and a number
    /// stays with its unit.
    fn narrowest(&self, column: &Column) -> usize {
        if self.heads[column.at].is_right {
            return self.now(column);
        }
        let words = self.word(column.at).min(self.now(column));
        if self.heads[column.at].wraps { words.min(WRAPPED_LEAST) } else { words }
    }

    fn least_width(&self, columns: &[Column]) -> usize {
        columns.iter().map(|column| GAP + self.now(column)).sum()
    }

    /// The columns that fit into a width; none if they cannot.
    fn fit(&self, width: usize) -> Option<Vec<Column>> {
        let mut columns: Vec<Column> = (0..self.heads.len()).map(|at| self.column(at)).collect();
        while columns.iter().map(|column| GAP + self.narrowest(column)).sum::<usize>() > width {
            let spare = columns.iter().position(|column| self.heads[column.at].is_spare)?;
            columns.remove(spare);
        }
        while self.least_width(&columns) > width {
            let saved = |column: &&mut Column| self.now(column) - self.narrowest(column);
            let widest = columns.iter_mut().max_by_key(saved)?;
            widest.least = Some(self.narrowest(widest));
        }
        Some(columns)
    }

    fn in_columns(&self, shown: &[Column], width: Option<u16>) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::TableStyle::new());
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => drop(table.set_content_arrangement(ContentArrangement::Disabled)),
        }
        if is_coloured() {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        let head =
            |column: &Column| Cell::new(&self.heads[column.at].name).add_attribute(Attribute::Underlined);
        table.set_header(shown.iter().map(head).collect::<Vec<_>>());
        for row in &self.rows {
            let cells = shown.iter().map(|column| &row[column.at]);
            table.add_row(cells.map(|(text, tone)| paint(Cell::new(text), *tone)));
        }
        for (column, Column { at, least }) in table.column_iter_mut().zip(shown) {
            column.set_padding((0, GAP as u16));
            if self.heads[*at].is_right {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_constraint(match least {
                None => ColumnConstraint::ContentWidth,
                Some(least) => ColumnConstraint::LowerBoundary(Width::Fixed((least + GAP) as u16)),
            });
        }
        table
    }

    /// Each row as a list.
    fn in_lists(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let longest = self.heads.iter().map(|head| head.name.chars().count()).max().unwrap_or(0);
        for row in &self.rows {
            writeln!(f, "{}", loud(&row[0].0, Tone::Plain))?;
            let cells = self.heads.iter().zip(row).skip(1).filter(|(_, cell)| !cell.0.is_empty());
            for (head, (text, _)) in cells {
                writeln!(f, "  {:<longest$}  {text}", head.name)?;
            }
        }
        Ok(())
    }
}

fn paint(cell: Cell, tone: Tone) -> Cell {
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let width = width();
        match self.fit(width.map_or(usize::MAX, usize::from)) {
            Some(columns) => self
                .in_columns(&columns, width)
                .lines()
                .try_for_each(|line| writeln!(f, "{}", line.trim_end())),
            None => self.in_lists(f),
        }
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

/// Prints to standard output, and to nobody where the pipe is closed: who closed it has read enough.
pub fn print_out(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The same to standard error.
pub fn print_err(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// JSON with the control characters that JSON itself leaves in texts written out.
pub fn json_text(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => out.push('\n'),
            other if is_control(other) => out += &format!("\\u{:04x}", u32::from(other)),
            other => out.push(other),
        }
    }
    out
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
    format!("{}, {}", clock(time, now), distance(time, now))
}

/// How far a moment is from now: `4 min ago`, `in 3 h 50 min`.
pub fn distance(time: Time, now: Time) -> String {
    let seconds = now.as_second() - time.as_second();
    let far = span(seconds.unsigned_abs());
    if seconds >= 0 { format!("{far} ago") } else { format!("in {far}") }
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
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(frame.as_bytes()).and_then(|()| stdout.flush());
            // Who closed the pipe has read enough.
            if written.is_err() {
                return Ok(told.outcome);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        let cases = [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (-1_234_567.25, "-1,234,567.25")];
        for (is, expect) in cases {
            assert_eq!(number(is), expect);
        }
        assert_eq!([percent(12.34), percent(100.0), percent(None)], ["12.3 %", "100 %", "-"]);
    }

    #[test]
    fn spans_and_moments_as_people_read_them() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_725, "1 h 2 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, expect) in cases {
            assert_eq!(span(seconds), expect);
        }
        let at = |text: &str| text.parse::<Time>().unwrap();
        let now = at("2026-11-24T02:14:00Z");
        assert_eq!(moment(at("2026-11-24T02:10:00Z"), now), "02:10Z, 4 min ago");
        assert_eq!(moment(at("2026-11-25T02:00:00Z"), now), "2026-11-25 02:00Z, in 23 h 46 min");
    }
}
