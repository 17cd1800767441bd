//! `skyferry scan` and `skyferry verify` as a person types them: a source, a destination, a queue and a table of ministack,
//! and an agent that does the jobs.

mod fixture;
mod numbers;
mod scan;
mod verify;
