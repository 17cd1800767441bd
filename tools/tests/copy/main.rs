//! `skyferry copy` as a person types it: the program as a child, peers on loopback around it.

mod answers;
mod chaos;
mod choosing;
mod failures;
mod fixture;
mod journeys;
mod keys;
mod pairs;
mod regressions;
mod restarted;
mod resuming;
mod servers;
mod shown;
mod single_node;
mod stored;
