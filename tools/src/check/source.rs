//! What the source's keys may do, by doing it: list, look, read, versions, tags.

use bytes::Bytes;
use futures_util::StreamExt as _;
use skyferry_config::{Settings, VersionMode};
use skyferry_core::error::{CopyError, ErrorKind, Side};
use skyferry_core::model::{Key, Location, Token};
use skyferry_core::route::Route;
use skyferry_core::store::{ListFrom, Listed, Object, Pin, Source};

use super::finding::{CheckError, Findings};

/// Bytes of an object that are read at most.
const PART: u64 = 1000;

pub async fn probe(source: &dyn Source, route: &Route, settings: &Settings, findings: &mut Findings<'_>) {
    let Some(bucket) = &route.source_bucket else {
        findings.about("source");
        let advice = "name it in [[routes]]: then it is checked, and no other bucket is read";
        return findings.warn("bucket", ("any bucket whose events reach the queue", advice), &[]);
    };
    findings.about(format!("source {bucket}/{}", route.source_prefix));
    let listed = match source.list(bucket, &route.source_prefix, ListFrom::Start).await {
        Ok(page) => {
            findings.pass("list", format!("{} on the first page", crate::output::objects(page.objects.len() as u64)));
            page.objects
        }
        Err(error) if error.kind == ErrorKind::BucketMissing => return findings.fail("list", &error, &[]),
        Err(error) => {
            let CheckError { found, .. } = CheckError::from(&error);
            findings.warn(
                "list",
                (found, "not needed by agents, but by `copy`, `scan` and `verify` (s3:ListBucket)"),
                &[],
            );
            Vec::new()
        }
    };
    nothing_there(source, bucket, route, findings).await;
    let readable = |object: &&Listed| object.size > 0 && !is_archived(object.storage_class.as_deref());
    let Some(first) = listed.iter().find(readable) else {
        return findings.warn("read", ("there is no object to read", "put an object there and check again"), &[]);
    };
    let at = Location { bucket: bucket.clone(), key: first.key.clone() };
    match read(source, &at).await {
        Ok(Some(object)) => read_of(source, &at, &object, settings, findings).await,
        Ok(None) => findings.warn("read", (format!("{at} is gone meanwhile"), "check again"), &[]),
        Err(error) => findings.fail("read", explain_read_error(source, &at, &error).await, &[]),
    }
}

/// A key that was removed has to look so, or its message waits for a permission that never comes.
async fn nothing_there(source: &dyn Source, bucket: &str, route: &Route, findings: &mut Findings<'_>) {
    let name = Token::random().to_string();
    let key = Key::new([route.source_prefix.as_bytes(), b"skyferry-check-", name.as_bytes()].concat());
    match source.head(&Location::new(bucket, key), &Pin::Newest).await {
        Ok(_) => findings.pass("a missing key", "is reported as missing"),
        Err(error) if error.kind == ErrorKind::Denied => {
            let advice = "grant s3:ListBucket: without it a deleted object looks denied, and its messages wait";
            findings.warn("a missing key", ("looks denied", advice), &[9]);
        }
        Err(error) => findings.fail("a missing key", &error, &[]),
    }
}

/// A part of its bytes, of just this state, as agents read parts.
async fn read(source: &dyn Source, at: &Location) -> Result<Option<Object>, CopyError> {
    // A range shows no checksum of the whole.
    let Some(object) = source.head(at, &Pin::Newest).await? else { return Ok(None) };
    let size = object.identity.size;
    let range = if size > 1 { 1..size.min(PART) } else { 0..size };
    let pin = Pin::State { identity: object.identity.clone(), by_version: false };
    let wanted = range.end - range.start;
    let Some(opened) = source.open(at, &pin, Some(range)).await? else { return Ok(None) };
    let chunks: Vec<Result<Bytes, CopyError>> = opened.chunks.collect().await;
    let chunks = chunks.into_iter().collect::<Result<Vec<Bytes>, CopyError>>()?;
    let got: usize = chunks.iter().map(Bytes::len).sum();
    if got as u64 != wanted {
        let answer = format!("{got} bytes instead of the {wanted} that were asked for: ranges are not respected");
        return Err(CopyError::new(Side::Source, ErrorKind::InvalidAnswer, "GetObject", at, answer));
    }
    Ok(Some(object))
}

/// What a read that failed means.
async fn explain_read_error(source: &dyn Source, at: &Location, error: &CopyError) -> CheckError {
    if error.kind == ErrorKind::SourceChanged
        && let (Ok(Some(one)), Ok(Some(other))) =
            (source.head(at, &Pin::Newest).await, source.head(at, &Pin::Newest).await)
        && one.identity == other.identity
    {
        let found = format!("{at}: If-Match is refused although the ETag is correct");
        return CheckError::new(
            found,
            "objects in parts cannot be read from this service: update it, or the proxy in front of it",
        );
    }
    CheckError::from(error)
}

async fn read_of(
    source: &dyn Source,
    at: &Location,
    object: &Object,
    settings: &Settings,
    findings: &mut Findings<'_>,
) {
    findings.pass("read", format!("a part of {at}"));
    let stored = &object.stored;
    let sums = [
        ("CRC64NVME", stored.crc64nvme.is_some_and(|sum| sum.is_full())),
        ("CRC32C", stored.crc32c.is_some_and(|sum| sum.is_full())),
        ("CRC32", stored.crc32.is_some_and(|sum| sum.is_full())),
        ("SHA-256", stored.sha256.is_some_and(|sum| sum.is_full())),
        ("MD5", stored.md5.is_some_and(|sum| sum.is_full())),
    ];
    match sums.iter().find(|(_, there)| *there) {
        Some((name, _)) => findings.pass("stored checksum", format!("{name} of that object")),
        None => findings.pass("stored checksum", "none of that object: such copies are graded in-transit"),
    }
    let exact = settings.transfer.versions == VersionMode::Exact;
    match &object.identity.version {
        None if exact => {
            let advice = "versions = \"exact\" needs a versioned bucket";
            findings.warn("versions", ("the bucket has none", advice), &[]);
        }
        None => findings.pass("versions", "the bucket has none"),
        Some(version) => match source.head(at, &Pin::Version(version.clone())).await {
            Ok(_) => findings.pass("versions", "can be read"),
            Err(error) if exact => findings.fail("versions", &error, &[]),
            Err(_) => findings.pass("versions", "cannot be read, which only versions = \"exact\" needs"),
        },
    }
    if settings.transfer.tags {
        match source.tags(at, None).await {
            Ok(_) => findings.pass("tags", "can be read"),
            Err(error) => {
                let CheckError { found, .. } = CheckError::from(&error);
                findings.fail("tags", (found, "grant s3:GetObjectTagging, or set tags = false"), &[]);
            }
        }
    }
}

fn is_archived(class: Option<&str>) -> bool {
    class.is_some_and(|class| matches!(class, "GLACIER" | "DEEP_ARCHIVE"))
}
