//! Master file text to entries: the lexical half of RFC 1035 section 5.1.

/// A master file, entry by entry.
pub(super) struct Entries<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

/// How an entry begins.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    /// Its first line, from 1.
    pub line: usize,
    /// It begins with a blank, so it has no owner of its own.
    pub starts_blank: bool,
}

/// One item of an entry, its escapes still in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'t> {
    pub text: &'t [u8],
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// No quote in it.
    Plain,
    /// Stood in quotes, which are taken off.
    Quoted,
    /// A word with a part in quotes, which are still there: `alpn="h2,h3"`.
    Mixed,
}

/// What cannot be split, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Flaw {
    pub line: usize,
    pub message: String,
}

impl<'t> Entries<'t> {
    /// The entries of this text; a byte order mark at its front is passed over.
    pub fn new(text: &'t [u8]) -> Entries<'t> {
        Entries { text, at: if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }, line: 1 }
    }

    /// How many bytes have been read.
    pub fn done_bytes(&self) -> usize {
        self.at
    }

    /// The next entry that holds anything; its items are put into `tokens`. A flawed entry is passed
    /// over, and reading goes on behind it.
    pub fn next(&mut self, tokens: &mut Vec<Token<'t>>) -> Option<Result<Head, Flaw>> {
        while let Some(first) = self.text.get(self.at) {
            tokens.clear();
            let head = Head { line: self.line, starts_blank: matches!(first, b' ' | b'\t') };
            match self.split(tokens) {
                Err(flaw) => return Some(Err(flaw)),
                Ok(()) if tokens.is_empty() => {}
                Ok(()) => return Some(Ok(head)),
            }
        }
        None
    }

