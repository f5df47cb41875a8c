//! One table in the syntax of `filter-chains/`: from a file to the body of a request, and back.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::files::{Document, Json};
use crate::state::text::written_out;

/// What stands for standard input.
const STDIN: &str = "-";
/// What begins what is PEM itself, and no file of it.
const PEM_BEGINS: &str = "-----BEGIN";

/// The fields of the table `[kind.NAME]` of a file, or of standard input.
///
/// # Errors
/// It cannot be read, is no TOML, or has no such table; it is named with what there is instead.
pub fn read(file: &Path, kind: &'static str, name: &str) -> anyhow::Result<Json> {
    let text = match file.to_str() {
        Some(STDIN) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => fs::read_to_string(file),
    };
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    let document = Document::new(file, &text);
    let tables = document.read().map(|mut root| root.named_tables(kind));
    let mut tables = tables.unwrap_or_default();
    let at = tables.iter().position(|(key, _)| key.value == name);
    let fields = at.map(|at| tables.swap_remove(at).1.to_json());
    let there_is: Vec<String> = tables.iter().map(|(key, _)| format!("[{kind}.{}]", key.value)).collect();
    drop(tables);
    let problems: Vec<String> = document.into_problems().iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    match (fields, there_is.is_empty()) {
        (Some(fields), _) => Ok(fields),
        (None, true) => bail!("{} has no table [{kind}.{name}]", file.display()),
        (None, false) => {
            bail!("{} has no table [{kind}.{name}]; it has {}", file.display(), there_is.join(", "))
        }
    }
}

/// Puts the certificates that a monitor names beside its file into it: the server has no such file.
///
/// # Errors
/// They cannot be read.
pub fn take_authorities(file: &Path, fields: &mut Json) -> anyhow::Result<()> {
    let ca = fields.get_mut("tls").and_then(|tls| tls.get_mut("ca"));
    let Some(Value::String(ca)) = ca else { return Ok(()) };
    if !ca.trim_start().starts_with(PEM_BEGINS) {
        let path = file.parent().unwrap_or(Path::new("")).join(&*ca);
        *ca = fs::read_to_string(&path)
            .with_context(|| format!("tls.ca: {} cannot be read", path.display()))?;
    }
    Ok(())
}

/// The table as it would stand in a file. Its texts may have several lines; TOML writes out all else that drives
/// a terminal, and what it leaves is written out here.
pub fn write(kind: &str, name: &str, fields: &Value) -> String {
    let document = json!({ kind: { name: fields } });
    let text = toml::to_string(&document);
    let text = text.unwrap_or_else(|error| format!("# it cannot be written as TOML: {error}"));
    text.lines().map(|line| format!("{}\n", written_out(line))).collect()
}
