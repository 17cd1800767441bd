//! `skyferry inventory` as a person types it: reports on disk and in buckets, queues that are real, and all that can be wrong
//! with either.

mod copying;
mod damaged;
mod destination_index;
mod fixture;
mod formats;
mod journeys;
mod numbers;
mod reports;
mod stopping;
