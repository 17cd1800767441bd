//! HEAD and GET. All of it may be asked again: nothing here changes anything.
//!
//! An absence is believed only on the service's word. A HEAD's answer has none, and a page of something in between is
//! none: so a listing of exactly that key has to agree before a record ends as gone.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderValue, IF_MATCH, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, Method};

use super::super::http::{Call, HttpResponse, retry_idempotent};
use super::answers::RequestKind;
use super::{RequestDraft, XmlClient, length};
use skyferry_core::error::{CopyError, ErrorKind};
use skyferry_core::model::Location;
use skyferry_core::store::{ListFrom, Object, OpenedObject, Pin, Result};

/// A body whose length nobody says is counted up to here; the listing knows the length of a longer one.
const COUNTED: usize = 1 << 20;

/// What "not there" is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Nothing there.
    Believed,
    /// Asked for in a second way.
    Confirmed,
}

impl XmlClient {
    /// One state of an object without its bytes.
    pub(super) async fn head_or_get(&self, at: &Location, pin: &Pin, absence: Absence) -> Result<Option<Object>> {
        if absence == Absence::Confirmed && self.dialect.rejection(&at.key).is_some() {
            return Ok(None);
        }
        let looked = retry_idempotent(|| async {
            let head = self.reading(Method::HEAD, "HeadObject", at, pin, None, 0)?;
            let call = head.call.clone();
            let answer = self.send(head).await?;
            // Where the length is not said, a GET counts.
            let Some(size) = length::stored(&answer.headers).or(answer.content_length()) else { return Ok(None) };
            let first = !matches!(pin, Pin::State { .. });
            let object = self.describe(&call, &answer.headers, size, true, first);
            pinned(&call, object.map_err(|why| call.error(ErrorKind::InvalidAnswer, why))?, pin).map(Some)
        })
        .await;
        match looked {
            Ok(Some(object)) => Ok(Some(object)),
            Err(error) if error.kind == ErrorKind::NotFound && absence == Absence::Believed => Ok(None),
            Err(error) if error.kind == ErrorKind::NotFound && !by_version(pin) => {
                match Box::pin(self.confirm_absent(error)).await {
                    // Nobody may list here: then a GET has to say it.
                    Err(error) if error.kind == ErrorKind::Denied => Box::pin(self.look_by_get(at, pin)).await,
                    absent => absent,
                }
            }
            // Refused credentials, a missing bucket, or this object? A GET's answer has words.
            Err(error)
                if !matches!(
                    error.kind,
                    ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Refused | ErrorKind::WrongRegion
                ) =>
            {
                Err(error)
            }
            Ok(None) | Err(_) => Box::pin(self.look_by_get(at, pin)).await,
        }
    }

    async fn look_by_get(&self, at: &Location, pin: &Pin) -> Result<Option<Object>> {
        Ok(self.read(at, pin, None, Absence::Believed).await?.map(|opened| opened.object))
    }

    /// Opens an object's bytes as they are stored.
    pub(super) async fn read(
        &self,
        at: &Location,
        pin: &Pin,
        range: Option<Range<u64>>,
        absence: Absence,
    ) -> Result<Option<OpenedObject>> {
        if absence == Absence::Confirmed && self.dialect.rejection(&at.key).is_some() {
            return Ok(None);
        }
        let read = retry_idempotent(|| async {
            let mut opened = None;
            for accept in 0..self.traits().accept_encoding.len() {
                let get = self.reading(Method::GET, "GetObject", at, pin, range.as_ref(), accept)?;
                let call = get.call.clone();
                let answer = self.send(get).await?;
                let span = length::span(&answer.headers, range.as_ref());
                let span = span.map_err(|why| call.error(ErrorKind::InvalidAnswer, why))?;
                opened = Some((call, answer, span));
                if span.length.is_some() {
                    break;
                }
            }
            let Some((call, answer, span)) = opened else { return Err(self.refused(at, "no encoding to accept")) };
            match span.length.zip(span.size) {
                Some((length, size)) => self.opened(&call, answer, length, size, pin),
                None => Box::pin(self.opened_uncounted(&call, answer, span.size, pin)).await,
            }
        })
        .await;
        match read {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            // A state that is not there leaves open what the newest one is.
            Err(error) if matches!(pin, Pin::State { .. }) => {
                Err(CopyError { kind: ErrorKind::SourceChanged, ..error })
            }
            Err(error) if absence == Absence::Confirmed && *pin == Pin::Newest => {
                match Box::pin(self.confirm_absent(error)).await {
                    Err(error) if error.kind == ErrorKind::Denied => Ok(None),
                    absent => absent,
                }
            }
            Err(_) => Ok(None),
        }
    }

    fn refused(&self, at: &Location, why: &str) -> CopyError {
        Call::new(self.side, "GetObject", at).error(ErrorKind::Refused, why)
    }

    /// The second look: `None` if a listing does not show the key either.
    async fn confirm_absent<T>(&self, not_found: CopyError) -> Result<Option<T>> {
        let at = Location::new(not_found.bucket.as_str(), not_found.key.clone());
        let page = self.page_of(&at.bucket, &at.key, ListFrom::Start, Some("2")).await?;
        match page.objects.iter().any(|row| row.key == at.key) {
            false => Ok(None),
            true => {
                let answer = format!("listed, but not found: {}", not_found.answer);
                Err(CopyError { kind: ErrorKind::InvalidAnswer, answer, ..not_found })
            }
        }
    }

