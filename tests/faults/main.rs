//! Inputs that once went wrong, by the number of their row: odd answers, odd times, odd people.

mod answers;
mod fixture;
#[path = "../matrix/log.rs"]
mod log;
mod outages;
mod writes;
