//! `[[notify]]`: who is told of what happens, and what with.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;

use crate::files::{At, Fields};
use crate::listeners::Limit;

/// Seconds until a receiver must have answered.
pub const NOTIFY_TIMEOUT_S: Limit<u64> = Limit { default: 10, least: 1, most: 60 };

/// A receiver of notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where they are posted to.
    pub url: Url,
    /// What they are signed with.
    pub secret: Secret,
    /// Which are told.
    pub events: Vec<Event>,
    /// Until when the receiver must have answered.
    pub timeout: Duration,
}

/// A key that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// What notices are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Health takes a PoP or an answer out, or further out.
    Drain,
    /// Its clients begin to come back.
    Undrain,
    /// They are all back.
    DrainEnded,
    /// The verdict that counts for an answer has changed.
    Verdict,
    /// A person must know or decide something.
    Alarm,
    /// No longer.
    AlarmOver,
    /// Any committed change, whoever made it.
    Change,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 7] = [
        Event::Drain,
        Event::Undrain,
        Event::DrainEnded,
        Event::Verdict,
        Event::Alarm,
        Event::AlarmOver,
        Event::Change,
    ];

    /// What it is called in the file, in the header and in the body.
    pub fn name(self) -> &'static str {
        match self {
            Event::Drain => "drain",
            Event::Undrain => "undrain",
            Event::DrainEnded => "drain_ended",
            Event::Verdict => "verdict",
            Event::Alarm => "alarm",
            Event::AlarmOver => "alarm_over",
            Event::Change => "change",
        }
    }
}

impl Hook {
    /// Where it goes, without what may be a secret in its path.
    pub fn to(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

impl Secret {
    /// This key.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into())
    }

    /// To sign with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads every `[[notify]]`. Paths begin in the folder.
pub(super) fn read(folder: &Path, tables: Vec<Fields>) -> Vec<Hook> {
    tables.into_iter().filter_map(|fields| read_hook(folder, fields)).collect()
}

fn read_hook(folder: &Path, mut fields: Fields) -> Option<Hook> {
    fields.object = "notify".into();
    fields.require(&["url", "secret_file"]);
    let url = fields.text("url").and_then(|url| read_url(&fields, &url));
    let secret = fields.text("secret_file").and_then(|file| read_secret(&fields, folder, &file));
    let events = read_events(&mut fields);
    let timeout = read_timeout(&mut fields);
    fields.finish();
    Some(Hook { url: url?, secret: secret?, events, timeout })
}

fn read_url(fields: &Fields, url: &At<String>) -> Option<Url> {
    let read = Url::parse(&url.value).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    if read.is_none() {
        let message =
            format!("`{}` is no address of the web; write one such as https://host/path", url.value);
        fields.error("url", url.line, message);
    }
    read
}

/// The key in a file, without the line break that editors put behind it.
fn read_secret(fields: &Fields, folder: &Path, file: &At<String>) -> Option<Secret> {
    let said = |what: String| fields.error("secret_file", file.line, format!("{}: {what}", file.value));
    match fs::read(folder.join(&file.value)) {
        Ok(bytes) => {
            let key = bytes.trim_ascii_end();
            if key.is_empty() {
                said("is empty; write a key into it, such as `openssl rand -hex 32` makes".into());
            }
            (!key.is_empty()).then(|| Secret::new(key))
        }
        Err(error) => {
            said(format!("cannot be read: {error}"));
            None
        }
    }
}

/// What is written; without it everything but `change`, which is what people and programs did themselves.
fn read_events(fields: &mut Fields) -> Vec<Event> {
    let is_written = fields.has("events");
    let names = fields.texts("events");
    if !is_written {
        return Event::ALL.into_iter().filter(|event| *event != Event::Change).collect();
    }
    if names.is_empty() {
        fields.error("events", fields.line, "names none; leave it out, or take the whole table out");
    }
    let mut events = Vec::new();
    for name in names {
        match Event::ALL.into_iter().find(|event| event.name() == name.value) {
            Some(event) if !events.contains(&event) => events.push(event),
            Some(_) => fields.error("events", name.line, format!("{} is written twice", name.value)),
            None => {
                let known = Event::ALL.map(Event::name).join(", ");
                fields.error("events", name.line, format!("`{}` is unknown; known are {known}", name.value));
            }
        }
    }
    events
}

fn read_timeout(fields: &mut Fields) -> Duration {
    let Limit { default, least, most } = NOTIFY_TIMEOUT_S;
    let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
    match fields.duration("timeout") {
        Some(timeout) if !(least..=most).contains(&timeout.value) => {
            let message = format!("out of range; write {}s to {}s", least.as_secs(), most.as_secs());
            fields.error("timeout", timeout.line, message);
            Duration::from_secs(default)
        }
        written => written.map_or(Duration::from_secs(default), |timeout| timeout.value),
    }
}
