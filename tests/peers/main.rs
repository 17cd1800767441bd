//! The loopback peers' own facts: a test is worth what its peer is.

mod client;
mod faults;
mod gcs;
mod ministack;
mod rclone;
mod s3;
mod seaweedfs;
