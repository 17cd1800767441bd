//! What the destination's own report says is there: a table on disk, because reports are in no order and no memory holds
//! them. It is asked once for every row of the source's.

use anyhow::Context as _;
use rusqlite::{Connection, OptionalExtension as _, Statement};
use skyferry_core::model::Location;

use super::row::InventoryRow;

/// Keys come nearly in order, so that pages are seldom read again.
const CACHE_KIB: i64 = 16 << 10;
/// For errors.
const TABLE: &str = "a temporary table (TMPDIR)";
const CREATE: &str =
    "CREATE TABLE there (at BLOB PRIMARY KEY, size INTEGER, etag TEXT, modified INTEGER) WITHOUT ROWID; BEGIN";
const INSERT: &str = "INSERT OR REPLACE INTO there (at, size, etag, modified) VALUES (?1, ?2, ?3, ?4)";
const FIND: &str = "SELECT size, etag, modified FROM there WHERE at = ?1";
const MD5_DIGITS: usize = 32;

pub struct DestinationIndex {
    db: Connection,
}

impl DestinationIndex {
    /// Empty, and gone when it is dropped.
    pub fn new() -> anyhow::Result<DestinationIndex> {
        let db = Connection::open("").context(TABLE)?;
        db.pragma_update(None, "cache_size", -CACHE_KIB).context(TABLE)?;
        db.pragma_update(None, "journal_mode", "OFF").context(TABLE)?;
        db.execute_batch(CREATE).context(TABLE)?;
        Ok(DestinationIndex { db })
    }

    pub fn fill(&self) -> anyhow::Result<IndexBuilder<'_>> {
        Ok(IndexBuilder(self.db.prepare(INSERT).context(TABLE)?))
    }

    pub fn ask(&self) -> anyhow::Result<IndexLookup<'_>> {
        Ok(IndexLookup(self.db.prepare(FIND).context(TABLE)?))
    }
}

pub struct IndexBuilder<'a>(Statement<'a>);

impl IndexBuilder<'_> {
    pub fn add(&mut self, bucket: &str, row: &InventoryRow<'_>) -> anyhow::Result<()> {
        if !row.latest || row.delete_marker {
            return Ok(());
        }
        let bucket = if row.bucket.is_empty() { bucket } else { row.bucket };
        let size = row.size.and_then(|size| i64::try_from(size).ok());
        let etag = row.etag.filter(|_| is_md5(row));
        self.0.execute((name(bucket, row.key), size, etag, row.last_modified)).map(|_| ()).context(TABLE)
    }
}

pub struct IndexLookup<'a>(Statement<'a>);

impl IndexLookup<'_> {
    /// Whether the same is at the destination: the size, and the ETag where both are MD5s; else a copy that is not older than
    /// what it is to be a copy of. In doubt it is not, and a job looks closer.
    pub fn has(&mut self, destination: &Location, row: &InventoryRow<'_>) -> anyhow::Result<bool> {
        type Found = (Option<i64>, Option<String>, Option<i64>);
        let at = name(&destination.bucket, destination.key.as_bytes());
        let found = self.0.query_row((at,), |found| Ok::<Found, _>((found.get(0)?, found.get(1)?, found.get(2)?)));
        let Some((size, etag, modified)) = found.optional().context(TABLE)? else { return Ok(false) };
        if size.is_none() || size.and_then(|size| u64::try_from(size).ok()) != row.size {
            return Ok(false);
        }
        Ok(match (row.etag.filter(|_| is_md5(row)), etag) {
            (Some(here), Some(there)) => here.eq_ignore_ascii_case(&there),
            _ => row.last_modified.zip(modified).is_some_and(|(here, there)| there >= here),
        })
    }
}

fn name(bucket: &str, key: &[u8]) -> Vec<u8> {
    [bucket.as_bytes(), b"/", key].concat()
}

/// Not of parts, and not of what is encrypted with a key that S3 does not hold itself. Where the report does not say, an ETag
/// of another kind differs from every MD5, and a job looks closer.
fn is_md5(row: &InventoryRow<'_>) -> bool {
    let plain = row.encryption.is_none_or(|kind| !kind.contains("KMS") && !kind.contains("SSE-C"));
    plain && row.etag.is_some_and(|tag| tag.len() == MD5_DIGITS && tag.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "900150983cd24fb0d6963f7d28e17f72";
    const OTHER: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn row<'a>(key: &'a str, size: u64, etag: &'a str, modified: i64) -> InventoryRow<'a> {
        InventoryRow {
            bucket: "",
            key: key.as_bytes(),
            version: None,
            latest: true,
            delete_marker: false,
            size: Some(size),
            last_modified: Some(modified),
            etag: Some(etag),
            encryption: None,
        }
    }

    /// Whether `here` counts as copied when `there` is at the destination.
    fn same(there: InventoryRow<'_>, here: InventoryRow<'_>) -> bool {
        let against = DestinationIndex::new().expect("a table");
        against.fill().expect("a table").add("copies", &there).expect("added");
        against.ask().expect("a table").has(&Location::new("copies", "k"), &here).expect("asked")
    }

    #[test]
    fn sizes_and_md5s_decide_and_times_where_there_is_no_md5() {
        assert!(same(row("k", 1, TAG, 5), row("k", 1, TAG, 9)), "equal bytes may be older");
        assert!(!same(row("k", 2, TAG, 9), row("k", 1, TAG, 5)));
        assert!(!same(row("k", 1, OTHER, 9), row("k", 1, TAG, 5)));
        assert!(!same(row("other", 1, TAG, 9), row("k", 1, TAG, 5)));
        assert!(
            same(row("k", 1, "x-2", 9), row("k", 1, "x-7", 9)) && !same(row("k", 1, "x-2", 8), row("k", 1, "x-2", 9))
        );
        let encrypted = InventoryRow { encryption: Some("SSE-KMS"), ..row("k", 1, OTHER, 9) };
        assert!(same(encrypted, row("k", 1, TAG, 9)), "an ETag under KMS is no MD5");
    }

    #[test]
    fn what_is_not_the_latest_is_not_there() {
        assert!(!same(InventoryRow { latest: false, ..row("k", 1, TAG, 9) }, row("k", 1, TAG, 5)));
        assert!(!same(InventoryRow { delete_marker: true, ..row("k", 1, TAG, 9) }, row("k", 1, TAG, 5)));
    }
}
