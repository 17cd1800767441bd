//! The parsers that the targets feed, compiled from the same files as in the programs. Most are private there, and stay so: the
//! directories `stores`, `dynamodb`, `inventory` and `trigger` here are links to theirs.
#![allow(dead_code, unused_imports)]

use std::fs::File;
use std::io::{Seek as _, Write as _};

pub mod prefixes;
pub mod usage;

pub mod inventory {
    pub mod csv;
    pub mod manifest;
    pub mod parquet;
    pub mod row;
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
    mod update_expression;
    mod item;

    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;

    use skyferry_core::ledger::{LastPublished, LedgerRecord, Subject, UploadRecord};

    /// Everything that is read from an item of the table.
    pub fn read_item(attributes: HashMap<String, AttributeValue>, subject: &Subject) {
        let item = item::Item::new(attributes);
        let record = item.record(subject);
        let open = item.open();
        assert_eq!(record.open_writers, open.len());
        for open in &open {
            if let Some(upload) = item.upload(subject, open) {
                super::codec::reread(&upload);
            }
        }
        (item.schema(), item.last_writer(), item.has_data_for(subject), item.texts("instanceID"));
    }
}

/// Uploads and digests as either ledger has them.
pub mod codec {
    use skyferry_core::ledger::UploadRecord;
    use skyferry_core::ledger::codec::*;
    use skyferry_core::model::{Token, UploadId};

    /// Read as each of them; what was read is written as it was.
    pub fn read_all(token: u128, bytes: &[u8]) {
        if let Some(upload) = decode_upload(UploadId("u".into()), bytes) {
            reread(&upload);
        }
        if let Some(mut upload) = decode_head(UploadId("u".into()), bytes) {
            upload.parts = decode_parts(bytes, upload.token).unwrap_or_default();
            reread(&upload);
        }
        if let Some(parts) = decode_parts(bytes, Token(token)) {
            assert!(parts.len() <= bytes.len(), "more parts than bytes");
        }
        if let Some((digests, grade)) = decode_proof(bytes) {
            assert_eq!(decode_proof(&encode_proof(digests.as_ref(), grade)), Some((digests, grade)));
        }
        if let Some(digests) = decode_digests(bytes) {
            assert_eq!(decode_digests(&encode_digests(&digests)), Some(digests));
        }
    }

    pub(super) fn reread(upload: &UploadRecord) {
        assert_eq!(decode_upload(upload.id.clone(), &encode_upload(upload)).as_ref(), Some(upload));
        // What does not fit into an item is left out.
        let parts = decode_parts(&encode_parts(upload, 340_000), upload.token).expect("its own parts");
        assert!(upload.parts.starts_with(&parts) && (parts.len() == upload.parts.len() || parts.len() > 1000));
        assert!(upload.percent() < 100);
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
pub fn read_rows(mut rows: inventory::rows::ReportRows, most: u64) {
    use inventory::row::RowError;
    for _ in 0..=most {
        match rows.next() {
            Ok(Some(row)) => assert!(!row.key.is_empty(), "a row without a key"),
            Err(RowError::Row { .. }) => {}
            Ok(None) | Err(RowError::File(_)) => return,
        }
    }
    panic!("more than {most} rows");
}
