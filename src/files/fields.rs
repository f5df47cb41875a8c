//! Reading the operator's TOML so that every mistake is found at once and named by its line.
//!
//! ```text
//! text -> Document -> Fields (one table) -> At<T> (a value and its line)
//!            |           | wrong type, missing, unknown
//!            +-----------+-> Vec<Problem>
//! ```
//!
//! A getter takes its field out of the table; what is left when the table is finished is unknown, and
//! what was asked for is the list of known names. So a reader is written once, field by field, and
//! neither list can go stale.
//!
//! Deliberately absent: serde. It stops at the first error, and its values have no line.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use super::{Json, Problem};

/// A value and the line it stands on, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its line.
    pub line: usize,
}

impl<T> At<T> {
    /// Another value on the same line.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), line: self.line }
    }
}

/// One TOML file, and the problems found in it so far.
pub struct Document<'s> {
    file: &'s Path,
    text: &'s str,
    /// Where each line begins: every value asks for its line, and files of 100,000 values exist.
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Document<'s> {
    /// A file's text. The file is only named in problems, never opened.
    pub fn new(file: &'s Path, text: &'s str) -> Document<'s> {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        Document { file, text, line_starts, problems: RefCell::default() }
    }

    /// The file's outermost table. None when it is no TOML: every syntax error is then a problem, and the
    /// fields are not looked at, because half a table would only give false alarms.
    pub fn read(&'s self) -> Option<Fields<'s>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().map(|span| self.line(span.start));
            self.record(Problem::error(self.file, line, format!("no TOML: {}", error.message())));
        }
        errors.is_empty().then(|| Fields {
            document: self,
            object: String::new(),
            line: 1,
            table: table.into_inner(),
            known: Vec::new(),
        })
    }

    /// Adds a problem found by other means.
    pub fn record(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Everything found, by line.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    fn at<T>(&self, spanned: Spanned<T>) -> At<T> {
        At { line: self.line(spanned.span().start), value: spanned.into_inner() }
    }
}

/// One table of a file. Read its fields in any order, then [`Fields::finish`] it.
#[must_use = "an unfinished table does not report its unknown fields"]
pub struct Fields<'s> {
    document: &'s Document<'s>,
    /// What the operator calls it (`network 10.20.0.0/16`); set it as soon as it is known, and the
    /// problems found from then on are named so.
    pub object: String,
    /// The line it begins on.
    pub line: usize,
    table: DeTable<'s>,
    known: Vec<&'static str>,
}

impl<'s> Fields<'s> {
    /// Reports those of these fields that are not written. Call it before they are taken out.
    pub fn require(&mut self, names: &[&'static str]) {
        for name in names {
            if !self.table.contains_key(*name) {
                self.error(name, self.line, "missing; it must be written");
            }
        }
    }

    /// Whether a field is written and not yet taken out, be it right or wrong.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// What is left in it, as it was written; nothing where a number is beyond what numbers are here, which is
    /// an error of whoever reads it.
    pub fn to_json(&self) -> Json {
        let table = Deserializer::from(Spanned::new(0..0, self.table.clone()));
        Json::deserialize(table).unwrap_or_default()
    }

    /// Whether a field is a table.
    pub fn is_table(&self, name: &str) -> bool {
        self.table.get(name).is_some_and(|value| value.get_ref().is_table())
    }

    /// A text.
    pub fn text(&mut self, name: &'static str) -> Option<At<String>> {
        let value = self.value(name)?;
        self.as_text(name, value)
    }

    /// A text that means something.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<At<T>> {
        let text = self.text(name)?;
        self.parse(name, text)
    }

    /// A list of texts; a single one may stand without its brackets. Empty when not written.
    pub fn texts(&mut self, name: &'static str) -> Vec<At<String>> {
        let list = self.list(name);
        list.into_iter().filter_map(|value| self.as_text(name, value)).collect()
    }

    /// A list of texts that mean something; those that do not are reported and left out.
    pub fn parsed_list<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Vec<At<T>> {
        let texts = self.texts(name);
        texts.into_iter().filter_map(|text| self.parse(name, text)).collect()
    }

