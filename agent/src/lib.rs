//! The agent: drains object events from a queue and makes the destination equal the source.
//!
//! An event says only that a key may have changed. So a job reconciles that key: it reads the source's newest state, makes
//! the destination match, proves it, records it, and only then deletes the message.
//!
//! ```text
//! drain ─permit▶ queue.receive ─Message▶ job ▶ event ▶ route ▶ protocol ⇄ (ledger, store, copy ▶ plan ▶ digest)
//!       ◀ outcome recorded ◀ ─▶ delete | release(delay) | park | touch nothing (lease lost)
//! ```
//!
//! A module uses only those of lower ranks:
//!
//! | rank | module | what lives there |
//! |---|---|---|
//! | 0 | [`ambient`] | the wall clock and randomness, which a simulation replaces |
//! | 0 | [`object`] | the words: keys, locations, identities, revisions, ids |
//! | 1 | [`error`] | one error and its verdict: retry, weather, park, cancelled |
//! | 1 | [`event`] | message body → records, nothing to do, or malformed |
//! | 1 | [`route`] | source key → destination key; the allow-list; ignore rules |
//! | 1 | [`plan`] | size and the sink's limits → parts |
//! | 1 | [`digest`] | CRC32C, CRC64NVME, MD5; combining; grades |
//! | 1 | [`protocol`] | the write protocol as a state machine: no I/O, no clock |
//! | 1 | [`config`] | files and environment → checked settings |
//! | 1 | [`backoff`], [`metrics`] | jittered delays; every metric's name, once |
//! | 1 | [`process`] | no cores, small pages, few threads |
//! | 1 | [`traffic`] | what the predecessors logged of every transfer |
//! | 2 | [`queue`], [`ledger`], [`store`] | the traits of the world outside |
//! | 2 | [`lease`] | keeps a message invisible while its job works; a lost lease cancels the job |
//! | 2 | [`pace`] | how much at once: bytes, objects, bandwidth; the breaker |
//! | 2 | [`roots`] | which certificate authorities are trusted |
//! | 3 | [`leader`] | one of the fleet at a time |
//! | 3 | [`fuse`] | too many deletions at once, counted by the whole fleet |
//! | 3 | [`aws`] | keys, retries and the far clock of SQS and DynamoDB |
//! | 3 | [`embedded`], `queue::*`, `ledger::*`, `store::*` | SQLite for one machine; SQS, DynamoDB; S3, GCS, directories |
//! | 3 | [`copy`] | one object's bytes, source to sink: plan, stream, verify |
//! | 4 | [`job`] | one message's life |
//! | 4 | [`janitor`] | ends uploads that nobody will finish |
//! | 4 | [`pause`] | a fleet that rests, by a note in the ledger |
//! | 5 | [`drain`] | permit, receive, spawn; storms; the bounded end |
//! | 5 | [`backlog`] | the queues' backlog for Google's autoscaler |
//! | 5 | [`notice`] | signals, spot and preemption notices → shutdown |
//! | 5 | [`status`] | `/healthz` `/readyz` `/metrics` `/status.json` and the page |
//! | 5 | [`emf`] | the metrics as lines of the log, for CloudWatch |
//! | 5 | [`predecessor`] | the log as the predecessors wrote it |
//! | 5 | [`log_file`] | the log in a file beside stderr |
//! | 6 | [`wiring`] | the only place that names concrete types |

pub mod ambient;
pub mod object;

pub mod backoff;
pub mod config;
pub mod digest;
pub mod error;
pub mod event;
pub mod metrics;
pub mod plan;
pub mod process;
pub mod protocol;
pub mod route;
pub mod traffic;

pub mod lease;
pub mod ledger;
pub mod pace;
pub mod queue;
pub mod roots;
pub mod store;

pub mod aws;
pub mod copy;
pub mod embedded;
pub mod fuse;
pub mod leader;

pub mod janitor;
pub mod job;
pub mod pause;

pub mod backlog;
pub mod drain;
pub mod emf;
pub mod log_file;
pub mod notice;
pub mod predecessor;
pub mod status;

pub mod wiring;
