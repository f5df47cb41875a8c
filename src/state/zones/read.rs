//! Entries to records: directives, owner names, and the defaults of TTL and class.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::{Entries, Shape, Token};
use super::rdata::{self, Fault, read_name, read_time, shown};
use super::settle::settle;
use super::types::{SOA, refusal, type_code, type_name};
use super::{Progress, ZoneRecord, ZoneText};
use crate::files::{Problem, Severity};
use crate::wire::Name;

/// How deep files may include each other. A zone that needs more is hardly one a person keeps.
const INCLUDE_DEPTH_MAX: usize = 16;
/// How many files a zone may include in all: files that include two others each would otherwise keep us
/// reading for ever, cycles or not.
const INCLUDES_MAX: usize = 1000;
/// How many entries lie between two reports of progress.
const PROGRESS_ENTRIES: usize = 4096;

/// Reads one zone file. `$INCLUDE` stays inside `zones_dir`. What is wrong goes to `problems`.
pub fn read_zone(file: &Path, zones_dir: &Path, problems: &mut Vec<Problem>) -> ZoneText {
    let mut seen = Progress { done_bytes: 0, all_bytes: 0 };
    read_zone_with(file, zones_dir, problems, &mut seen, &mut |_| {})
}

/// The same with a report of how far it has come; `seen` counts on over several zones.
pub(super) fn read_zone_with(
    file: &Path,
    zones_dir: &Path,
    problems: &mut Vec<Problem>,
    seen: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> ZoneText {
    let text = read_file(file).unwrap_or_else(|why| {
        problems.push(Problem::error(file, None, why));
        Vec::new()
    });
    read_with(&text, file, zones_dir, problems, seen, progress)
}

/// Reads a zone from bytes that stand for this file.
pub fn read_zone_text(text: &[u8], file: &Path, zones_dir: &Path, problems: &mut Vec<Problem>) -> ZoneText {
    let mut seen = Progress { done_bytes: 0, all_bytes: 0 };
    read_with(text, file, zones_dir, problems, &mut seen, &mut |_| {})
}

fn read_with(
    text: &[u8],
    file: &Path,
    zones_dir: &Path,
    problems: &mut Vec<Problem>,
    seen: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> ZoneText {
    let before = problems.len();
    let named = origin_of(file);
    let mut reader = Reader {
        zones_dir,
        problems,
        records: Vec::new(),
        files: vec![file.into()],
        open: fs::canonicalize(file).into_iter().collect(),
        soa: None,
        default_ttl: None,
        last_ttl: None,
        seen,
        progress,
    };
    reader.read(text, file, Scope { origin: named.clone(), ..Scope::default() });
    let Reader { mut records, files, soa, .. } = reader;
    let origin = match (named, soa) {
        (Some(named), Some((owner, _))) if owner == named => named,
        (_, Some((_, Some(stated)))) => stated,
        (Some(named), _) => named,
        (None, Some((owner, None))) => owner,
        (None, None) => {
            let message = "which zone is this? Name the file after it (example.com.zone), or write $ORIGIN";
            problems.push(Problem::error(file, None, message));
            Name::root()
        }
    };
    settle(&mut records, problems);
    problems[before..].sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let complete = problems[before..].iter().all(|problem| problem.severity != Severity::Error);
    ZoneText { origin, file: file.into(), records, files, complete }
}

/// The zone a file is named after.
fn origin_of(file: &Path) -> Option<Name> {
    let name = file.file_name()?.as_encoded_bytes();
    let name = name.strip_suffix(b".zone").filter(|name| name.is_ascii())?;
    Name::parse(name, Some(&Name::root())).ok()
}

/// What a file has for itself: what an included file makes of it ends with that file (RFC 1035 section
/// 5.1 says so of the origin). TTLs go on from file to file, so that a zone may include its head.
#[derive(Default)]
struct Scope {
    origin: Option<Name>,
    /// The origin was written and does not come from the file's name.
    origin_is_stated: bool,
    owner: Owner,
}

#[derive(Default)]
enum Owner {
    /// None was written yet.
    #[default]
    Missing,
    /// One was written that cannot be read: what follows under it is not complained of again.
    Broken,
    Known(Name),
}

struct Reader<'a> {
    zones_dir: &'a Path,
    problems: &'a mut Vec<Problem>,
    records: Vec<ZoneRecord>,
    files: Vec<PathBuf>,
    /// The files we are in, with symbolic links resolved: to see cycles.
    open: Vec<PathBuf>,
    /// Where the first SOA stands: its owner, and the origin in force if it was stated.
    soa: Option<(Name, Option<Name>)>,
    /// `$TTL` (RFC 2308 section 4).
    default_ttl: Option<u32>,
    /// The TTL last written on a record (RFC 1035 section 5.1).
    last_ttl: Option<u32>,
    seen: &'a mut Progress,
    progress: &'a mut dyn FnMut(Progress),
}

impl Reader<'_> {
    fn read(&mut self, text: &[u8], file: &Path, mut scope: Scope) {
        let file: Arc<Path> = file.into();
        let mut entries = Entries::new(text);
        let mut tokens = Vec::new();
        let mut reported = 0;
        for count in 0.. {
            if count % PROGRESS_ENTRIES == 0 {
                self.report(entries.done_bytes() - mem::replace(&mut reported, entries.done_bytes()));
            }
            let head = match entries.next(&mut tokens) {
                None => break,
                Some(Ok(head)) => head,
                Some(Err(flaw)) => {
                    self.problems.push(Problem::error(&file, flaw.line, flaw.message));
                    continue;
                }
            };
            let place = Place { file: &file, line: head.line };
            match tokens[0] {
                Token { text: name @ [b'$', ..], shape: Shape::Plain } if !head.starts_blank => {
                    if let Err(fault) = self.directive(name, &tokens[1..], &mut scope, &place) {
                        self.problems.push(place.error(fault).of(String::from_utf8_lossy(name)));
                    }
                }
                _ => self.record(head.starts_blank, &tokens, &mut scope, &place),
            }
        }
        self.report(text.len() - reported);
    }

    fn report(&mut self, bytes: usize) {
        self.seen.done_bytes += bytes as u64;
        (self.progress)(*self.seen);
    }

    fn directive(
        &mut self,
        name: &[u8],
        items: &[Token],
        scope: &mut Scope,
        place: &Place,
    ) -> Result<(), Fault> {
        match (name.to_ascii_uppercase().as_slice(), items) {
            (b"$ORIGIN", [origin]) => {
                scope.origin = Some(read_name(origin, scope.origin.as_ref(), &mut Vec::new())?);
                scope.origin_is_stated = true;
            }
            (b"$TTL", [ttl]) => self.default_ttl = Some(read_time(&shown(ttl))?),
            (b"$INCLUDE", [path]) => return self.include(path, scope, None, place),
            (b"$INCLUDE", [path, origin]) => {
                let origin = read_name(origin, scope.origin.as_ref(), &mut Vec::new())?;
                return self.include(path, scope, Some(origin), place);
            }
            (b"$ORIGIN", _) => return Err("write one name: $ORIGIN example.com.".into()),
            (b"$TTL", _) => return Err("write one time: $TTL 1h".into()),
            (b"$INCLUDE", _) => return Err("write a path and perhaps an origin: $INCLUDE hosts.inc".into()),
            (b"$GENERATE", _) => return Err("this is not read; write the records out, or a wildcard".into()),
            _ => return Err("this is no directive; there are $ORIGIN, $TTL and $INCLUDE".into()),
        }
        Ok(())
    }

    fn include(
        &mut self,
        path: &Token,
        scope: &Scope,
        origin: Option<Name>,
        place: &Place,
    ) -> Result<(), Fault> {
        if path.shape == Shape::Mixed {
            return Err("put the whole path in quotes".into());
        }
        let path = String::from_utf8(rdata::unescape_text(path.text)?)
            .map_err(|_| "the path is not UTF-8; rename the file")?;
        if Path::new(&path).is_absolute() {
            return Err(format!("`{path}` is absolute; write it relative to this file").into());
        }
        if self.open.len() > INCLUDE_DEPTH_MAX {
            return Err(format!("files include each other more than {INCLUDE_DEPTH_MAX} deep").into());
        }
        if self.files.len() > INCLUDES_MAX {
            return Err(format!("the zone includes more than {INCLUDES_MAX} files").into());
        }
        let file = place.file.parent().unwrap_or(Path::new("")).join(&path);
        // Looked at after all links are followed, so neither `..` nor a link leads out.
        let real = fs::canonicalize(&file).map_err(|e| format!("`{path}` cannot be read: {e}"));
        let inside = fs::canonicalize(self.zones_dir)
            .map_err(|e| format!("{} cannot be read: {e}", self.zones_dir.display()));
        let escapes = real.as_ref().is_ok_and(|real| inside.as_ref().is_ok_and(|dir| !real.starts_with(dir)));
        if escapes {
            let dir = self.zones_dir.display();
            return Err(format!("`{path}` lies outside of {dir}; move the file into it").into());
        }
        self.files.push(file.clone()); // Missing ones too: their coming is a change.
        let (real, _) = (real?, inside?);
        if self.open.contains(&real) {
            return Err(format!(
                "`{path}` is being read already; files must not include each other in a circle"
            )
            .into());
        }
        let text = read_file(&real)?;
        self.seen.all_bytes += text.len() as u64;
        self.open.push(real);
        let inner = Scope {
            origin_is_stated: scope.origin_is_stated || origin.is_some(),
            origin: origin.or_else(|| scope.origin.clone()),
            owner: Owner::Missing,
        };
        self.read(&text, &file, inner);
        self.open.pop();
        Ok(())
    }

    fn record(&mut self, starts_blank: bool, tokens: &[Token], scope: &mut Scope, place: &Place) {
        let mut doubts = Vec::new();
        let mut rest = tokens;
        if !starts_blank {
            scope.owner = match read_name(&tokens[0], scope.origin.as_ref(), &mut doubts) {
                Ok(owner) => Owner::Known(owner),
                Err(why) => {
                    self.problems.push(place.error(why.into()));
                    Owner::Broken
                }
            };
            rest = &tokens[1..];
        }
        let owner = match &scope.owner {
            Owner::Known(owner) => owner,
            Owner::Broken => return,
            Owner::Missing => {
                let why = "the line has no owner name and none stands before it; begin it with a name or @";
                return self.problems.push(place.error(why.into()));
            }
        };
        let (ttl, code, items) = match head(rest) {
            Ok(head) => head,
            Err(fault) => return self.problems.push(place.error(fault).of(owner.to_string())),
        };
        // Written for messages only: a hundred thousand good records never need it.
        let object = || format!("{owner} {}", type_name(code));
        self.last_ttl = ttl.or(self.last_ttl);
        if code == SOA && self.soa.is_none() {
            let stated = scope.origin.clone().filter(|_| scope.origin_is_stated);
            self.soa = Some((owner.clone(), stated));
        }
        let read = match refusal(code) {
            Some(why) => Err(why.into()),
            None => rdata::read(code, items, scope.origin.as_ref(), &mut doubts),
        };
        let rdata = match read {
            Ok(rdata) => rdata,
            Err(fault) => return self.problems.push(place.error(fault).of(object())),
        };
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl).unwrap_or_else(|| {
            let why = "there is none; write $TTL 1h at the top, or a TTL before the type";
            self.problems.push(place.error(Fault::at("ttl", why)).of(object()));
            // Said once: the next records of this zone would all say the same.
            *self.last_ttl.insert(0)
        });
        for doubt in doubts {
            self.problems.push(Problem::warning(place.file, place.line, doubt).of(object()));
        }
        let (owner, file) = (owner.clone(), place.file.clone());
        self.records.push(ZoneRecord { owner, record_type: code, ttl, rdata, file, line: place.line });
    }
}

