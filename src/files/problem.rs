//! What is wrong with what the operator wrote: all of it at once, each where it stands.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing of this load is served; the old state keeps serving.
    Error,
    /// Legal, but hardly what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; none when it is the file as a whole.
    pub line: Option<usize>,
    /// The object, as the operator calls it (`record wss-primary.example.com`); may be empty.
    pub object: String,
    /// The field of the object; may be empty.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Problem {
    /// An error in a file.
    pub fn error(file: &Path, line: impl Into<Option<usize>>, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            file: file.into(),
            line: line.into(),
            object: String::new(),
            field: String::new(),
            message: message.into(),
        }
    }

    /// An error in what somebody asks for, which stands in no file.
    pub fn of_request(message: impl Into<String>) -> Problem {
        Problem::error(Path::new(""), None, message)
    }

    /// A warning about a file.
    pub fn warning(file: &Path, line: impl Into<Option<usize>>, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(file, line, message) }
    }

    /// The same, about this object.
    pub fn of(self, object: impl Into<String>) -> Problem {
        Problem { object: object.into(), ..self }
    }

    /// The same, about this field.
    pub fn at(self, field: impl Into<String>) -> Problem {
        Problem { field: field.into(), ..self }
    }

    /// `object: field: message`, leaving out what is empty: for what stands in no file.
    pub fn words(&self) -> String {
        let parts = [&self.object, &self.field, &self.message];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect::<Vec<&str>>()
            .join(": ")
    }
}

/// `file:line: error: object: field: message`, leaving out what is empty.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(match self.severity {
            Severity::Error => ": error: ",
            Severity::Warning => ": warning: ",
        })?;
        f.write_str(&self.words())
    }
}
