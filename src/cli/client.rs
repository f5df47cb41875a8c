//! Talking to servers: a request goes to each of them at the same time, and each says what became of it.
//!
//! ```text
//! Request -> Server::call, over a Unix socket or a URL -> Said<T>   (the body, as a type and as it came)
//!                                                      or Failure  (refused, not reachable, not understood)
//! ```
//!
//! Nothing is repeated by itself: whether a write that was not answered was done, only the server knows.
//! All writes may be repeated safely, and the message says so.

use std::fmt;
use std::io::{BufRead, BufReader};

use jiff::fmt::rfc2822;
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::connect::Token;
use crate::api::bodies::{Page, ProblemBody};
use crate::state::model::Time;
use crate::state::text::written_out;

/// What stands before every path.
const API: [&str; 2] = ["api", "v1"];

/// One server.
pub struct Server {
    /// What the operator calls it: its URL, or the path of its socket.
    pub name: String,
    /// Where requests go; only a form over a Unix socket.
    pub url: reqwest::Url,
    /// The connection.
    pub http: Client,
    /// What opens its doors.
    pub token: Option<Token>,
}

/// What is asked of servers.
#[derive(Clone)]
pub struct Request {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// What to do about a no of this status, where the command knows more than the server says.
    advice: Vec<(u16, &'static str)>,
}

impl Request {
    /// To be shown something.
    pub fn get(path: &[&str]) -> Request {
        Request::new(Method::GET, path)
    }

    /// To do something.
    pub fn post(path: &[&str], body: &impl Serialize) -> Request {
        Request::new(Method::POST, path).with_body(body)
    }

    /// To put something in the place of what is there.
    pub fn put(path: &[&str], body: &impl Serialize) -> Request {
        Request::new(Method::PUT, path).with_body(body)
    }

    /// To take something away.
    pub fn delete(path: &[&str]) -> Request {
        Request::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &[&str]) -> Request {
        let path = API.iter().chain(path).map(|part| part.to_string()).collect();
        Request { method, path, query: Vec::new(), headers: Vec::new(), body: None, advice: Vec::new() }
    }

    fn with_body(mut self, body: &impl Serialize) -> Request {
        self.body = Some(serde_json::to_value(body).expect("a body has text keys"));
        self
    }

