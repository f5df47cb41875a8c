//! Texts that people write, such as reasons, and what of them is safe to show.
//!
//! A control character in a text drives the terminal of whoever reads it, begins a line of the log that nobody
//! wrote, or turns words around. The API takes none; what is shown may come from elsewhere (an older store, the
//! body of a probe), so whoever shows it writes them out.

use std::borrow::Cow;

/// Whether a character does something to the text around it instead of standing in it: the control characters,
/// the separators of lines and paragraphs, and those that turn the direction of what follows.
pub fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with control characters written out, as `\n` or `\u{1b}`.
pub fn written_out(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_control(character) { out.extend(character.escape_default()) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        let cases = [
            ("envoy fails", "envoy fails"),
            ("Zürich \u{1f30d}", "Zürich \u{1f30d}"),
            ("a\u{1b}[31mred\nb", "a\\u{1b}[31mred\\nb"),
            ("\u{9b}2J\u{7f}\t", "\\u{9b}2J\\u{7f}\\t"),
            ("up\u{202e}nwod\u{2028}", "up\\u{202e}nwod\\u{2028}"),
        ];
        for (text, expect) in cases {
            assert_eq!(written_out(text), expect);
        }
    }
}
