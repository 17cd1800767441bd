//! What one small object costs the client: GET + PUT of 4 KiB against a peer in another process.
//!
//!     cargo run --release -p sandbox -F spike --example spike              # every client
//!     cargo run --release -p sandbox -F spike --example spike lean-sigv4   # one
//!
//! The peer answers at once and checks nothing, so what is left is the client: building, signing, sending, reading.
//! The choice that it led to is in the header of `agent/src/store/s3.rs`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sigv4::http_request::{self, PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest};
use aws_sigv4::http_request::{SigningSettings, UriPathNormalizationMode};
use base64::Engine;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};
use skyferry_core::error::Side;
use skyferry_core::model::{Expected, Location, Token};
use skyferry_core::store::{Object, Payload, Pin, Provenance, Sink, Source, WriteAttributes};
use skyferry_stores::http::{Call, HttpBody, HttpResponse, RequestEffect, Transport, TransportOptions, encode_path};
use skyferry_stores::s3::{S3, S3Options};

const OBJECTS: usize = 10_000;
const AT_ONCE: usize = 32;
const SIZE: usize = 4096;
const CLIENTS: [&str; 6] = ["bare", "lean-cached", "lean-sigv4", "store", "sdk-required", "sdk-default"];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => drive(&CLIENTS),
        ["serve"] => runtime()?.block_on(serve()),
        ["client", name, address] => runtime()?.block_on(client(name, address.parse()?)),
        ["sign"] => {
            sign_only();
            Ok(())
        }
        [name] => drive(&[name]),
        _ => bail!("spike [CLIENT]"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Starts the peer and runs each client against it, every one in a process of its own.
fn drive(names: &[&str]) -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    let mut peer = Command::new(&own).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(peer.stdout.as_mut().context("stdout")?), &mut address)?;
    sign_only();
    let mut well = true;
    for name in names {
        well &= Command::new(&own).args(["client", name, address.trim()]).status()?.success();
    }
    peer.kill()?;
    peer.wait()?;
    if well { Ok(()) } else { bail!("a client failed") }
}

#[allow(clippy::print_stdout, reason = "a measurement's output")]
async fn serve() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let object = Bytes::from(vec![7; SIZE]);
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let object = object.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                let object = object.clone();
                async move {
                    let answer = Response::builder()
                        .header("etag", "\"9b2cf535f27731c974343645a3985328\"")
                        .header("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT")
                        .header("x-amz-request-id", "4442587FB7D0A2F9")
                        .header("content-type", "application/octet-stream");
                    let read = request.method() == Method::GET;
                    let _ = request.into_body().collect().await?;
                    let body = if read { object } else { Bytes::new() };
                    Ok::<_, hyper::Error>(answer.body(Full::new(body)).unwrap_or_default())
                }
            });
            let io = hyper_util::rt::TokioIo::new(connection);
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
        });
    }
}

#[allow(clippy::print_stdout, reason = "a measurement's output")]
async fn client(name: &str, address: SocketAddr) -> anyhow::Result<()> {
    let wall = Instant::now();
    let before = cpu()?;
    match name {
        "bare" => lean(address, Signer::None).await?,
        "lean-cached" => lean(address, Signer::Cached(Box::new(Cached::new()))).await?,
        "lean-sigv4" => lean(address, Signer::Library(identity())).await?,
        "store" => store(address).await?,
        "sdk-required" => sdk(address, false).await?,
        "sdk-default" => sdk(address, true).await?,
        _ => bail!("one of {CLIENTS:?}"),
    }
    let used = cpu()? - before;
    let resident = std::fs::read_to_string("/proc/self/status")?;
    let resident = resident.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    println!(
        "{name:14} {:.4} ms CPU an object (GET + PUT of {SIZE} bytes), {:.2} s wall, {resident}",
        used.as_secs_f64() * 1e3 / OBJECTS as f64,
        wall.elapsed().as_secs_f64()
    );
    Ok(())
}

/// User and system time of this process, in steps of 10 ms.
fn cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("stat")?.split(' ').collect();
    Ok(Duration::from_millis(10 * (fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)))
}

