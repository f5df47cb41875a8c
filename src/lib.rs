//! rhumb: an authoritative GeoDNS server with failover filter chains.
//!
//! This is the map of the crate. What it does for its users is in `README.md`.
//!
//! # Two walks that meet in one value, and one that goes round
//!
//! ```text
//! a packet   listeners -> engine -> wire, geo, chain -> bytes out
//! a wish     cli, api, health -> state: decide -> store -> watch -> publisher -> Snapshot
//! a probe    state (monitors) -> health -> verdicts, wishes -> state
//! ```
//!
//! They meet in `Arc<ArcSwap<Snapshot>>`: one thread stores it, every worker loads it once per query, so a
//! query sees one state of everything. What the operator wrote is compiled aside and whole: what does not
//! compile changes nothing.
//!
//! # Rooms
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`wire`] | bytes to and from DNS messages: names, queries, EDNS, the response writer |
//! | [`geo`] | an address to a place: databases folded into prefix tables at load, one lookup per query |
//! | [`chain`] | the filters: which of a record's answers this client gets, in which order |
//! | [`engine`] | query bytes to response bytes: [`engine::Worker::answer`] is the server; zones, steering, explain, counters |
//! | [`listeners`] | sockets: UDP threads, the TCP thread |
//! | [`files`] | reading what the operator wrote, so that every mistake is found at once and named where it stands |
//! | [`config`] | `rhumb.toml` |
//! | [`state`] | zones and chains from files, and drains, splits, feeds, monitors and policies from the store, compiled to a snapshot; publishing; noticing changed files; what a change does to clients |
//! | [`health`] | monitors: answers are probed, results become verdicts, and our own failure is told from theirs; failing PoPs are taken out and come back; webhooks tell of it |
//! | [`api`] | the control plane over HTTP: what is wanted goes in, what is so comes out; numbers for Prometheus |
//! | [`cli`] | the commands, one file each; `cli::serve` composes the rooms, most others ask a server over the [`api`] |
//!
//! Outside of `src`: `zones/`, `filter-chains/`, `geoip/` and `rhumb.toml` are the example, and serve as they
//! stand. `tests/`, `benches/`, `docs/`, `deploy/` are what they are called.
//!
//! # Arrows: who may use whom
//!
//! ```text
//! listeners -> engine -> chain -> geo -> files        engine, chain -> wire
//! config -> files, geo, listeners                     state -> config, files, engine, chain, geo, wire
//! health -> state, config                             api -> state, health, engine, wire, files, config, listeners
//! cli -> all, to compose
//! ```
//!
//! # Who may do what
//!
//! | room | heap | I/O, clock, random | async | may fail |
//! | --- | --- | --- | --- | --- |
//! | `wire`, `chain` (run), `engine` (answer), `geo` (lookup) | no | no: time and random numbers come in with the call | no | no: a refusal is a response |
//! | `listeners::udp` | at start | its socket | no, plain threads | at bind |
//! | `listeners::tcp` | per connection | sockets | yes | per connection |
//! | `geo` (load), `chain` (compile) | yes | files, `geo` only | no | yes, with problems |
//! | `health` | yes | sockets, clock, random; its machines none: time comes in | yes, on a thread of its own | no: a failed probe is a verdict |
//! | `files`, `config`, `state`, `cli` | yes | yes | no | yes, with problems or an error |
//! | `api` | yes | yes, on threads of its own | yes | yes, with a problem (RFC 9457) per request |
//!
//! A problem ([`files::Problem`]) names the file, the line, the object and the field, and what to write
//! instead. Nothing in the first row locks.
//!
//! # Words
//!
//! | word | meaning here |
//! | --- | --- |
//! | zone, apex, owner name, RRset, delegation, glue, NODATA, NXDOMAIN | as in RFC 9499 |
//! | record | owner name and type that is steered: answers, groups, filters, meta (NS1) |
//! | answer | one candidate (a PoP's addresses, or a CNAME target) with its meta; not the answer section |
//! | group | answers that share meta (NS1 says "region") |
//! | filter, chain, picks | one step; a record's ordered steps; the answers still in play, in order |
//! | meta | what filters read: up, weight, priority, country, asn, connections, watermarks; the nearest to the answer wins |
//! | live | the part of meta, drains and weights that changes while we serve |
//! | feed | an outside source that sets a meta value |
//! | pool, PoP, stack | answers operated together; a site; one of several generations of load balancer at a site |
//! | site | a pool's answers at one PoP: the stacks that a split chooses from |
//! | drain, split | take out; share between stacks |
//! | rung | how far the ladder of last resort was climbed: undrained and up, undrained but down, drained |
//! | coin | what decides for one client's network whether a partial drain takes it out, or which stack it gets |
//! | monitor, verdict | a probe; its up or down after rise and fall counts |
//! | fence, target | drop what does not match; order by nearness |
//! | client, peer | who the answer is for (ECS address, else peer); the packet's address |
//! | source prefix, scope prefix | as in RFC 7871 |
//! | spread | the shortest scope a record with random steps answers with |
//! | place | what geo knows of an address: continent, country, subdivision, coordinates, autonomous system |
//! | question, outcome, table | what a filter asks about places; one answer to it; which prefix has which |
//! | impact, move | what a change does to clients; a share of them that gets another PoP |
//! | snapshot, revision | what is served; which |
//! | steering | answers and a chain, compiled; records of the same pool and chain share one |
//! | worker, listener | one per thread, with its buffers; the socket side of a protocol |

pub mod api;
pub mod chain;
pub mod cli;
pub mod config;
pub mod engine;
pub mod files;
pub mod geo;
pub mod health;
pub mod listeners;
pub mod state;
pub mod wire;
