//! A local directory as a subject.

use std::sync::Arc;

use skyferry_core::store::{Capabilities, Sink, Source};
use skyferry_stores::directory::{Directory, DirectoryOptions};

use crate::store::{AtRest, Can, Subject};

pub async fn store() -> Subject {
    let root = tempfile::tempdir().expect("a directory");
    let options =
        DirectoryOptions { root: root.path().join("tree"), bucket: "files".into(), create: true, metadata: None };
    let directory = Arc::new(Directory::open(options).expect("opened"));
    Subject {
        source: directory.clone() as Arc<dyn Source>,
        sink: directory as Arc<dyn Sink>,
        bucket: "files".into(),
        can: Can {
            capabilities: Capabilities {
                conditional_put: true,
                conditional_finish: true,
                conditional_delete: true,
                checksums: true,
                metadata: true,
            },
            refused_keys: &[],
            checks_whole: true,
            all_headers: true,
            at_rest: AtRest::Nothing,
            part: 600_000,
        },
        _keep: Box::new(root),
    }
}
