//! The floor that `tests/bench` measures against: what copying costs where nothing is signed, queued, recorded or proven. A GET
//! is streamed into a PUT as it arrives, with its CRC32C; a large object in ranges that become parts.
//!
//!     relay STREAMS SOURCE SINK BUCKET ACCESS_ID SIZE < LINES       a line an object of SIZE bytes: BUCKET/KEY
//!
//! Both are S3 peers that look at no signature's value (`peers --unchecked`), because the header is the same for every request.
//! The certificate authority of TLS is the file that `SSL_CERT_FILE` names. Prints how many objects were copied.

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Of which an object of more than one is made.
const PART: u64 = 16 << 20;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

struct Relay {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    headers: HeaderMap,
    source: String,
    sink: String,
    streams: Semaphore,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [streams, source, sink, bucket, access_id, size] = &arguments[..] else {
        bail!("relay STREAMS SOURCE SINK BUCKET ACCESS_ID SIZE < LINES")
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let connector =
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?.https_or_http().enable_http1().build();
    let relay = Arc::new(Relay {
        client: Client::builder(TokioExecutor::new()).build(connector),
        headers: unsigned(access_id)?,
        source: source.clone(),
        sink: format!("{sink}/{bucket}"),
        streams: Semaphore::new(streams.parse()?),
    });
    let size = size.parse()?;
    let mut running = JoinSet::new();
    let mut copied = 0_u64;
    for line in std::io::stdin().lock().lines() {
        let (relay, at) = (Arc::clone(&relay), line?);
        running.spawn(async move { relay.object(&at, size).await.context(at) });
        // As many as there are streams wait for one; more would only fill memory.
        while running.len() > 2 * streams.parse::<usize>()? {
            running.join_next().await.context("none runs")???;
            copied += 1;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended??;
        copied += 1;
    }
    writeln!(std::io::stdout(), "{copied}")?;
    Ok(())
}

/// A header that has the form of a signature.
fn unsigned(access_id: &str) -> anyhow::Result<HeaderMap> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &now[..8];
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_id}/{day}/us-east-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={:064}",
        0
    );
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization.parse()?);
    headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    headers.insert("x-amz-date", now.parse()?);
    Ok(headers)
}

impl Relay {
    async fn object(&self, at: &str, size: u64) -> anyhow::Result<()> {
        let (_, key) = at.split_once('/').context("BUCKET/KEY")?;
        let (from, to) = (format!("{}/{at}", self.source), format!("{}/{key}", self.sink));
        if size <= PART {
            return self.pass(&from, None, &to).await.map(drop);
        }
        let mut begin = self.request(Method::POST, &format!("{to}?uploads="), empty())?;
        begin.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let begun = text(checked(self.client.request(begin).await?)?).await?;
        let upload = begun.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let (upload, _) = upload.with_context(|| format!("no upload id in {begun}"))?;
        let parts = (0..size.div_ceil(PART)).map(|n| {
            let to = format!("{to}?partNumber={}&uploadId={upload}", n + 1);
            let range = format!("bytes={}-{}", n * PART, ((n + 1) * PART).min(size) - 1);
            let from = &from;
            async move { self.pass(from, Some(range), &to).await }
        });
        let etags = try_join_all(parts).await?;
        let listed = etags
            .iter()
            .enumerate()
            .map(|(n, etag)| format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", n + 1));
        let document = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", listed.collect::<String>());
        let whole = Full::new(Bytes::from(document)).map_err(|never| match never {}).boxed_unsync();
        let done = text(self.ask(Method::POST, &format!("{to}?uploadId={upload}"), None, whole).await?).await?;
        ensure!(done.contains("<ETag>"), "{done}");
        Ok(())
    }

    /// One GET into one PUT. Returns the ETag of what was stored.
    async fn pass(&self, from: &str, range: Option<String>, to: &str) -> anyhow::Result<String> {
        let _stream = self.streams.acquire().await?;
        let got = self.ask(Method::GET, from, range, empty()).await?;
        let length = got.headers().get(header::CONTENT_LENGTH).context("no length")?.clone();
        let mut sum = 0_u32;
        let hashed = BodyStream::new(got.into_body()).map_ok(move |frame| {
            frame.map_data(|data| {
                sum = std::hint::black_box(crc32c::crc32c_append(sum, &data));
                data
            })
        });
        let body = StreamBody::new(hashed).boxed_unsync();
        let mut put = self.request(Method::PUT, to, body)?;
        put.headers_mut().insert(header::CONTENT_LENGTH, length);
        let stored = checked(self.client.request(put).await?)?;
        let etag = stored.headers().get(header::ETAG).context("no ETag")?.to_str()?.to_owned();
        text(stored).await?;
        Ok(etag)
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        range: Option<String>,
        body: Body,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = self.request(method, url, body)?;
        if let Some(range) = range {
            request.headers_mut().insert(header::RANGE, range.parse()?);
        }
        checked(self.client.request(request).await?)
    }

    fn request(&self, method: Method, url: &str, body: Body) -> anyhow::Result<Request<Body>> {
        let mut request = Request::builder().method(method).uri(url).body(body)?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

fn checked(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    ensure!(response.status().is_success(), "{}", response.status());
    Ok(response)
}

async fn text(response: Response<Incoming>) -> anyhow::Result<String> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}
