//! `/api/v1/events`: changes as they happen, as server-sent events.
//!
//! ```text
//! subscribe, then read the log after the asked revision -> log entries -> entries as they come
//!                              whoever is too slow reads the log again from where it was
//! ```
//!
//! Subscribed before the log is read, and what was sent already is skipped by its revision: no gap, no double.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use utoipa::IntoParams;

use super::problem::Problem;
use super::{App, audit};
use crate::state::keeper::State as Keeper;
use crate::state::model::Entry;
use crate::state::store::Watched;

/// Between two comments that keep a quiet stream alive: shorter than what proxies take for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// From where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// Changes after this revision; from now on, if it is not there. `Last-Event-ID` says the same, and wins.
    after: Option<u64>,
}

/// Streams changes: each event is a line of the audit log, and its identity the revision.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "audit",
    params(From, ("Last-Event-ID" = Option<u64>, Header, description = "The last revision that was seen.")),
    responses(
        (
            status = 200,
            description = "Events of the name `change`; comments in between.",
            body = String,
            content_type = "text/event-stream",
        ),
        (
            status = 410,
            description = "The log no longer leads on from that revision; read the state anew.",
            body = super::bodies::ProblemBody,
            content_type = "application/problem+json",
        ),
    ),
)]
pub async fn follow(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    super::take::Params(from): super::take::Params<From>,
) -> Result<Response, Problem> {
    let last_seen = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().parse());
    let after = match last_seen {
        Some(Ok(revision)) => Some(revision),
        Some(Err(_)) => return Err(Problem::bad_request("write a revision").of_field("Last-Event-ID")),
        None => from.after,
    };
    let coming = app.state.entries();
    let view = app.state.view();
    // What is served from memory alone is in no log yet: it comes once it is.
    let last = match after {
        Some(revision) if revision > view.model.revision => revision,
        Some(revision) => revision.min(view.committed),
        None => view.committed,
    };
    let mut follower = Follower {
        state: app.state.clone(),
        coming,
        stopping: app.stopping.subscribe(),
        ready: VecDeque::new(),
        last,
    };
    if !follower.read_log().await? {
        let detail = format!(
            "the log does not lead on from revision {last}; read the state anew, and follow from its revision"
        );
        return Err(Problem::new(StatusCode::GONE, detail));
    }
    let events = stream::unfold(follower, async |mut follower| {
        let entry = follower.next().await?;
        let line = serde_json::to_string(&audit::line(&entry)).expect("a line is JSON");
        let event = Event::default().event("change").id(entry.revision.to_string()).data(line);
        Some((Ok::<_, Infallible>(event), follower))
    });
    // Who begins with now learns where that is, to go on from there whether or not something has come.
    let begin = after.is_none().then(|| Ok(Event::default().id(last.to_string())));
    let events = stream::iter(begin).chain(events);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

struct Follower {
    state: Keeper,
    coming: broadcast::Receiver<Arc<Entry>>,
    stopping: watch::Receiver<bool>,
    /// Read from the log, and not sent yet.
    ready: VecDeque<Entry>,
    /// The revision that was sent last.
    last: u64,
}

impl Follower {
    /// Reads what the log has after the last one sent; false when it does not lead on.
    async fn read_log(&mut self) -> Result<bool, Problem> {
        match self.state.since(self.last).await? {
            Watched::Entries(entries) => {
                self.ready = entries.into();
                Ok(true)
            }
            Watched::TooOld => Ok(false),
        }
    }

    /// The next entry; none ends the stream, and the client comes back with the last revision it saw.
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.last = entry.revision;
                return Some(entry);
            }
            let came = tokio::select! {
                came = self.coming.recv() => came,
                _ = self.stopping.changed() => return None,
            };
            match came {
                Ok(entry) if entry.revision <= self.last => {}
                // What was replaced as a whole has no entries: the next one shows a gap.
                Ok(entry) if entry.revision == self.last + 1 => self.ready.push_back((*entry).clone()),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    if !self.read_log().await.ok()? {
                        return None;
                    }
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
