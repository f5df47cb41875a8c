//! What the operator wrote beside a filter's name.
//!
//! NS1 and its clients write one option in many shapes (`1`, `"1"`, `true`, `"true"`); all are taken
//! (GO, TF and OCTO in the notes on NS1), and what was written is kept verbatim in the model.

use std::collections::BTreeMap;

/// One option's value as written.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// A text.
    Text(String),
}

/// As it is written in a file.
impl std::fmt::Display for OptionValue {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            OptionValue::Bool(on) => write!(f, "{on}"),
            OptionValue::Integer(number) => write!(f, "{number}"),
            OptionValue::Float(number) => write!(f, "{number}"),
            OptionValue::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A filter's options, in the order of their names.
pub type Options = BTreeMap<String, OptionValue>;

/// Why a filter cannot be compiled: which option, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", .option.as_ref().map(|o| format!("option `{o}`: ")).unwrap_or_default())]
pub struct SpecError {
    /// The option at fault; none when it is the filter as a whole.
    pub option: Option<String>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl SpecError {
    /// An error of the filter as a whole.
    pub fn new(message: impl Into<String>) -> SpecError {
        SpecError { option: None, message: message.into() }
    }

    fn option(option: &str, message: impl Into<String>) -> SpecError {
        SpecError { option: Some(option.into()), message: message.into() }
    }
}

/// Refuses options the filter does not know, and one that is written twice with two values. `known` is
/// matched without regard to case, as `N` and `n` are the same option.
pub fn refuse_unknown(options: &Options, known: &[&str]) -> Result<(), SpecError> {
    for name in options.keys() {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            let takes = match known {
                [] => "this filter takes no option".to_string(),
                known => format!("it takes {}", known.join(", ")),
            };
            return Err(SpecError::option(name, format!("unknown; {takes}")));
        }
    }
    for (name, value) in options {
        let twin = options.iter().find(|(other, _)| name < *other && name.eq_ignore_ascii_case(other));
        if let Some((other, said)) = twin.filter(|(_, said)| *said != value) {
            let message = format!("is {value}, and `{other}` is {said}, which is the same option; keep one");
            return Err(SpecError::option(name, message));
        }
    }
    Ok(())
}

fn get<'o>(options: &'o Options, name: &str) -> Option<&'o OptionValue> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A switch; `default` when not written.
pub fn flag(options: &Options, name: &str, default: bool) -> Result<bool, SpecError> {
    let text = match get(options, name) {
        None => return Ok(default),
        Some(OptionValue::Bool(on)) => return Ok(*on),
        Some(OptionValue::Integer(number)) => number.to_string(),
        Some(OptionValue::Float(number)) => number.to_string(),
        Some(OptionValue::Text(text)) => text.to_ascii_lowercase(),
    };
    match text.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(SpecError::option(name, format!("`{other}` is no switch; write true or false"))),
    }
}

/// A whole number of at least 1; `default` when not written.
pub fn count(options: &Options, name: &str, default: usize) -> Result<usize, SpecError> {
    let number = match get(options, name) {
        None => return Ok(default),
        Some(OptionValue::Integer(number)) => usize::try_from(*number).ok(),
        Some(OptionValue::Text(text)) => text.parse().ok(),
        Some(OptionValue::Bool(_) | OptionValue::Float(_)) => None,
    };
    match number {
        Some(number) if number >= 1 => Ok(number),
        _ => Err(SpecError::option(name, "write a whole number of at least 1")),
    }
}

/// One of a few words; the first is the default.
pub fn choice<'c>(options: &Options, name: &str, words: &[&'c str]) -> Result<&'c str, SpecError> {
    match get(options, name) {
        None => Ok(words[0]),
        Some(OptionValue::Text(text)) => words.iter().find(|word| *word == text).copied().ok_or_else(|| {
            SpecError::option(name, format!("`{text}` is unknown; write {}", words.join(" or ")))
        }),
        Some(_) => Err(SpecError::option(name, format!("write {}", words.join(" or ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(value: OptionValue) -> Options {
        Options::from([("N".to_string(), value)])
    }

    #[test]
    fn every_shape_of_ns1_clients() {
        let text = |t: &str| OptionValue::Text(t.into());
        for value in [text("1"), text("true"), OptionValue::Bool(true), OptionValue::Integer(1)] {
            assert_eq!(flag(&options(value), "n", false), Ok(true));
        }
        for value in [text("3"), OptionValue::Integer(3)] {
            assert_eq!(count(&options(value), "n", 1), Ok(3));
        }
        for value in [text("0"), text("x"), OptionValue::Integer(-1), OptionValue::Bool(true)] {
            assert!(count(&options(value), "n", 1).is_err());
        }
        assert!(refuse_unknown(&options(text("1")), &["n"]).is_ok());
        let error = refuse_unknown(&options(text("1")), &["eliminate"]).unwrap_err();
        assert_eq!(error.to_string(), "option `N`: unknown; it takes eliminate");
        let both = |n, other| Options::from([("N".to_string(), n), ("n".to_string(), other)]);
        let error = refuse_unknown(&both(text("3"), OptionValue::Integer(1)), &["n"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "option `N`: is \"3\", and `n` is 1, which is the same option; keep one"
        );
        assert!(refuse_unknown(&both(text("3"), text("3")), &["n"]).is_ok());
    }
}
