//! The agent (map to come).
pub mod object;

pub mod backoff;
pub mod config;
pub mod digest;
pub mod error;
pub mod event;
pub mod metrics;
pub mod plan;
pub mod protocol;
pub mod route;

pub mod embedded;
pub mod lease;
pub mod ledger;
pub mod pace;
pub mod queue;
pub mod store;

pub mod copy;
pub mod job;

pub mod drain;
pub mod notice;
pub mod status;

pub mod wiring;
