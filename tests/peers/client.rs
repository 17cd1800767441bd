//! A small HTTP client with its own signing, written apart from the peers': if both agree, neither copied the other's
//! mistake.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

/// How a request is signed.
#[derive(Clone, Debug)]
pub enum Sign {
    Goog4,
    Aws4,
    Bearer(String),
    Nobody,
}

/// A request to be signed and sent. The path is sent as given.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The content-sha256 to sign; `None`: the body's own.
    pub payload: Option<String>,
    /// Seconds that the client's clock is ahead.
    pub clock: i64,
    /// Whether Content-Length is sent.
    pub length: bool,
}

pub fn ask(method: &'static str, path: &str) -> Ask {
    Ask { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new(), payload: None, clock: 0, length: true }
}

impl Ask {
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.to_owned());
        self
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's values joined by commas.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(",")
    }

    /// The text of the first element of this name.
    pub fn element(&self, name: &str) -> String {
        self.elements(name).into_iter().next().unwrap_or_default()
    }

    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = text.split(&open).skip(1);
        pieces.filter_map(|piece| piece.split(&close).next()).map(str::to_owned).collect()
    }

    /// Status and error code, as in `403 AccessDenied`.
    pub fn verdict(&self) -> String {
        format!("{} {}", self.status, self.element("Code")).trim().to_owned()
    }
}

/// A customer of one peer.
#[derive(Clone, Debug)]
pub struct Client {
    pub endpoint: String,
    pub sign: Sign,
    pub access_id: String,
    pub secret: String,
    /// The authority to trust under https.
    pub authority: Option<String>,
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Client {
    /// Sends; panics if no answer comes.
    pub async fn send(&self, ask: Ask) -> Reply {
        self.try_send(ask).await.expect("an answer")
    }

    /// Sends on a connection of its own; an error if it ends before the answer is whole.
    pub async fn try_send(&self, ask: Ask) -> Result<Reply, String> {
        let uri: Uri = self.endpoint.parse().unwrap();
        let authority = uri.authority().unwrap().to_string();
        let stream = TcpStream::connect(&authority).await.map_err(|error| error.to_string())?;
        let request = self.request(ask, &authority);
        if uri.scheme_str() == Some("https") {
            let stream = self.tls(stream).await;
            exchange(TokioIo::new(stream), request).await
        } else {
            exchange(TokioIo::new(stream), request).await
        }
    }

    async fn tls(&self, stream: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = self.authority.as_ref().expect("an authority");
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream
    }

    fn request(&self, ask: Ask, authority: &str) -> Request<Full<Bytes>> {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        headers.insert("host".to_owned(), authority.to_owned());
        for (name, value) in &ask.headers {
            headers.insert(name.to_lowercase(), value.clone());
        }
        let authorization = match &self.sign {
            Sign::Nobody => None,
            Sign::Bearer(token) => Some(format!("Bearer {token}")),
            Sign::Goog4 => Some(self.sign(&ask, &mut headers, ["GOOG4", "x-goog", "auto/storage/goog4_request"])),
            Sign::Aws4 => Some(self.sign(&ask, &mut headers, ["AWS4", "x-amz", "us-west-2/s3/aws4_request"])),
        };
        let mut request = Request::builder().method(ask.method).uri(&ask.path);
        for (name, value) in &headers {
            request = request.header(name, value.as_bytes());
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if ask.length && matches!(ask.method, "PUT" | "POST") && !headers.contains_key("content-length") {
            request = request.header("content-length", ask.body.len());
        }
        request.body(Full::new(ask.body.into())).unwrap()
    }

    fn sign(&self, ask: &Ask, headers: &mut BTreeMap<String, String>, words: [&str; 3]) -> String {
        let [kind, family, scope] = words;
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ask.clock);
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let payload = ask.payload.clone().unwrap_or_else(|| sha256(&ask.body));
        headers.insert(format!("{family}-date"), time.clone());
        headers.insert(format!("{family}-content-sha256"), payload.clone());
        let (path, query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
        let mut pairs: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(with_equals).collect();
        pairs.sort();
        let names = headers.keys().cloned().collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = [ask.method, path, &pairs.join("&"), &lines, &names, &payload].join("\n");
        let text = format!("{kind}-HMAC-SHA256\n{time}\n{day}/{scope}\n{}", sha256(canonical.as_bytes()));
        let mut key = hmac(format!("{kind}{}", self.secret).as_bytes(), day);
        for step in scope.split('/') {
            key = hmac(&key, step);
        }
        let signature = hex::encode(hmac(&key, &text));
        let credential = format!("{}/{day}/{scope}", self.access_id);
        format!("{kind}-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}")
    }
}

fn with_equals(pair: &str) -> String {
    if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }
}

async fn exchange<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Result<Reply, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let reply = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = reply.into_parts();
    let body = body.collect().await.map_err(|error| format!("{}: {error}", head.status))?.to_bytes();
    connection.abort();
    let status = StatusCode::as_u16(&head.status);
    Ok(Reply { status, headers: head.headers, body })
}
