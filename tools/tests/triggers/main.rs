//! `skyferry trigger`, `skyferry deadletters` and `skyferry completions` as a person types them, against a foreign S3 and SQS.

mod completions;
mod deadletters;
mod fixture;
mod trigger;