    /// The same for a library's type, whose errors name neither the text nor what to write.
    pub fn parsed_list_like<T: FromStr>(&mut self, name: &'static str, example: &str) -> Vec<At<T>> {
        let texts = self.texts(name);
        let parse = |At { value, line }: At<String>| match value.parse() {
            Ok(value) => Some(At { value, line }),
            Err(_) => {
                self.error(name, line, format!("`{value}` cannot be read; write one such as {example}"));
                None
            }
        };
        texts.into_iter().filter_map(parse).collect()
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str) -> Option<At<i64>> {
        let value = self.value(name)?;
        self.typed(name, value, "a whole number", |value| {
            let integer = value.as_integer()?;
            i64::from_str_radix(integer.as_str(), integer.radix()).ok()
        })
    }

    /// A whole number from `least` to `most`.
    pub fn integer_in(&mut self, name: &'static str, least: i64, most: i64) -> Option<At<i64>> {
        let number = self.integer(name)?;
        self.in_range(name, number, least, most)
    }

    /// A finite number, with or without a point.
    pub fn float(&mut self, name: &'static str) -> Option<At<f64>> {
        let value = self.value(name)?;
        self.typed(name, value, "a number", |value| {
            let number: f64 = match value {
                DeValue::Float(float) => float.as_str().parse().ok()?,
                DeValue::Integer(integer) => {
                    i64::from_str_radix(integer.as_str(), integer.radix()).ok()? as f64
                }
                _ => return None,
            };
            number.is_finite().then_some(number)
        })
    }

    /// A finite number from `least` to `most`.
    pub fn float_in(&mut self, name: &'static str, least: f64, most: f64) -> Option<At<f64>> {
        let number = self.float(name)?;
        self.in_range(name, number, least, most)
    }

