//! What people do with a fleet: pause and resume, status, check, the table's dump. Against ministack, SeaweedFS and the GCS peer.

mod pause;
mod stage;
