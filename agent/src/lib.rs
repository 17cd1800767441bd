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
//! Below it stand crates of their own, and Cargo holds who may know whom (CONTRIBUTING.md shows it):
//!
//! | crate | what lives there |
//! |---|---|
//! | [`skyferry_core`] | keys, errors, events, routes, plans, checksums, the write protocol; the traits of the world outside |
//! | [`skyferry_stores`] | S3 and its dialects, Google Cloud Storage, directories |
//! | [`skyferry_aws`] | the queue on SQS, the ledger on DynamoDB |
//! | [`skyferry_sqlite`] | queue and ledger of a single machine |
//! | [`skyferry_config`] | files and environment → checked settings |
//! | [`skyferry_providers`] | where keys come from |
//!
//! Here is what makes an agent of them:
//!
//! | | module | what lives there |
//! |---|---|---|
//! | engine | [`drain`] | permit, receive, spawn; outages; the bounded end |
//! | | [`job`] | one message's life |
//! | | [`copy`] | one object's bytes, source to sink: plan, stream, verify |
//! | | [`lease`] | keeps a message invisible while its job works; a lost lease cancels the job |
//! | | [`limits`] | how much at once: bytes, objects, bandwidth; the breaker |
//! | | [`fuse`] | too many deletions at once, counted by the whole fleet |
//! | | [`fleet_note`] | what an operator tells a whole fleet, in the ledger |
//! | | [`pause`] | a fleet that rests, by such a note |
//! | | [`bandwidth`] | how many bytes a second: by such a note, or by the settings and the clock |
//! | | [`leader`] | one of the fleet at a time |
//! | | [`spans`] | what a trace shows of one object |
//! | | [`dead_letter`] | what was given up, read: whose it is, and why |
//! | | [`fleet`] | who works for this ledger: a note of each agent |
//! | | [`janitor`] | ends uploads that nobody will finish |
//! | host | [`hardening`] | no cores, small pages, few threads; what is logged |
//! | | [`shutdown`] | signals, spot and preemption notices → shutdown |
//! | | [`http_server`] | HTTP for strangers: time limits, a bounded number of connections |
//! | | [`event_listener`] | events that come by HTTP, into an embedded queue |
//! | | [`token`] | what somebody must show who may change something |
//! | | [`status`] | `/healthz` `/readyz` `/metrics` `/status.json` and the page |
//! | | [`backlog`] | the queues' backlog for Google's autoscaler |
//! | | [`measured`] | queue and ledger with the time of their operations |
//! | | [`process_usage`] | memory, CPU and descriptors of the process |
//! | | [`telemetry`] | traces and metrics by OTLP |
//! | | [`emf`] | the metrics as lines of the log, for CloudWatch |
//! | | [`legacy_log`] | the log as the predecessors wrote it |
//! | | [`log_file`] | the log in a file beside stderr |
//! | | [`wiring`] | the only place that names implementations |

pub mod bandwidth;
pub mod copy;
pub mod dead_letter;
pub mod drain;
pub mod fleet;
pub mod fleet_note;
pub mod fuse;
pub mod janitor;
pub mod job;
pub mod leader;
pub mod lease;
pub mod limits;
pub mod pause;
pub mod spans;

pub mod backlog;
pub mod emf;
pub mod event_listener;
pub mod hardening;
pub mod http_server;
pub mod legacy_log;
pub mod log_file;
pub mod measured;
pub mod process_usage;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod token;

pub mod wiring;
