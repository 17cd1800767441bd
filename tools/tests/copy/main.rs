//! `skyferry copy` as a person types it: the program as a child, peers on loopback around it.

mod answers;
mod bench;
mod force;
mod journeys;
mod keys;
mod museum;
mod restarted;
mod resuming;
mod servers;
mod single_node;
mod trouble;
