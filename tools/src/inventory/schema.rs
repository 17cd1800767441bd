//! Which column of a report is what. Only the report's own schema says it: columns come in the order that they were asked
//! for in, and a report of all versions has three more.

/// The columns that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Bucket,
    Key,
    VersionId,
    IsLatest,
    IsDeleteMarker,
    Size,
    LastModifiedDate,
    ETag,
    EncryptionStatus,
}

impl Column {
    const ALL: [Column; 9] = [
        Column::Bucket,
        Column::Key,
        Column::VersionId,
        Column::IsLatest,
        Column::IsDeleteMarker,
        Column::Size,
        Column::LastModifiedDate,
        Column::ETag,
        Column::EncryptionStatus,
    ];

    /// CSV says `LastModifiedDate`, Parquet `last_modified_date`.
    fn named(text: &str) -> Option<Column> {
        let plain = |name: &str| name.trim().replace('_', "").to_ascii_lowercase();
        Column::ALL.into_iter().find(|column| plain(&format!("{column:?}")) == plain(text))
    }
}

/// Where each column stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    places: [Option<usize>; Column::ALL.len()],
    /// Columns that a row has, known or not.
    pub width: usize,
}

impl Schema {
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Schema, String> {
        let mut schema = Schema { places: [None; Column::ALL.len()], width: 0 };
        let mut all = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            all.push(name.trim());
            schema.width = place + 1;
            let Some(column) = Column::named(name) else { continue };
            if schema.places[column as usize].replace(place).is_some() {
                return Err(format!("the schema has two columns {column:?}"));
            }
        }
        if !schema.has(Column::Key) {
            return Err(format!("the schema has no column Key (it has {})", all.join(", ")));
        }
        Ok(schema)
    }

    pub fn index(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    /// Of the columns that matter.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        self.places.into_iter().flatten()
    }

    pub fn has(&self, column: Column) -> bool {
        self.index(column).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_names_are_known_and_others_are_counted() {
        let csv = Schema::new("Bucket, Key, Size, ReplicationStatus, ETag".split(',')).expect("a schema");
        assert_eq!((csv.index(Column::Size), csv.index(Column::ETag), csv.width), (Some(2), Some(4), 5));
        let parquet = Schema::new(["bucket", "key", "version_id", "last_modified_date", "e_tag"]).expect("a schema");
        assert_eq!((parquet.index(Column::VersionId), parquet.index(Column::ETag)), (Some(2), Some(4)));
        assert!(!parquet.has(Column::Size));
    }

    #[test]
    fn without_a_key_or_with_two_it_is_refused() {
        assert!(
            Schema::new(["Bucket", "Size"]).is_err_and(|why| why.contains("no column Key") && why.contains("Size"))
        );
        assert!(Schema::new(["Key", "key"]).is_err_and(|why| why.contains("two columns Key")));
    }
}
