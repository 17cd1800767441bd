//! The loopback peers' own facts: a test is worth what its peer is.

mod client;
mod gcs;