/// TTL and class, in either order and each at most once, then the type; the rest is the data.
fn head<'s, 't>(tokens: &'s [Token<'t>]) -> Result<(Option<u32>, u16, &'s [Token<'t>]), Fault> {
    let (mut ttl, mut class) = (None, false);
    for (place, token) in tokens.iter().enumerate() {
        if token.shape != Shape::Plain {
            return Err(format!("`{}` has quotes; a TTL, class or type has none", shown(token)).into());
        }
        if token.text[0].is_ascii_digit() && ttl.is_none() {
            ttl = Some(read_time(&shown(token)).map_err(|why| Fault::at("ttl", why))?);
        } else if is_class(token.text) && !class {
            if !token.text.eq_ignore_ascii_case(b"IN") && !token.text.eq_ignore_ascii_case(b"CLASS1") {
                let why = format!("`{}` is not served; only the class IN is, so leave it out", shown(token));
                return Err(Fault::at("class", why));
            }
            class = true;
        } else {
            let code = type_code(token.text).ok_or_else(|| {
                let why =
                    "is no record type we know; write TYPE<number> \\# <length> <hexadecimal> (RFC 3597)";
                Fault::at("type", format!("`{}` {why}", shown(token)))
            })?;
            return Ok((ttl, code, &tokens[place + 1..]));
        }
    }
    Err(Fault::at("type", "it is missing; write it behind the owner name and the TTL"))
}

