//! `skyferry`: what a person types.

fn main() {}
