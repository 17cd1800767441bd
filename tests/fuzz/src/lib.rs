//! The parsers that the targets feed, compiled from the same files as in the programs. Most are private there, and stay so: the
//! directories `stores`, `dynamodb`, `sqlite`, `inventory` and `trigger` here are links to theirs.
#![allow(dead_code, unused_imports)]

use std::fs::File;
use std::io::{Seek as _, Write as _};

pub mod prefixes;
pub mod usage;

pub mod inventory {
    pub mod csv;
    pub mod manifest;
    pub mod parquet;
    pub mod rows;
    pub mod schema;
    pub mod unpack;
}

pub mod trigger {
    pub mod configuration;
    pub mod entry;
    pub mod xml;
}

pub mod stores {
    mod rfc2047;
    pub mod xml_api {
        pub mod document;
    }

    /// A header's value as text and back.
    pub fn text(value: &[u8]) -> String {
        rfc2047::text(value)
    }

    pub fn bytes(text: &str) -> Vec<u8> {
        rfc2047::bytes(text).into_owned()
    }

    pub fn encode(value: &str) -> String {
        rfc2047::encode(value).into_owned()
    }

    pub fn decode(value: &str) -> String {
        rfc2047::decode(value.to_owned())
    }
}

pub mod dynamodb {
    mod change;
    mod item;
    mod pack;

    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;

    use skyferry_core::ledger::{LastPublished, Record, Subject, UploadRecord};
    use skyferry_core::object::{Token, UploadId};

    /// Everything that is read from an item of the table.
    pub fn read_item(attributes: HashMap<String, AttributeValue>, subject: &Subject) {
        let item = item::Item::new(attributes);
        let record = item.record(subject);
        let open = item.open();
        assert_eq!(record.open_writers, open.len());
        for open in &open {
            if let Some(upload) = item.upload(subject, open) {
                reread(&upload);
            }
        }
        (item.schema(), item.last_writer(), item.tells_of(subject), item.texts("instanceID"));
    }

    /// What is packed into an item: an upload's head and parts, and a proof.
    pub fn read_packed(token: u128, bytes: &[u8]) {
        let token = Token(token);
        if let Some(mut upload) = pack::read_head(UploadId("u".into()), bytes) {
            upload.parts = pack::read_parts(bytes, upload.token).unwrap_or_default();
            reread(&upload);
        }
        if let Some(parts) = pack::read_parts(bytes, token) {
            assert!(parts.len() <= bytes.len(), "more parts than bytes");
        }
        if let Some((digests, grade)) = pack::read_proof(bytes) {
            assert_eq!(pack::read_proof(&pack::proof(digests.as_ref(), grade)), Some((digests, grade)));
        }
    }

    fn reread(upload: &UploadRecord) {
        let head = pack::read_head(upload.id.clone(), &pack::head(upload)).expect("its own head");
        assert_eq!(
            (head.token, &head.identity, head.headers, head.part_size),
            (upload.token, &upload.identity, upload.headers, upload.part_size)
        );
        // What does not fit into an item is left out.
        let parts = pack::read_parts(&pack::parts(upload), upload.token).expect("its own parts");
        assert!(upload.parts.starts_with(&parts) && (parts.len() == upload.parts.len() || parts.len() > 1000));
        assert!(pack::percent(upload) < 100);
    }
}

pub mod sqlite {
    mod pack;

    /// An upload as the embedded ledger has it.
    pub fn read_packed(bytes: &[u8]) {
        if let Some(upload) = pack::read_upload("u", bytes) {
            assert_eq!(pack::read_upload("u", &pack::upload(&upload)), Some(upload));
        }
        if let Some(digests) = pack::read_digests(bytes) {
            let mut out = Vec::new();
            pack::digests(&mut out, &digests);
            assert_eq!(pack::read_digests(&out), Some(digests));
        }
    }
}

/// A file with these bytes, in memory.
pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
    file.write_all(bytes).expect("written");
    file.rewind().expect("rewound");
    file
}

/// Reads every row, as far as the file can be read; `most` is more than it can hold.
pub fn read_rows(mut rows: inventory::rows::Rows, most: u64) {
    use inventory::rows::Wrong;
    for _ in 0..=most {
        match rows.next() {
            Ok(Some(row)) => assert!(!row.key.is_empty(), "a row without a key"),
            Err(Wrong::Row { .. }) => {}
            Ok(None) | Err(Wrong::File(_)) => return,
        }
    }
    panic!("more than {most} rows");
}