    fn in_range<T>(&mut self, name: &'static str, number: At<T>, least: T, most: T) -> Option<At<T>>
    where
        T: PartialOrd + Display,
    {
        if number.value < least || number.value > most {
            let said = format!("{} is out of range; write {least} to {most}", number.value);
            self.error(name, number.line, said);
            return None;
        }
        Some(number)
    }

    /// A list of whole numbers; a single one may stand without its brackets.
    pub fn integers(&mut self, name: &'static str) -> Vec<At<i64>> {
        let list = self.list(name);
        let read = |value: &DeValue| match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        list.into_iter().filter_map(|value| self.typed(name, value, "a whole number", read)).collect()
    }

    /// A span of time as text, such as `30s`, `2m` or `1h 30m`.
    pub fn duration(&mut self, name: &'static str) -> Option<At<Duration>> {
        let text = self.text(name)?;
        match parse_duration(&text.value) {
            Ok(duration) => Some(text.map(|_| duration)),
            Err(message) => {
                self.error(name, text.line, message);
                None
            }
        }
    }

    /// A table whose keys are the operator's own and whose values are numbers, in the order they stand.
    pub fn named_floats(self, least: f64, most: f64) -> Vec<(At<String>, f64)> {
        let (document, object) = (self.document, self.object.clone());
        let mut numbers = Vec::new();
        for (key, At { value, line }) in self.into_values() {
            let number: Option<f64> = match &value {
                DeValue::Float(number) => number.as_str().parse().ok(),
                DeValue::Integer(number) => number.as_str().parse().ok(),
                _ => None,
            };
            match number.filter(|number| (least..=most).contains(number)) {
                Some(number) => numbers.push((key, number)),
                None => {
                    let message = format!("write a number from {least} to {most}");
                    document.record(Problem::error(document.file, line, message).of(&object).at(&key.value));
                }
            }
        }
        numbers
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Option<At<bool>> {
        let value = self.value(name)?;
        self.typed(name, value, "true or false", |value| value.as_bool())
    }

    /// A list of values of any type; a single value may stand without its brackets.
    pub fn list(&mut self, name: &'static str) -> Vec<At<DeValue<'s>>> {
        match self.value(name) {
            None => Vec::new(),
            Some(At { value: DeValue::Array(array), .. }) => {
                array.into_iter().map(|value| self.document.at(value)).collect()
            }
            Some(single) => vec![single],
        }
    }

    /// A table within this one (`[name]`).
    pub fn table(&mut self, name: &'static str) -> Option<Fields<'s>> {
        let value = self.value(name)?;
        self.as_table(name, value)
    }

    /// A list of tables within this one (`[[name]]`), in the order they stand.
    pub fn tables(&mut self, name: &'static str) -> Vec<Fields<'s>> {
        let list = self.list(name);
        list.into_iter().filter_map(|value| self.as_table(name, value)).collect()
    }

    /// The tables of a table whose keys are the operator's own names (`[name.dublin]`), in the order they
    /// stand.
    pub fn named_tables(&mut self, name: &'static str) -> Vec<(At<String>, Fields<'s>)> {
        let Some(table) = self.table(name) else { return Vec::new() };
        let tables = table.into_values().into_iter();
        tables.filter_map(|(key, value)| Some((key, self.as_table(name, value)?))).collect()
    }

    /// A value of any type, as it stands.
    pub fn value(&mut self, name: &'static str) -> Option<At<DeValue<'s>>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.table.remove(name).map(|value| self.document.at(value))
    }

    /// Every field that is left, as it stands and in that order: for a table whose keys are the
    /// operator's own, such as a filter's options.
    pub fn into_values(self) -> Vec<(At<String>, At<DeValue<'s>>)> {
        let mut values: Vec<_> = self.table.into_iter().collect();
        values.sort_by_key(|(key, _)| key.span().start);
        let at = |(key, value): (Spanned<DeString>, _)| {
            (self.document.at(key).map(|key| key.into_owned()), self.document.at(value))
        };
        values.into_iter().map(at).collect()
    }

    /// Reports the fields nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            let near = self.known.iter().filter(|known| strsim::damerau_levenshtein(name, known) <= 2);
            let instead = match near.min_by_key(|known| strsim::damerau_levenshtein(name, known)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", self.known.join(", ")),
            };
            self.error(name, self.document.line(key.span().start), format!("unknown field; {instead}"));
        }
    }

    /// Reports an error in one of the table's fields.
    pub fn error(&self, field: &str, line: usize, message: impl Into<String>) {
        self.document.record(Problem::error(self.document.file, line, message).of(&self.object).at(field));
    }

    /// Reports something suspicious about one of the table's fields.
    pub fn warning(&self, field: &str, line: usize, message: impl Into<String>) {
        self.document.record(Problem::warning(self.document.file, line, message).of(&self.object).at(field));
    }

    fn as_text(&self, name: &str, value: At<DeValue>) -> Option<At<String>> {
        self.typed(name, value, "a text in quotes", |value| value.as_str().map(String::from))
    }

    /// Another value of this table as a table of its own.
    pub fn as_table(&self, name: &str, At { value, line }: At<DeValue<'s>>) -> Option<Fields<'s>> {
        let DeValue::Table(table) = value else {
            self.wrong_type(name, line, "a table", &value);
            return None;
        };
        let object = self.object.clone();
        Some(Fields { document: self.document, object, line, table, known: Vec::new() })
    }

    fn typed<T>(
        &self,
        name: &str,
        At { value, line }: At<DeValue>,
        wanted: &str,
        read: impl FnOnce(&DeValue) -> Option<T>,
    ) -> Option<At<T>> {
        let read = read(&value);
        if read.is_none() {
            self.wrong_type(name, line, wanted, &value);
        }
        read.map(|value| At { value, line })
    }

    fn wrong_type(&self, name: &str, line: usize, wanted: &str, value: &DeValue) {
        let found = match value {
            DeValue::String(text) => format!("the text `{text}`"),
            DeValue::Integer(number) => format!("`{number}`"),
            DeValue::Float(number) => format!("`{number}`"),
            DeValue::Boolean(on) => format!("`{on}`"),
            DeValue::Datetime(_) => "a date".into(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        self.error(name, line, format!("write {wanted}, not {found}"));
    }

    fn parse<T: FromStr<Err: Display>>(&self, name: &str, At { value, line }: At<String>) -> Option<At<T>> {
        match value.parse() {
            Ok(value) => Some(At { value, line }),
            Err(error) => {
                self.error(name, line, T::Err::to_string(&error));
                None
            }
        }
    }
}

/// Reads a span of time as an operator writes it: `30s`, `2m`, `1h 30m`, `90d`.
///
/// # Errors
/// What to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // A day is 24 hours: nobody who writes 90d for a token thinks of a clock that is put forward.
    let span = text.parse::<jiff::Span>().ok();
    let read = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    let duration = read.and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| format!("`{text}` is no span of time; write one such as 30s, 2m or 1h 30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        let seconds = |text| parse_duration(text).map(|span| span.as_secs());
        let cases = [("30s", 30), ("2m", 120), ("1h 30m", 5400), ("90d", 7_776_000), ("1w", 604_800)];
        for (text, expect) in cases {
            assert_eq!(seconds(text), Ok(expect), "{text}");
        }
        for text in ["", "soon", "5", "-5s", "1 month"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    /// Reads one `[[cat]]` file and gives its problems.
    fn problems(text: &str) -> Vec<String> {
        let document = Document::new(Path::new("cats.toml"), text);
        if let Some(mut root) = document.read() {
            for mut cat in root.tables("cat") {
                cat.require(&["name"]);
                if let Some(name) = cat.text("name") {
                    cat.object = format!("cat {}", name.value);
                }
                cat.integer_in("lives", 0, 9);
                cat.float("weight");
                cat.flag("tame");
                cat.parsed_list_like::<std::net::IpAddr>("homes", "::1");
                cat.finish();
            }
            root.finish();
        }
        document.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_at_once() {
        let check = |text: &str, expect: &[&str]| assert_eq!(problems(text), expect, "{text}");
        check("", &[]);
        check("[[cat]]\nname = 'Tom'\nlives = 0x7\nweight = 4\ntame = true\nhomes = '::1'", &[]);
        check(
            "[[cat]]\nname = 'Tom'\nlives = 10\nwieght = 4.0\ntame = 'no'\nhomes = ['::1', 7]\ncolour = 1\n",
            &[
                "cats.toml:3: error: cat Tom: lives: 10 is out of range; write 0 to 9",
                "cats.toml:4: error: cat Tom: wieght: unknown field; did you mean `weight`?",
                "cats.toml:5: error: cat Tom: tame: write true or false, not the text `no`",
                "cats.toml:6: error: cat Tom: homes: write a text in quotes, not `7`",
                "cats.toml:7: error: cat Tom: colour: unknown field; known are name, lives, weight, tame, homes",
            ],
        );
        check(
            "\n[[cat]]\nweight = nan\nhomes = 'x'\n[[cat]]\nname = 1\n[dog]",
            &[
                "cats.toml:2: error: name: missing; it must be written",
                "cats.toml:3: error: weight: write a number, not `nan`",
                "cats.toml:4: error: homes: `x` cannot be read; write one such as ::1",
                "cats.toml:6: error: name: write a text in quotes, not `1`",
                "cats.toml:7: error: dog: unknown field; known are cat",
            ],
        );
        check("cat = 1", &["cats.toml:1: error: cat: write a table, not `1`"]);
    }

    #[test]
    fn syntax_errors_all_at_once_and_alone() {
        let found = problems("[[cat]]\nname = \nlives = 1 2\n[[cat]]\nlives = 77\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("cats.toml:2: error: no TOML: "), "{found:?}");
        assert!(found[1].starts_with("cats.toml:3: error: no TOML: "), "{found:?}");
    }

    #[test]
    fn names_of_the_operators_own_keep_their_order() {
        let document = Document::new(Path::new("x"), "[pop.b]\nn = 1\n[pop.a]\nn = 2\n");
        let mut root = document.read().unwrap();
        let pops = root.named_tables("pop");
        let seen: Vec<_> =
            pops.iter().map(|(key, fields)| (key.value.as_str(), key.line, fields.line)).collect();
        assert_eq!(seen, [("b", 1, 1), ("a", 3, 3)]);
        let values = pops.into_iter().flat_map(|(_, fields)| fields.into_values());
        let values: Vec<_> = values.map(|(key, value)| (key.value, value.line)).collect();
        assert_eq!(values, [("n".to_string(), 2), ("n".to_string(), 4)]);
    }
}
