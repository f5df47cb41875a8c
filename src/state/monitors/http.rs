//! Reading what a monitor asks over HTTP and TLS.

use std::ops::RangeInclusive;
use std::path::Path;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use toml::de::DeValue;

use super::read::limited;
use super::{EXPIRY_WARNING_DAYS, HttpAsk, TlsAsk};
use crate::files::{At, Fields};
use crate::state::load::{ByMetric, METRICS};

/// Headers the probe writes by itself, or that would make the request mean something else.
const HEADERS_OF_OURS: [&str; 9] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-accept",
];

/// Reads what is asked over HTTP.
pub fn read_http(fields: &mut Fields) -> HttpAsk {
    let mut ask = HttpAsk::default();
    if let Some(method) = fields.text("method") {
        match Method::from_bytes(method.value.as_bytes()) {
            Ok(good) if good != Method::CONNECT => ask.method = good,
            _ => fields.error("method", method.line, "write a method such as GET, HEAD or OPTIONS"),
        }
    }
    if let Some(path) = fields.text("path") {
        let read: Option<Uri> = path.value.parse().ok().filter(|_| path.value.starts_with('/'));
        match read {
            Some(_) => ask.path = path.value,
            None => fields.error(
                "path",
                path.line,
                format!("`{}` is no path; write one such as /health", path.value),
            ),
        }
    }
    if let Some(host) = fields.text("host") {
        match HeaderValue::from_str(&host.value) {
            Ok(_) if !host.value.is_empty() => ask.host = Some(host.value),
            _ => fields.error("host", host.line, "write a name such as www.example.com"),
        }
    }
    ask.headers = read_headers(fields);
    if let Some(status) = read_status(fields) {
        ask.status = status;
    }
    ask.body = fields.text("body").map(|body| body.value);
    if let Some(load) = fields.table("load") {
        if ask.method == Method::HEAD {
            fields.error("load", load.line, "a response to HEAD has no body; write method = \"GET\"");
        }
        ask.load = read_load(&fields.object, load);
    }
    ask
}

fn read_load(owner: &str, mut fields: Fields) -> ByMetric<String> {
    fields.object = format!("{owner} load");
    if !METRICS.iter().any(|metric| fields.has(metric)) {
        fields.error(METRICS[0], fields.line, format!("name at least one of {}", METRICS.join(", ")));
    }
    let load = METRICS.map(|metric| {
        let At { value, line } = fields.text(metric)?;
        if !is_pointer(&value) {
            let message = format!("`{value}` is no JSON pointer; write one such as /backend/sessions");
            fields.error(metric, line, message);
        }
        Some(value)
    });
    fields.finish();
    load
}

/// RFC 6901 section 3: nothing, or steps that each begin with a slash; a tilde is written as ~0, a slash inside a
/// step as ~1.
fn is_pointer(text: &str) -> bool {
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(is_escape)
}

fn read_headers(fields: &mut Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(table) = fields.table("headers") else { return headers };
    for (name, value) in table.into_values() {
        let read = HeaderName::from_bytes(name.value.as_bytes());
        let text = value.value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        match (read, text) {
            (Ok(read), _) if HEADERS_OF_OURS.contains(&read.as_str()) => {
                let instead =
                    if read == "host" { "write host = \"...\"" } else { "the probe writes it; take it out" };
                fields.error("headers", name.line, format!("`{}` is not for headers; {instead}", name.value));
            }
            (Ok(read), Some(text)) => {
                headers.insert(read, text);
            }
            _ => {
                let message = format!("`{}` is no header; write one such as X-Probe = \"rhumb\"", name.value);
                fields.error("headers", name.line, message);
            }
        }
    }
    headers
}

/// Statuses: `200`, `"200-299"`, or a list of them.
fn read_status(fields: &mut Fields) -> Option<Vec<RangeInclusive<u16>>> {
    let mut ranges = Vec::new();
    for At { value, line } in fields.list("status") {
        let read = match &value {
            DeValue::Integer(number) => status(number.as_str()).map(|status| status..=status),
            DeValue::String(text) => match text.split_once('-') {
                Some((first, last)) => status(first).zip(status(last)).map(|(first, last)| first..=last),
                None => status(text).map(|status| status..=status),
            },
            _ => None,
        };
        match read.filter(|range| !range.is_empty()) {
            Some(range) => ranges.push(range),
            None => {
                fields.error("status", line, "write statuses from 100 to 599, such as 200 or \"200-299\"")
            }
        }
    }
    (!ranges.is_empty()).then_some(ranges)
}

fn status(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|status| (100..=599).contains(status))
}

/// What begins a certificate in PEM.
const PEM_BEGINS: &str = "-----BEGIN CERTIFICATE-----";

/// Reads a table `tls`; a `ca` that is no certificate is a file beside the one it is written in.
pub fn read_tls(file: Option<&Path>, owner: &str, mut fields: Fields) -> TlsAsk {
    fields.object = format!("{owner} tls");
    let name = fields.text("name");
    if let Some(name) = &name
        && rustls::pki_types::ServerName::try_from(name.value.as_str()).is_err()
    {
        fields.error(
            "name",
            name.line,
            format!("`{}` is no name; write one such as www.example.com", name.value),
        );
    }
    let verify = fields.flag("verify").is_none_or(|flag| flag.value);
    let authorities = fields.text("ca").and_then(|ca| {
        let read = read_authorities(file, &ca.value);
        if let Err(error) = &read {
            fields.error("ca", ca.line, error.clone());
        }
        read.ok()
    });
    let days = limited(&mut fields, "expiry_warning_days", EXPIRY_WARNING_DAYS);
    fields.finish();
    TlsAsk { name: name.map(|name| name.value), verify, authorities, expiry_warning_days: days as u32 }
}

fn read_authorities(file: Option<&Path>, ca: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = |text: &[u8]| -> Option<Vec<CertificateDer<'static>>> {
        let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        list.ok().filter(|list| !list.is_empty())
    };
    if ca.trim_start().starts_with(PEM_BEGINS) {
        return certificates(ca.as_bytes()).ok_or_else(|| "the certificates cannot be read as PEM".into());
    }
    // Whoever asks over the API has no file of ours to name.
    let Some(file) = file else {
        return Err(format!("write the certificates themselves, as PEM from `{PEM_BEGINS}` on"));
    };
    let path = file.parent().unwrap_or(Path::new("")).join(ca);
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let read = read.and_then(|text| certificates(&text).ok_or("no PEM certificates".to_string()));
    read.map_err(|error| format!("{ca}: {error}; name a file of PEM certificates"))
}
