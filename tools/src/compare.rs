//! Source and destination side by side: listed at once in key ranges, merged as two sorted streams, judged a batch at a
//! time. What is in memory is some pages of every range, never a listing.
//!
//! ```text
//! ranges ▶ merge ▶ judge ▶ findings
//! ```

mod bounds;
mod equality;
mod finding;
mod judge;
mod look;
mod merge;
mod ranges;
mod tally;

pub use equality::{by_ledger, by_listings};
pub use finding::{Basis, Finding, Pair, Sides, Verdict, Why};
pub use judge::Judge;
pub use look::Look;
pub use ranges::{AT_ONCE, in_order, side_by_side};
pub use tally::Tally;
