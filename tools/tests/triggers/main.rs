//! `skyferry trigger`, `skyferry deadletters` and `skyferry completions` as a person types them, against a foreign S3 and SQS.

mod bench;
mod completions;
mod deadletters;
mod trigger;
