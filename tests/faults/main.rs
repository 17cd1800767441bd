//! Inputs that once went wrong, by the number of their row: odd answers, odd times, odd people.

mod answers;
mod outages;
mod stage;
mod writes;