fn is_class(word: &[u8]) -> bool {
    let named: [&[u8]; 4] = [b"IN", b"CH", b"HS", b"CS"];
    named.iter().any(|class| class.eq_ignore_ascii_case(word))
        || word.split_at_checked(5).is_some_and(|(prefix, number)| {
            prefix.eq_ignore_ascii_case(b"CLASS") && number.iter().all(u8::is_ascii_digit)
        })
}

/// Reads a file whole. Anything else than a file is refused: a pipe would hold us up for ever.
fn read_file(file: &Path) -> Result<Vec<u8>, String> {
    let told = |e: std::io::Error| format!("it cannot be read: {e}");
    if !fs::metadata(file).map_err(told)?.is_file() {
        return Err("it is not a file".into());
    }
    fs::read(file).map_err(told)
}

/// Where an entry stands.
struct Place<'a> {
    file: &'a Arc<Path>,
    line: usize,
}

impl Place<'_> {
    fn error(&self, fault: Fault) -> Problem {
        Problem::error(self.file, self.line, fault.message).at(fault.field)
    }
}

impl Fault {
    fn at(field: &'static str, message: impl Into<String>) -> Fault {
        Fault { field, message: message.into() }
    }
}

impl<T: Into<String>> From<T> for Fault {
    fn from(message: T) -> Fault {
        Fault::at("", message)
    }
}
