//! The journeys through a cloud: a foreign client puts objects, S3 sends its events to SQS, the agent carries the objects
//! across and tells DynamoDB. ministack is the cloud, the sandbox's strict GCS peer the destination.

mod backlog;
mod denied;
mod dynamodb;
mod fixture;
mod function_settings;
mod functions;
mod functions_elsewhere;
mod journey;
mod moving;
mod refused;
mod shared;
mod sqs;
mod two_agents;
