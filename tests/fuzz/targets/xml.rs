//! The documents with which stores answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyferry_fuzz::stores::xml_api::document::*;

fuzz_target!(|body: &[u8]| {
    let _ = root(body);
    if let Ok(listing) = read::<Listing>(body) {
        rows(&listing.contents, listing.encoding_type.as_deref());
    }
    if let Ok(listing) = read::<VersionListing>(body) {
        rows(&listing.versions, listing.encoding_type.as_deref());
    }
    if let Ok(listing) = read::<UploadListing>(body) {
        for upload in &listing.uploads {
            let _ = (key(&upload.key, listing.encoding_type.as_deref()), seconds(&upload.initiated));
        }
    }
    let _ = (read::<PartListing>(body), read::<Initiated>(body), read::<Completed>(body));
    let _ = (read::<Tagging>(body), read::<ErrorDocument>(body));
});

fn rows(rows: &[Contents], encoding: Option<&str>) {
    for row in rows {
        if let Ok(key) = key(&row.key, encoding) {
            assert!(key.as_bytes().len() <= row.key.len(), "decoding made a key longer");
        }
        let _ = seconds(&row.last_modified);
    }
}
