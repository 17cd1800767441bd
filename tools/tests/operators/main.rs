//! What people do with a fleet: pause and resume, status, check, the table's dump. Against ministack, SeaweedFS and the GCS peer.

mod check;
mod dump;
mod fixture;
mod journey;
mod newcomer;
mod pause;
mod permissions;
mod status;
