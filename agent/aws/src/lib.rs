//! The queue on SQS and the ledger on DynamoDB, over one client that signs, waits and tries again.

pub mod client;
pub mod dynamodb;
pub mod sqs;