    fn split(&mut self, tokens: &mut Vec<Token<'t>>) -> Result<(), Flaw> {
        let mut flaw = None;
        let mut open = None; // Where the parenthesis stands that is open.
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'\n' => {
                    self.end_line();
                    if open.is_none() {
                        break;
                    }
                }
                b' ' | b'\t' => self.at += 1,
                b'\r' if matches!(self.text.get(self.at + 1), None | Some(b'\n')) => self.at += 1,
                b';' => self.at = self.line_end(self.at),
                b'(' if open.is_some() => break,
                b'(' => {
                    open = Some((self.at, self.line));
                    self.at += 1;
                }
                b')' => {
                    if open.take().is_none() {
                        flaw.get_or_insert(self.flaw("`)` closes what was never opened"));
                    }
                    self.at += 1;
                }
                byte if is_control(byte) => {
                    let what = format!("byte {byte} is a control character; write it as `\\{byte:03}`");
                    flaw.get_or_insert(self.flaw(what));
                    self.at += 1;
                }
                _ => match self.token() {
                    Ok(token) => tokens.push(token),
                    Err(here) => drop(flaw.get_or_insert(here)),
                },
            }
        }
        if let Some((at, line)) = open {
            // Parentheses do not nest, so at the next one, or at the end of the file, this one was
            // forgotten. We go on at the line after it: what it swallowed is still looked at, and as
            // that holds no other parenthesis, nothing is looked at more than twice.
            self.at = self.line_end(at);
            self.line = line;
            self.end_line();
            return Err(Flaw { line, message: "`(` is never closed; write `)` behind the last item".into() });
        }
        flaw.map_or(Ok(()), Err)
    }

    fn token(&mut self) -> Result<Token<'t>, Flaw> {
        let start = self.at;
        if self.text[start] == b'"' {
            self.quoted()?;
            return Ok(Token { text: &self.text[start + 1..self.at - 1], shape: Shape::Quoted });
        }
        let mut shape = Shape::Plain;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    shape = Shape::Mixed;
                    self.quoted()?;
                }
                b'\\' => self.escape()?,
                b' ' | b';' | b'(' | b')' => break,
                byte if byte == b'\t' || is_control(byte) => break,
                _ => self.at += 1,
            }
        }
        Ok(Token { text: &self.text[start..self.at], shape })
    }

    /// Passes over a quoted text, its quotes included. It ends on its line: RFC 1035 lets it run on,
    /// but then one forgotten quote would swallow the file.
    fn quoted(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(&byte) if byte == b'\t' || !is_control(byte) => self.at += 1,
                None | Some(b'\n' | b'\r') => {
                    return Err(
                        self.flaw("`\"` is never closed on this line; write another one behind the text")
                    );
                }
                Some(byte) => {
                    let what = format!("byte {byte} is a control character; write it as `\\{byte:03}`");
                    let flaw = self.flaw(what);
                    self.at += 1;
                    return Err(flaw);
                }
            }
        }
    }

    /// Passes over a backslash and the byte it protects.
    fn escape(&mut self) -> Result<(), Flaw> {
        self.at += 1;
        match self.text.get(self.at) {
            None | Some(b'\n' | b'\r') => {
                Err(self.flaw("nothing follows the backslash; write `\\\\` for a backslash itself"))
            }
            Some(_) => {
                self.at += 1;
                Ok(())
            }
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..].iter().position(|&byte| byte == b'\n').map_or(self.text.len(), |len| from + len)
    }

    /// Passes over the end of a line, which the end of the file may stand for.
    fn end_line(&mut self) {
        self.at = (self.at + 1).min(self.text.len());
        self.line += 1;
    }

    fn flaw(&self, message: impl Into<String>) -> Flaw {
        Flaw { line: self.line, message: message.into() }
    }
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7F
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &[u8]) -> Vec<String> {
        let mut entries = Entries::new(text);
        let mut tokens = Vec::new();
        let mut lines = Vec::new();
        while let Some(entry) = entries.next(&mut tokens) {
            lines.push(match entry {
                Err(flaw) => format!("{}! {}", flaw.line, flaw.message),
                Ok(head) => {
                    let mut line = format!("{}{}", head.line, if head.starts_blank { "_" } else { ":" });
                    for token in &tokens {
                        let text = String::from_utf8_lossy(token.text);
                        line += &match token.shape {
                            Shape::Plain => format!(" {text}"),
                            Shape::Quoted => format!(" <{text}>"),
                            Shape::Mixed => format!(" ~{text}"),
                        };
                    }
                    line
                }
            });
        }
        lines
    }

    #[test]
    fn entries() {
        let check = |text: &str, expect: &[&str]| assert_eq!(split(text.as_bytes()), expect, "{text:?}");
        check("", &[]);
        check("\n \n ; only a comment\n", &[]);
        check("a b c", &["1: a b c"]);
        check("a\tb ; c\r\n\td\r\n", &["1: a b", "2_ d"]);
        check("a (b\n c ; x )\n\n d) e\nf", &["1: a b c d e", "5: f"]);
        check("a(b)c", &["1: a b c"]);
        check("\u{FEFF}a", &["1: a"]);
        check(r#"a "b; (c) \" d" e"#, &[r#"1: a <b; (c) \" d> e"#]);
        check(r#"a ""b"#, &["1: a <> b"]);
        check(r#"a k="b c" d"#, &[r#"1: a ~k="b c" d"#]);
        check(r"a\ b\;c \(", &[r"1: a\ b\;c \("]);
        check("a )\nb", &["1! `)` closes what was never opened", "2: b"]);
        check(
            "a \"b\nc",
            &["1! `\"` is never closed on this line; write another one behind the text", "2: c"],
        );
        check("a\\\nb", &["1! nothing follows the backslash; write `\\\\` for a backslash itself", "2: b"]);
        check("a\0b\nc", &["1! byte 0 is a control character; write it as `\\000`", "2: c"]);
        check("a\rb", &["1! byte 13 is a control character; write it as `\\013`"]);
        let forgotten = "`(` is never closed; write `)` behind the last item";
        check("x\na (b\n c\nd", &["1: x", &format!("2! {forgotten}"), "3_ c", "4: d"]);
        check("a (b\nc (d)\ne", &[&format!("1! {forgotten}"), "2: c d", "3: e"]);
        check("a ((b)\nc", &[&format!("1! {forgotten}"), "2: c"]);
        check("(", &[&format!("1! {forgotten}")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split(text in proptest::collection::vec(prop_oneof![
            any::<u8>(), proptest::sample::select(&b"()\"\\;\n\r\t $@.ab1"[..])
        ], 0..200)) {
            let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
            let mut entries = Entries::new(&text);
            let mut tokens = Vec::new();
            let mut last = 0;
            while let Some(entry) = entries.next(&mut tokens) {
                let line = match entry {
                    Ok(head) => {
                        prop_assert!(head.line > last, "an entry begins on its own line");
                        last = head.line;
                        head.line
                    }
                    Err(flaw) => flaw.line,
                };
                prop_assert!((1..=lines).contains(&line));
            }
        }
    }
}
