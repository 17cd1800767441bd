//! DynamoDB's limits in front of ministack, which enforces none of them: how long an expression may be, what it must use,
//! how large an item may grow. What is over a limit is refused in DynamoDB's words.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, lock};
use crate::intercepting_proxy::pass_on;

/// "The maximum length of any expression string is 4 KB."
const EXPRESSION: usize = 4096;
/// "The maximum item size in DynamoDB is 400 KB", names included.
const ITEM: usize = 400 << 10;
const UPDATE: &str = "DynamoDB_20120810.UpdateItem";

/// A running front; ends when it is dropped.
#[derive(Debug)]
pub struct DynamoProxy {
    peer: HttpPeer,
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
struct Gauge {
    target: SocketAddr,
    largest: Mutex<Largest>,
}

/// The most that was seen so far, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Largest {
    pub expression: usize,
    pub item: usize,
}

impl DynamoProxy {
    /// Must be called within a tokio runtime.
    pub fn start(target: SocketAddr) -> io::Result<DynamoProxy> {
        let gauge = Arc::new(Gauge { target, largest: Mutex::default() });
        Ok(DynamoProxy { peer: HttpPeer::start(Arc::clone(&gauge))?, gauge })
    }

    pub fn largest(&self) -> Largest {
        *lock(&self.gauge.largest)
    }
}

impl Deref for DynamoProxy {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

impl PeerHandler for Gauge {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        let update = asked.header("x-amz-target") == UPDATE;
        let request: Value = if update { serde_json::from_str(&asked.body).unwrap_or_default() } else { Value::Null };
        if update && let Err(reported) = self.expressions(&request) {
            return reported;
        }
        let look = update.then(|| look(&asked, &request));
        let reported =
            pass_on(self.target, asked).await.unwrap_or_else(|error| PeerReply::text(502, error.to_string()));
        match look {
            Some(look) if reported.status == 200 => match pass_on(self.target, look).await {
                Ok(found) => self.item(&found.body).err().unwrap_or(reported),
                Err(error) => PeerReply::text(502, error.to_string()),
            },
            _ => reported,
        }
    }
}

impl Gauge {
    fn expressions(&self, request: &Value) -> Result<(), PeerReply> {
        let texts = ["UpdateExpression", "ConditionExpression"].map(|name| request[name].as_str().unwrap_or_default());
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let mut largest = lock(&self.largest);
        largest.expression = largest.expression.max(longest);
        if longest > EXPRESSION {
            return Err(refused("Invalid UpdateExpression: Expression size has exceeded the maximum allowed size"));
        }
        let used: Vec<&str> = texts.iter().flat_map(|text| text.split(|c: char| !is_of_a_name(c))).collect();
        for names in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
            let Some(given) = request[names].as_object() else { continue };
            if let Some(unused) = given.keys().find(|name| !used.contains(&name.as_str())) {
                return Err(refused(&format!("Value provided in {names} unused in expressions: keys: {{{unused}}}")));
            }
            if given.is_empty() {
                return Err(refused(&format!("{names} must not be empty")));
            }
        }
        Ok(())
    }

    fn item(&self, body: &str) -> Result<(), PeerReply> {
        let found: Value = serde_json::from_str(body).unwrap_or_default();
        let size = found["Item"].as_object().map_or(0, |item| item.iter().map(|(name, v)| name.len() + size(v)).sum());
        let mut largest = lock(&self.largest);
        largest.item = largest.item.max(size);
        match size > ITEM {
            true => Err(refused("Item size to update has exceeded the maximum allowed size")),
            false => Ok(()),
        }
    }
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '#' | ':' | '_')
}

/// For the item as it is after the update.
fn look(update: &PeerRequest, request: &Value) -> PeerRequest {
    let body = json!({ "TableName": request["TableName"], "Key": request["Key"], "ConsistentRead": true }).to_string();
    let mut headers = update.headers.clone();
    headers.remove("content-length");
    headers.insert("x-amz-target", http::HeaderValue::from_static("DynamoDB_20120810.GetItem"));
    let (method, target, path) = (update.method.clone(), update.target.clone(), update.path.clone());
    PeerRequest { method, target, path, query: Vec::new(), headers, body }
}

/// A value's bytes by the developer guide's rules ("DynamoDB item sizes and formats").
fn size(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let number = |value: &Value| text(value).div_ceil(2) + 1;
    let binary = |value: &Value| {
        value.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok()).map_or(0, |bytes| bytes.len())
    };
    let all = |of: &dyn Fn(&Value) -> usize| value.as_array().map_or(0, |values| values.iter().map(of).sum());
    match kind.as_str() {
        "S" => text(value),
        "N" => number(value),
        "B" => binary(value),
        "SS" => all(&text),
        "NS" => all(&number),
        "BS" => all(&binary),
        "L" => 3 + all(&|value| 1 + size(value)),
        "M" => {
            let fields: BTreeMap<&String, &Value> = value.as_object().into_iter().flatten().collect();
            3 + fields.into_iter().map(|(name, value)| 1 + name.len() + size(value)).sum::<usize>()
        }
        _ => 1,
    }
}

fn refused(message: &str) -> PeerReply {
    let body = json!({ "__type": "com.amazon.coral.validate#ValidationException", "message": message });
    PeerReply { body: body.to_string(), ..PeerReply::json(400, &body) }.with("x-amzn-errortype", "ValidationException")
}