    /// With a parameter, where there is one.
    pub fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Request {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With what to do about a no of this status.
    pub fn with_advice(mut self, status: u16, what_to_do: &'static str) -> Request {
        self.advice.push((status, what_to_do));
        self
    }

    /// The same, to be served from memory while the store cannot be written; none where it cannot be, or is so
    /// already.
    pub fn volatile(mut self) -> Option<Request> {
        let flag = self.body.as_mut()?.get_mut("volatile").filter(|flag| **flag == Value::Bool(false))?;
        *flag = true.into();
        Some(self)
    }

    /// With a header, where there is one.
    pub fn with_header(mut self, name: &'static str, value: Option<impl ToString>) -> Request {
        self.headers.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

/// What a server said.
pub struct Said<T> {
    /// The body.
    pub body: T,
    /// The same as it came: it may have fields that this program does not know.
    pub json: Value,
    /// The server's clock: ages are told by it, for ours may be wrong.
    pub at: Time,
}

impl Server {
    /// Asks, and reads the body.
    pub fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<Said<T>, Failure> {
        let response = self.send(request)?;
        let at = time_of(&response);
        let text = response.text().map_err(|error| self.broken(&error))?;
        let text = if text.trim().is_empty() { "null" } else { &text };
        let json: Value = serde_json::from_str(text).map_err(|error| self.strange(&error))?;
        let body = T::deserialize(safe(json.clone())).map_err(|error| self.strange(&error))?;
        Ok(Said { body, json, at })
    }

    /// Asks for a list, page after page, until there are `most`.
    pub fn list<T: DeserializeOwned>(&self, request: &Request, most: usize) -> Result<Said<Vec<T>>, Failure> {
        let mut items = Vec::new();
        let mut json = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.call::<Page<T>>(&request.clone().with("cursor", cursor))?;
            items.extend(page.body.items);
            json.extend(page.json["items"].as_array().into_iter().flatten().cloned());
            cursor = page.body.next;
            if cursor.is_none() || items.len() >= most {
                items.truncate(most);
                json.truncate(most);
                return Ok(Said { body: items, json: Value::Array(json), at: page.at });
            }
        }
    }

    /// Follows server-sent events: `take` gets the data of each, until the server ends, the connection breaks
    /// or is silent for too long, or it says stop. `last` becomes the revision that is known last.
    pub fn follow(
        &self,
        request: &Request,
        last: &mut Option<u64>,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<(), Failure> {
        // Events may be days apart, so the answer has no end; but comments come in between.
        let response = self.send(request)?;
        for line in BufReader::new(response).lines() {
            let Ok(line) = line else { break };
            if let Some(id) = line.strip_prefix("id:") {
                *last = id.trim().parse().ok().or(*last);
            }
            if let Some(data) = line.strip_prefix("data:")
                && !take(data.trim())
            {
                break;
            }
        }
        Ok(())
    }

    fn send(&self, request: &Request) -> Result<Response, Failure> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut builder = self.http.request(request.method.clone(), url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.secret());
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().map_err(|error| self.broken(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response, request)) }
    }

    fn refused(&self, response: Response, request: &Request) -> Failure {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|seconds| seconds.parse().ok());
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_problem = kind.is_some_and(|kind| kind.starts_with("application/problem+json"));
        let advice =
            request.advice.iter().find(|(about, _)| *about == status.as_u16()).map(|(_, advice)| *advice);
        match response.json::<ProblemBody>() {
            Ok(problem) if is_problem => Failure::Refused(Box::new(Refused {
                problem: safe_problem(problem),
                retry_after,
                server: self.name.clone(),
                advice,
            })),
            _ => Failure::Strange(format!(
                "{} answered {status} without saying why; is it the API of a rhumb?",
                self.name
            )),
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        // The innermost error has the words of the system.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let name = &self.name;
        Failure::Unreachable(match (error.is_timeout(), error.is_connect()) {
            (true, false) => format!(
                "{name} did not answer in time; whether it was done is not known, and asking again is safe"
            ),
            _ if self.is_socket() => format!(
                "no server answers on {name} ({cause}): start `rhumb serve` there, or name a server with \
                 --server URL"
            ),
            _ if cause.to_string().contains("certificate") => {
                format!("{name} is not trusted: {cause}; name the file of its authority with --ca")
            }
            _ => format!("{name} is not reachable: {cause}"),
        })
    }

    fn strange(&self, error: &serde_json::Error) -> Failure {
        Failure::Strange(format!(
            "what {} answered is not understood ({error}); is it another version of rhumb?",
            self.name
        ))
    }

    fn is_socket(&self) -> bool {
        !self.name.contains("://")
    }
}

/// What a server says, with control characters in its texts written out: what it was told long ago, or by others,
/// must not drive our terminal.
pub fn safe(json: Value) -> Value {
    match json {
        Value::String(text) => Value::String(written_out(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(safe).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, safe(value))).collect(),
        other => other,
    }
}

/// A problem in the same way. Its detail may have several lines, such as every mistake in the files.
fn safe_problem(mut problem: ProblemBody) -> ProblemBody {
    let lines: Vec<_> = problem.detail.lines().map(written_out).collect();
    problem.detail = lines.join("\n");
    problem.guards = problem.guards.iter().map(|guard| written_out(guard).into_owned()).collect();
    problem.field = problem.field.map(|field| written_out(&field).into_owned());
    problem
}

/// The server's clock, by the header that says it; ours, if there is none.
fn time_of(response: &Response) -> Time {
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    date.unwrap_or_else(Time::now)
}

/// Why a server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It says no.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// It does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answers something else than agreed.
    #[error("{0}")]
    Strange(String),
    /// What is meant cannot be told from what it has.
    #[error("{0}")]
    Unclear(String),
}

impl Failure {
    /// For machines.
    pub fn json(&self) -> Value {
        match self {
            Failure::Refused(refused) => {
                json!({ "error": &refused.problem, "retry_after": refused.retry_after })
            }
            Failure::Unreachable(why) => json!({ "error": { "title": "not reachable", "detail": why } }),
            Failure::Strange(why) => json!({ "error": { "title": "not understood", "detail": why } }),
            Failure::Unclear(why) => json!({ "error": { "title": "not clear", "detail": why } }),
        }
    }
}

/// A no, with its reasons.
#[derive(Debug)]
pub struct Refused {
    /// What the server says.
    pub problem: ProblemBody,
    /// Seconds after which it may say yes.
    retry_after: Option<u64>,
    server: String,
    /// See [`Request::with_advice`].
    advice: Option<&'static str>,
}

impl Refused {
    /// What to do about it, where the status alone tells.
    fn advice(&self) -> Option<String> {
        let wait = self.retry_after.map(|seconds| format!("try again in {seconds} s"));
        match self.problem.status {
            _ if self.advice.is_some() => self.advice.map(String::from),
            401 => Some("give a token with --token-file, RHUMB_TOKEN_FILE or RHUMB_TOKEN".into()),
            409 if !self.problem.guards.is_empty() => {
                Some("add --force, and a --reason that says why".into())
            }
            412 => Some("look at what is there now, and ask again".into()),
            429 | 503 => wait,
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ProblemBody { title, status, detail, object, field, guards, .. } = &self.problem;
        write!(f, "{} refused it: {title} ({status})", self.server)?;
        // The detail of a guarded write points at its guards, which follow.
        if guards.is_empty() {
            let detail = detail.replace('\n', "\n  ");
            // With an object, the detail names both.
            let field = field.as_ref().filter(|_| object.is_none());
            let field = field.map_or(String::new(), |field| format!("{field}: "));
            write!(f, "\n  {field}{detail}")?;
        }
        for guard in guards {
            write!(f, "\n  - {guard}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "\n  What to do: {advice}.")?;
        }
        Ok(())
    }
}