    fn reading(
        &self,
        method: Method,
        operation: &'static str,
        at: &Location,
        pin: &Pin,
        range: Option<&Range<u64>>,
        accept: usize,
    ) -> Result<RequestDraft> {
        let asked = if method == Method::HEAD { RequestKind::Head } else { RequestKind::Read };
        let mut read = self.object(method, operation, at, asked)?;
        self.dialect.read_headers(&mut read.headers);
        if let Some(accept) = self.traits().accept_encoding.get(accept) {
            read.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        }
        if let Some(range) = range {
            let last = range.end.checked_sub(1).filter(|last| *last >= range.start);
            let last = last.ok_or_else(|| self.refused(at, "an empty range"))?;
            read.header(RANGE, &format!("bytes={}-{last}", range.start))?;
        }
        match pin {
            Pin::Newest => {}
            Pin::Version(version) => read.query(self.traits().version.1, version.to_string()),
            Pin::State { identity, by_version } => {
                if !identity.etag.is_empty() {
                    read.header(IF_MATCH, &format!("\"{}\"", identity.etag))?;
                }
                if let Some(version) = identity.version.as_ref().filter(|_| *by_version) {
                    read.query(self.traits().version.1, version.to_string());
                }
            }
        }
        Ok(read)
    }

    /// The answer says how many bytes follow, and of how many.
    fn opened(&self, call: &Call, answer: HttpResponse, length: u64, size: u64, pin: &Pin) -> Result<OpenedObject> {
        let first = !matches!(pin, Pin::State { .. });
        // With a range that is just one part, S3 answers with the part's checksum.
        let object = self.describe(call, &answer.headers, size, length == size, first);
        let object = object.map_err(|why| call.error(ErrorKind::InvalidAnswer, why))?;
        Ok(OpenedObject { object: pinned(call, object, pin)?, length, chunks: answer.chunks(length) })
    }

    /// It does not: of a small body it is counted.
    async fn opened_uncounted(
        &self,
        call: &Call,
        answer: HttpResponse,
        size: Option<u64>,
        pin: &Pin,
    ) -> Result<OpenedObject> {
        let nonsense = |why: String| call.error(ErrorKind::InvalidAnswer, why);
        let first = !matches!(pin, Pin::State { .. });
        let headers = answer.headers.clone();
        let (head, rest) = answer.start(COUNTED).await?;
        let size = match (size, &rest) {
            (Some(size), _) => size,
            (None, None) if ends_by_itself(&headers) => head.len() as u64,
            (None, _) => self.listed_size(call, &headers).await?,
        };
        let object = self.describe(call, &headers, size, true, first).map_err(nonsense)?;
        let object = pinned(call, object, pin)?;
        let chunks = match (size.checked_sub(head.len() as u64), rest) {
            (Some(left), Some(rest)) => stream::once(async { Ok::<Bytes, _>(head) }).chain(rest.of(left)).boxed(),
            (Some(0), None) => stream::once(async { Ok(head) }).boxed(),
            _ => return Err(nonsense(format!("{} bytes or more of an object of {size}", head.len()))),
        };
        Ok(OpenedObject { object, length: size, chunks })
    }

    /// The length that a listing shows for this state.
    async fn listed_size(&self, call: &Call, headers: &HeaderMap) -> Result<u64> {
        let page = self.page_of(&call.at.bucket, &call.at.key, ListFrom::Start, Some("2")).await?;
        let etag = super::headers::etag(headers).unwrap_or_default();
        let row = page.objects.iter().find(|row| row.key == call.at.key && *row.etag == *etag);
        row.map(|row| row.size)
            .ok_or_else(|| call.error(ErrorKind::InvalidAnswer, "no length, and no listing that shows it"))
    }
}

/// The end of the body is marked, and nothing on the way has packed or unpacked it: then what came is all of it.
fn ends_by_itself(headers: &HeaderMap) -> bool {
    let weak = headers.get(ETAG).is_some_and(|etag| etag.as_bytes().starts_with(b"W/"));
    headers.contains_key(TRANSFER_ENCODING) && !headers.contains_key(CONTENT_ENCODING) && !weak
}

fn by_version(pin: &Pin) -> bool {
    match pin {
        Pin::Newest => false,
        Pin::Version(_) => true,
        Pin::State { identity, by_version } => *by_version && identity.version.is_some(),
    }
}

/// If-Match compares ETags only: the same bytes written again with other headers keep theirs, and are another state. A
/// version says more than a time.
fn pinned(call: &Call, object: Object, pin: &Pin) -> Result<Object> {
    let Pin::State { identity: wanted, .. } = pin else { return Ok(object) };
    let got = &object.identity;
    let same_time = match (&wanted.version, &got.version) {
        (Some(wanted), Some(got)) => wanted == got,
        _ => got.last_modified == wanted.last_modified,
    };
    if got.etag == wanted.etag && got.size == wanted.size && same_time {
        return Ok(object);
    }
    Err(call.error(ErrorKind::SourceChanged, "a different state than the requested one"))
}
