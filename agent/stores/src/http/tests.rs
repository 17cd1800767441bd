//! The transport against a peer that speaks raw TCP, so that every way to break an answer can be had.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn call() -> Call {
    Call::new(Side::Destination, "PutObject", &Location::new("b", "k"))
}

fn transport() -> Transport {
    let stall_timeout = Duration::from_millis(200);
    Transport::new(&TransportOptions { allow_http: true, stall_timeout, ..Default::default() }).unwrap()
}

/// A peer that handles every connection with `serve`.
async fn peer<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    address
}

/// Reads until `end` was seen; what came.
async fn read_until(connection: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    while !got.windows(end.len()).any(|w| w == end) {
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer).await {
            Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    got
}

fn answering(answer: &'static str) -> impl Fn(TcpStream) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync {
    move |mut connection| {
        Box::pin(async move {
            read_until(&mut connection, b"\r\n\r\n").await;
            connection.write_all(answer.as_bytes()).await.ok();
            tokio::time::sleep(Duration::from_secs(5)).await;
        })
    }
}

fn put(address: SocketAddr, body: HttpBody) -> Request<HttpBody> {
    Request::put(format!("http://{address}/b/k")).body(body).unwrap()
}

fn chunks(parts: &[Result<&'static str, CopyError>]) -> Chunks {
    stream::iter(parts.iter().cloned().map(|part| part.map(Bytes::from)).collect::<Vec<_>>()).boxed()
}

#[tokio::test]
async fn plain_http_is_refused_unless_allowed() {
    let strict = Transport::new(&TransportOptions::default()).unwrap();
    let request = put(([127, 0, 0, 1], 9).into(), HttpBody::empty());
    assert_eq!(strict.send(&call(), request, RequestEffect::Write).await.err().unwrap().kind, ErrorKind::Refused);
}

#[tokio::test]
async fn a_refused_connection_was_never_sent() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = transport()
        .send(&call(), put(unused, HttpBody::whole("abc".into())), RequestEffect::Write)
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_answer_lost_after_the_last_byte_is_told_from_a_cut_request() {
    let hanging_up = peer(|mut connection| async move {
        read_until(&mut connection, b"abc").await;
    })
    .await;
    for (effect, kind) in
        [(RequestEffect::Write, ErrorKind::LostAnswer), (RequestEffect::Idempotent, ErrorKind::Unavailable)]
    {
        let error =
            transport().send(&call(), put(hanging_up, HttpBody::whole("abc".into())), effect).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
    }
    let pending = stream::once(async { Ok(Bytes::from("abc")) }).chain(stream::pending()).boxed();
    let body = HttpBody::stream(6, pending, &call());
    let error = transport().send(&call(), put(hanging_up, body), RequestEffect::Write).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable, "never complete, so never published: {error}");
}

#[tokio::test]
async fn the_source_s_own_error_comes_out() {
    let address = peer(answering("")).await;
    let own = CopyError::new(Side::Source, ErrorKind::SourceChanged, "GetObject", &call().at, "412");
    for parts in [vec![Ok("abc"), Err(own.clone())], vec![Ok("abcdef"), Err(own.clone())]] {
        let body = HttpBody::stream(6, chunks(&parts), &call());
        let error = transport().send(&call(), put(address, body), RequestEffect::Write).await.err().unwrap();
        assert_eq!((error.side, error.kind), (Side::Source, ErrorKind::SourceChanged), "{error}");
    }
}

#[tokio::test]
async fn a_source_shorter_or_longer_than_announced_is_never_sent_whole() {
    let received = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = received.clone();
    let address = peer(move |mut connection| {
        let seen = seen.clone();
        async move {
            let got = read_until(&mut connection, b"never").await;
            seen.lock().unwrap().push(got);
        }
    })
    .await;
    for parts in [vec![Ok("abc")], vec![Ok("abc"), Ok("def"), Ok("x")], vec![Ok("abcdefg")]] {
        let body = HttpBody::stream(6, chunks(&parts), &call());
        let error = transport().send(&call(), put(address, body), RequestEffect::Write).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(received.lock().unwrap().iter().all(|got| !String::from_utf8_lossy(got).contains("def")));
}

#[tokio::test]
async fn a_silent_peer_ends_with_stalled_or_a_lost_answer() {
    let silent = peer(answering("")).await;
    for (effect, kind) in
        [(RequestEffect::Write, ErrorKind::LostAnswer), (RequestEffect::Idempotent, ErrorKind::Stalled)]
    {
        let error = transport().send(&call(), put(silent, HttpBody::whole("abc".into())), effect).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
    }
    let half = peer(answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")).await;
    let answer = transport().send(&call(), put(half, HttpBody::empty()), RequestEffect::Idempotent).await.unwrap();
    let error = answer.chunks(6).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Stalled, "{error}");
}

#[tokio::test]
async fn waiting_for_the_source_is_not_a_stall_of_the_far_side() {
    let address = peer(|mut connection| async move {
        read_until(&mut connection, b"abcdef").await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
    })
    .await;
    let slow = stream::once(async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        Ok(Bytes::from("abcdef"))
    });
    let body = HttpBody::stream(6, slow.boxed(), &call());
    let answer = transport().send(&call(), put(address, body), RequestEffect::Write).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_another_length_is_an_error() {
    let short = peer(|mut connection| async move {
        read_until(&mut connection, b"\r\n\r\n").await;
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc").await.ok();
    })
    .await;
    let whole = peer(answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef")).await;
    for (address, announced, good) in [(short, 6, false), (whole, 6, true), (whole, 5, false), (whole, 7, false)] {
        let answer =
            transport().send(&call(), put(address, HttpBody::empty()), RequestEffect::Idempotent).await.unwrap();
        assert_eq!(answer.content_length(), Some(6));
        assert_eq!(answer.chunks(announced).try_collect::<Vec<_>>().await.is_ok(), good);
    }
}

#[tokio::test]
async fn a_small_answer_is_read_whole_and_a_huge_one_refused() {
    let two =
        peer(answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")).await;
    let answer = transport().send(&call(), put(two, HttpBody::empty()), RequestEffect::Idempotent).await.unwrap();
    assert_eq!(answer.read().await.unwrap(), "abcdef");
    let huge = peer(answering("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")).await;
    let answer = transport().send(&call(), put(huge, HttpBody::empty()), RequestEffect::Idempotent).await.unwrap();
    assert_eq!(answer.read().await.unwrap_err().kind, ErrorKind::InvalidAnswer);
}

#[tokio::test]
async fn the_path_arrives_byte_for_byte() {
    let address = peer(|mut connection| async move {
        let got = read_until(&mut connection, b"\r\n\r\n").await;
        let line = String::from_utf8_lossy(&got).lines().next().unwrap_or_default().to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}", line.len());
        connection.write_all(answer.as_bytes()).await.ok();
    })
    .await;
    for (key, line) in [("a/../b//c/./", "a/../b//c/./"), ("é +%2F?#&'", "%C3%A9%20%2B%252F%3F%23%26%27"), ("/x", "/x")]
    {
        let mut url = format!("http://{address}/b/");
        encode_path(key.as_bytes(), &mut url);
        let request = Request::get(url).body(HttpBody::empty()).unwrap();
        let answer = transport().send(&call(), request, RequestEffect::Idempotent).await.unwrap();
        assert_eq!(answer.read().await.unwrap(), format!("GET /b/{line} HTTP/1.1"));
    }
}

#[tokio::test]
async fn idempotent_requests_are_tried_three_times_and_other_failures_once() {
    for (kind, tries) in
        [(ErrorKind::Unavailable, 3), (ErrorKind::Throttled, 3), (ErrorKind::Denied, 1), (ErrorKind::LostAnswer, 1)]
    {
        let count = AtomicUsize::new(0);
        let result: Result<(), _> = retry_idempotent(|| async {
            count.fetch_add(1, Ordering::Relaxed);
            Err(call().error(kind, ""))
        })
        .await;
        assert!(result.is_err());
        assert_eq!(count.into_inner(), tries, "{kind:?}");
    }
}