/// The agent's own store: provenance, metadata, checksums, classification and all.
async fn store(address: SocketAddr) -> anyhow::Result<()> {
    let transport = Transport::new(&TransportOptions { allow_http: true, ..Default::default() })?;
    let options = S3Options { endpoint: Some(format!("http://{address}")), ..Default::default() };
    let credentials = Arc::new(skyferry_providers::Cached::new(Fixed));
    let source = Arc::new(S3::new(options.clone(), credentials.clone(), Side::Source, transport.clone())?);
    let sink = Arc::new(S3::new(options, credentials, Side::Destination, transport)?);
    let copies = futures_util::stream::iter(0..OBJECTS).map(|n| {
        let (source, sink) = (source.clone(), sink.clone());
        tokio::spawn(async move {
            let from = Location::new("source", format!("some/prefix/object-{n}").as_str());
            let opened = Source::open(&*source, &from, &Pin::Newest, None).await?.context("nothing there")?;
            let chunks: Vec<Bytes> = opened.chunks.try_collect().await?;
            let body = if chunks.len() == 1 { chunks[0].clone() } else { Bytes::from(chunks.concat()) };
            anyhow::ensure!(body.len() == SIZE);
            let Object { identity, metadata, .. } = opened.object;
            let provenance =
                Provenance { source: from.clone(), identity, token: Token::random(), crc32c: None, headers: None };
            let with = WriteAttributes { metadata, provenance, size: SIZE as u64, options: Default::default() };
            let to = Location::new("destination", from.key);
            sink.put(&to, Payload::Whole(body), &with, &Expected::Absent).await?;
            anyhow::Ok(())
        })
    });
    finish(copies.buffer_unordered(AT_ONCE)).await
}

struct Fixed;

#[async_trait::async_trait]
impl skyferry_providers::Provider for Fixed {
    fn describe(&self) -> String {
        "the example's key".into()
    }
    async fn load(&self) -> Result<skyferry_providers::Credentials, skyferry_providers::ProviderError> {
        let secret_access_key = skyferry_providers::Secret::new(SECRET);
        let access_key_id = ACCESS.to_owned();
        let grant = skyferry_providers::Grant::Keys { access_key_id, secret_access_key, session_token: None };
        Ok(skyferry_providers::Credentials { grant, region: None, expires: None })
    }
}

async fn sdk(address: SocketAddr, checksums: bool) -> anyhow::Result<()> {
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-west-2"))
        .credentials_provider(Credentials::from_keys(ACCESS, SECRET, None))
        .endpoint_url(format!("http://{address}"))
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .force_path_style(true);
    if !checksums {
        config = config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    let client = aws_sdk_s3::Client::from_conf(config.build());
    let copies = futures_util::stream::iter(0..OBJECTS).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = format!("some/prefix/object-{n}");
            let body = client.get_object().bucket("source").key(&key).send().await?.body.collect().await?.into_bytes();
            anyhow::ensure!(body.len() == SIZE);
            let put = client.put_object().bucket("destination").key(&key).body(ByteStream::from(body));
            put.customize().disable_payload_signing().send().await?;
            anyhow::Ok(())
        })
    });
    finish(copies.buffer_unordered(AT_ONCE)).await
}

async fn finish(
    copies: impl futures_util::Stream<Item = Result<anyhow::Result<()>, tokio::task::JoinError>>,
) -> anyhow::Result<()> {
    let mut copies = std::pin::pin!(copies);
    while let Some(copied) = copies.next().await {
        copied??;
    }
    Ok(())
}

async fn lean(address: SocketAddr, signer: Signer) -> anyhow::Result<()> {
    let transport = Transport::new(&TransportOptions { allow_http: true, ..Default::default() })?;
    let signer = Arc::new(signer);
    let copies = futures_util::stream::iter(0..OBJECTS).map(|n| {
        let (transport, signer) = (transport.clone(), signer.clone());
        tokio::spawn(async move {
            let key = format!("some/prefix/object-{n}");
            let get = request(&signer, Method::GET, address, "source", &key, HttpBody::empty(), None)?;
            let got = send(&transport, "GetObject", &key, get, RequestEffect::Idempotent).await?;
            let body = got.read().await?;
            anyhow::ensure!(body.len() == SIZE);
            let crc = base64::engine::general_purpose::STANDARD.encode(crc32c::crc32c(&body).to_be_bytes());
            let put = request(&signer, Method::PUT, address, "destination", &key, HttpBody::whole(body), Some(&crc))?;
            send(&transport, "PutObject", &key, put, RequestEffect::Write).await?.read().await?;
            anyhow::Ok(())
        })
    });
    finish(copies.buffer_unordered(AT_ONCE)).await
}

