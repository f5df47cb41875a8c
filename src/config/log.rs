//! The level of the log: how much is told, of the whole program and of parts of it.
//!
//! ```text
//! LEVEL {, PART=LEVEL}     info     info,rhumb::listeners=debug     warn,hickory_resolver=error
//! ```
//!
//! `tracing-subscriber` takes any word for the name of a part, and then says nothing of all the others: one typing
//! error, and the log is silent, with who changed what. So a level must be one, a part must be there, and what is
//! not named has a level too.

use tracing_subscriber::EnvFilter;

/// From the fewest lines to the most.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// This program, and its rooms.
const ROOMS: [&str; 12] = [
    "rhumb",
    "rhumb::api",
    "rhumb::chain",
    "rhumb::cli",
    "rhumb::config",
    "rhumb::engine",
    "rhumb::files",
    "rhumb::geo",
    "rhumb::health",
    "rhumb::listeners",
    "rhumb::state",
    "rhumb::wire",
];

/// Libraries that write to the log.
const LIBRARIES: [&str; 5] = ["h2", "hickory_net", "hickory_proto", "hickory_resolver", "hyper_util"];

/// What to write, at the end of every message.
const ADVICE: &str = "write error, warn, info, debug or trace, and after it parts with levels of their own: \
                      info,rhumb::listeners=debug";

/// The filter that a text means, or what is wrong with it and what to write.
pub fn parse_level(text: &str) -> Result<EnvFilter, String> {
    let mut has_level = false;
    for item in text.split(',').map(str::trim) {
        match item.split_once('=') {
            Some((part, level)) => {
                check_part(part.trim())?;
                check_level(level.trim())?;
            }
            None => {
                check_level(item)?;
                if has_level {
                    return Err(format!("`{text}` has two levels for the whole; {ADVICE}"));
                }
                has_level = true;
            }
        }
    }
    if !has_level {
        return Err(format!("`{text}` leaves what it does not name without a level; {ADVICE}"));
    }
    let spaceless: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    EnvFilter::try_new(spaceless).map_err(|error| format!("`{text}`: {error}; {ADVICE}"))
}

fn check_level(word: &str) -> Result<(), String> {
    match word {
        "" => Err(format!("a level is missing; {ADVICE}")),
        word if LEVELS.contains(&word.to_ascii_lowercase().as_str()) => Ok(()),
        word => Err(format!("`{word}` is no level; {ADVICE}")),
    }
}

fn check_part(word: &str) -> Result<(), String> {
    if ROOMS.contains(&word) || LIBRARIES.contains(&word) {
        return Ok(());
    }
    let known: Vec<&str> = ROOMS.into_iter().chain(LIBRARIES).collect();
    Err(format!("`{word}` is no part that writes to the log; there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_level() {
        for good in ["info", "WARN", "trace", "info,rhumb::listeners=debug", "rhumb=debug, warn,h2=error"] {
            assert!(parse_level(good).is_ok(), "{good}");
        }
        let bad = [
            ("", "a level is missing"),
            ("nonsense", "`nonsense` is no level"),
            ("off", "`off` is no level"),
            ("info,", "a level is missing"),
            ("info,debug", "two levels for the whole"),
            ("info,rhumb=loud", "`loud` is no level"),
            ("info,rhumb::listner=debug", "`rhumb::listner` is no part"),
            ("info,[span]=debug", "`[span]` is no part"),
            ("rhumb::listeners=debug", "leaves what it does not name without a level"),
        ];
        for (text, expect) in bad {
            let why = parse_level(text).unwrap_err();
            assert!(why.contains(expect), "{text}: {why}");
        }
    }

    #[test]
    fn the_rooms_are_those_of_the_program() {
        let map = include_str!("../lib.rs");
        let rooms = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let rooms: Vec<String> =
            std::iter::once("rhumb".into()).chain(rooms.map(|room| format!("rhumb::{room}"))).collect();
        assert_eq!(rooms, ROOMS);
    }
}
