//! Source and destination side by side: listed at once in key ranges, merged as two sorted streams, judged a batch at a
//! time. What is in memory is some pages of every range, never a listing.
//!
//! ```text
//! ranges ▶ merge ▶ judge ▶ findings
//! ```

mod bounds;
mod classify;
mod equality;
mod finding;
mod head_check;
mod merge;
mod ranges;
mod tally;

pub use classify::Classifier;
pub use equality::{by_ledger, by_listings};
pub use finding::{ComparedSides, Comparison, Difference, EqualityBasis, Finding, ListedPair};
pub use head_check::HeadCheck;
pub use ranges::{AT_ONCE, in_order, side_by_side};
pub use tally::Tally;