async fn send(
    transport: &Transport,
    verb: &'static str,
    key: &str,
    request: Request<HttpBody>,
    effect: RequestEffect,
) -> anyhow::Result<HttpResponse> {
    let call = Call::new(Side::Source, verb, &Location::new("source", key));
    let answer = transport.send(&call, request, effect).await?;
    anyhow::ensure!(answer.status.is_success(), "{}", answer.status);
    Ok(answer)
}

fn request(
    signer: &Signer,
    method: Method,
    address: SocketAddr,
    bucket: &str,
    key: &str,
    body: HttpBody,
    crc: Option<&str>,
) -> anyhow::Result<Request<HttpBody>> {
    let host = address.to_string();
    let mut path = format!("/{bucket}/");
    encode_path(key.as_bytes(), &mut path);
    let uri = http::Uri::builder().scheme("http").authority(host.as_str()).path_and_query(path).build()?;
    let mut request = Request::builder().method(method).uri(uri).body(body)?;
    request.headers_mut().insert("host", host.try_into()?);
    if let Some(crc) = crc {
        request.headers_mut().insert("x-amz-checksum-crc32c", crc.try_into()?);
    }
    signer.sign(&mut request)?;
    Ok(request)
}

const ACCESS: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

enum Signer {
    None,
    Library(aws_smithy_runtime_api::client::identity::Identity),
    Cached(Box<Cached>),
}

fn identity() -> aws_smithy_runtime_api::client::identity::Identity {
    Credentials::from_keys(ACCESS, SECRET, None).into()
}

impl Signer {
    fn sign(&self, request: &mut Request<HttpBody>) -> anyhow::Result<()> {
        match self {
            Signer::None => Ok(()),
            Signer::Cached(cached) => cached.sign(request),
            Signer::Library(identity) => library(identity, request),
        }
    }
}

fn library(
    identity: &aws_smithy_runtime_api::client::identity::Identity,
    request: &mut Request<HttpBody>,
) -> anyhow::Result<()> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(identity)
        .region("us-west-2")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()?
        .into();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let method = request.method().as_str();
    let signable = SignableRequest::new(method, request.uri().to_string(), headers, SignableBody::UnsignedPayload)?;
    let (instructions, _) = http_request::sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// A signer of its own: the day's key and the scope are kept, the canonical request is written once.
struct Cached {
    key: Hmac<Sha256>,
    scope: String,
}

impl Cached {
    fn new() -> Self {
        let today = jiff::Timestamp::now().strftime("%Y%m%d").to_string();
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in [&today, "us-west-2", "s3", "aws4_request"] {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("any length");
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let key = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("any length");
        Cached { key, scope: format!("{today}/us-west-2/s3/aws4_request") }
    }

    fn sign(&self, request: &mut Request<HttpBody>) -> anyhow::Result<()> {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        request.headers_mut().insert("x-amz-date", HeaderValue::from_str(&now)?);
        request.headers_mut().insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
        let mut headers: Vec<(&str, &str)> =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        headers.sort_unstable();
        let mut canonical = String::with_capacity(512);
        canonical.extend([request.method().as_str(), "\n", request.uri().path(), "\n\n"]);
        let mut signed = String::with_capacity(128);
        for (n, (name, value)) in headers.iter().enumerate() {
            canonical.extend([name, ":", value, "\n"]);
            signed.extend([if n > 0 { ";" } else { "" }, name]);
        }
        canonical.extend(["\n", &signed, "\nUNSIGNED-PAYLOAD"]);
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{now}\n{}\n{hash}", self.scope);
        let mut mac = self.key.clone();
        mac.update(to_sign.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let scope = &self.scope;
        let value =
            format!("AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={signed}, Signature={signature}");
        request.headers_mut().insert("authorization", HeaderValue::from_str(&value)?);
        Ok(())
    }
}

/// Signing alone, without a connection.
#[allow(clippy::print_stdout, reason = "a measurement's output")]
fn sign_only() {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    for (name, signer) in [
        ("unsigned", Signer::None),
        ("cached", Signer::Cached(Box::new(Cached::new()))),
        ("aws-sigv4", Signer::Library(identity())),
    ] {
        let start = Instant::now();
        for _ in 0..20_000 {
            request(&signer, Method::PUT, address, "bucket", "some/prefix/object", HttpBody::empty(), Some("AAAAAA=="))
                .expect("well formed");
        }
        println!("building a request, {name}: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / 20_000.0);
    }
}
