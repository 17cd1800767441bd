//! What Skyferry decides, and what it asks of the world: pure rules and the three traits. No network, no database, no AWS:
//! this crate builds and tests by itself in seconds (`cargo nextest run -p skyferry-core`), and every other one knows it.
//!
//! An event says only that a key may have changed. So a job reconciles that key: it reads the source's newest state, makes
//! the destination match, proves it, records it, and only then deletes the message. [`protocol`] says in which order.
#![warn(missing_docs)]

pub mod ambient;
pub mod model;
mod serial;

pub mod backoff;
pub mod ca_roots;
pub mod digest;
pub mod error;
pub mod event;
pub mod legacy_log;
pub mod metrics;
pub mod permissions;
pub mod plan;
pub mod protocol;
pub mod route;
pub mod version;

pub mod ledger;
pub mod queue;
pub mod store;
