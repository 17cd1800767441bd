//! Scripted faults inside a peer: which request (by operation, key, count) meets what. A fault is taken when the
//! request's head has been read and acts where it says: on the way in, at the effect, or on the way out.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{call::Call, operation::Operation};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this status and code at once: no effect, the body unread.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The code in the XML.
        code: String,
        /// Seconds of a `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// The effect happens, then this status and code are answered.
    RefuseAfterEffect {
        /// The HTTP status.
        status: u16,
        /// The code in the XML.
        code: String,
    },
    /// No effect; 200 with an `<Error>` body, as a Complete can end on S3.
    ErrorInOk {
        /// The code in the XML.
        code: String,
    },
    /// Nothing at all happens for so long, then the request continues.
    Stall(Duration),
    /// The effect happens, the answer waits for so long.
    LateAnswer(Duration),
    /// The effect happens, and the connection is dropped without an answer.
    LostAnswer,
    /// The body is read, the connection dropped without an answer; the effect happens after so long.
    LateEffect(Duration),
    /// The body is read and the connection dropped: no effect, no answer.
    NoEffect,
    /// The connection is dropped after this many bytes of the request's body.
    CutRequest(u64),
    /// The request's body stands still for so long at this byte.
    StallRequest(u64, Duration),
    /// Reads the request's body no faster than this, in bytes per second.
    SlowRequest(u64),
    /// Flips the lowest bit of the request body's byte at this offset before the peer sees it.
    FlipRequest(u64),
    /// Flips bits of the request's body before the peer sees it: from this offset on, those that are set here.
    FlipBitsOfRequest(u64, Vec<u8>),
    /// The connection is dropped after this many bytes of the response's body.
    CutResponse(u64),
    /// The response's body stands still for so long at this byte.
    StallResponse(u64, Duration),
    /// Sends the response's body no faster than this, in bytes per second.
    SlowResponse(u64),
    /// Flips the lowest bit of the response body's byte at this offset.
    FlipResponse(u64),
    /// Flips bits of the response's body: from this offset on, those that are set here.
    FlipBitsOfResponse(u64, Vec<u8>),
    /// Replaces or adds a header of the answer: a lying `content-length`, `etag`, `x-goog-hash`…
    Header(&'static str, String),
    /// Takes a header of the answer away.
    WithoutHeader(&'static str),
    /// Takes a header of the request away before the peer sees it: a server that does not know it.
    WithoutRequestHeader(&'static str),
    /// No effect, the body unread; this is answered.
    Instead(Reply),
    /// The effect happens, whatever comes of it, then this is answered.
    After(Reply),
    /// Changes the text of the answer.
    Rewrite(fn(&str) -> String),
}

/// An answer that the peer itself would never give.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body, byte for byte.
    pub body: String,
}

/// Which requests meet a fault. Made by [`Rule::on`] or [`Rule::any`] and refined.
#[derive(Clone, Debug)]
pub struct Rule {
    operation: Option<Operation>,
    bucket: Option<String>,
    key: Option<String>,
    prefix: Option<String>,
    part: Option<u32>,
    skip: u32,
    times: u32,
    fault: Fault,
}

impl Rule {
    /// The first request of this operation, once.
    pub fn on(operation: Operation, fault: Fault) -> Self {
        Rule { operation: Some(operation), ..Rule::any(fault) }
    }

    /// The first request of any kind, once.
    pub fn any(fault: Fault) -> Self {
        Rule { operation: None, bucket: None, key: None, prefix: None, part: None, skip: 0, times: 1, fault }
    }

    /// Only requests on this bucket.
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.bucket = Some(bucket.to_owned());
        self
    }

    /// Only requests on this key.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Only requests on keys that start so.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        self.prefix = Some(prefix.to_owned());
        self
    }

    /// Only this part number.
    pub fn part(mut self, number: u32) -> Self {
        self.part = Some(number);
        self
    }

    /// Begins with the n-th matching request, counted from 1.
    pub fn nth(mut self, n: u32) -> Self {
        self.skip = n.saturating_sub(1);
        self
    }

    /// Lasts for so many matching requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lasts until the rules are cleared.
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    fn matches(&self, call: &Call) -> bool {
        let part = || call.query.get("partNumber").and_then(|text| text.parse().ok());
        self.operation.is_none_or(|operation| operation == call.operation)
            && self.bucket.as_ref().is_none_or(|bucket| *bucket == call.bucket)
            && self.key.as_ref().is_none_or(|key| *key == call.key)
            && self.prefix.as_ref().is_none_or(|prefix| call.key.starts_with(prefix))
            && self.part.is_none_or(|wanted| part() == Some(wanted))
    }
}

/// The rules of one peer; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<Rule>,
    met: u64,
    limit: Option<Limit>,
}

/// Requests of one second are counted; beyond so many they are refused.
#[derive(Debug)]
struct Limit {
    a_second: u32,
    since: Instant,
    taken: u32,
    refused: u64,
}

impl Limit {
    fn refuses(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.taken) = (Instant::now(), 0);
        }
        let refuses = self.taken >= self.a_second;
        self.taken += u32::from(!refuses);
        self.refused += u64::from(refuses);
        refuses
    }
}

impl Faults {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. Every rule that matches a request acts on it.
    pub fn add(&self, rule: Rule) {
        self.inner().rules.push(rule);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.inner().rules.clear();
    }

    /// How often a fault was met: a test that scripted one asserts that it happened.
    pub fn met(&self) -> u64 {
        self.inner().met
    }

    /// Takes so many requests a second from now on and answers 503 SlowDown to the others.
    pub fn limit(&self, a_second: u32) {
        self.inner().limit = Some(Limit { a_second, since: Instant::now(), taken: 0, refused: 0 });
    }

    /// How many requests that limit has refused.
    pub fn refused(&self) -> u64 {
        self.inner().limit.as_ref().map_or(0, |limit| limit.refused)
    }

    /// The faults for one request; used up ones are dropped.
    pub(crate) fn take(&self, call: &Call) -> Met {
        let mut inner = self.inner();
        let mut met = Met::default();
        for rule in &mut inner.rules {
            if !rule.matches(call) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.times != u32::MAX {
                rule.times -= 1;
            }
            met.0.push(rule.fault.clone());
        }
        inner.rules.retain(|rule| rule.times > 0);
        if inner.limit.as_mut().is_some_and(Limit::refuses) {
            met.0.push(Fault::Refuse { status: 503, code: "SlowDown".into(), retry_after: None });
        }
        inner.met += met.0.len() as u64;
        met
    }
}

/// What one request meets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met(pub(crate) Vec<Fault>);

/// The faults of one body, in either direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyFaults {
    pub(crate) cut: Option<u64>,
    pub(crate) stall: Option<(u64, Duration)>,
    pub(crate) rate: Option<u64>,
    /// From where on, and which bits of each byte.
    pub(crate) flip: Option<(u64, Vec<u8>)>,
}

impl Met {
    /// What is answered whatever comes of the request.
    pub(crate) fn after(&self) -> Option<&Reply> {
        self.0.iter().find_map(|fault| if let Fault::After(reply) = fault { Some(reply) } else { None })
    }

    pub(crate) fn request(&self) -> BodyFaults {
        let mut faults = BodyFaults::default();
        for fault in &self.0 {
            match fault {
                Fault::CutRequest(at) => faults.cut = Some(*at),
                Fault::StallRequest(at, wait) => faults.stall = Some((*at, *wait)),
                Fault::SlowRequest(rate) => faults.rate = Some(*rate),
                Fault::FlipRequest(at) => faults.flip = Some((*at, vec![1])),
                Fault::FlipBitsOfRequest(at, bits) => faults.flip = Some((*at, bits.clone())),
                _ => {}
            }
        }
        faults
    }

    pub(crate) fn response(&self) -> BodyFaults {
        let mut faults = BodyFaults::default();
        for fault in &self.0 {
            match fault {
                Fault::CutResponse(at) => faults.cut = Some(*at),
                Fault::StallResponse(at, wait) => faults.stall = Some((*at, *wait)),
                Fault::SlowResponse(rate) => faults.rate = Some(*rate),
                Fault::FlipResponse(at) => faults.flip = Some((*at, vec![1])),
                Fault::FlipBitsOfResponse(at, bits) => faults.flip = Some((*at, bits.clone())),
                _ => {}
            }
        }
        faults
    }
}

impl BodyFaults {
    /// Applies what is due to the bytes at `offset`: waits, shortens, flips. `None`: the cut has come.
    pub(crate) async fn apply(&mut self, offset: u64, mut bytes: bytes::Bytes) -> Option<bytes::Bytes> {
        let length = bytes.len() as u64;
        if self.cut.is_some_and(|at| offset >= at) {
            return None;
        }
        if let Some(at) = self.cut.filter(|at| *at < offset + length) {
            bytes.truncate(usize::try_from(at - offset).unwrap_or(usize::MAX));
        }
        if let Some((_, wait)) = self.stall.take_if(|(at, _)| *at < offset + length) {
            tokio::time::sleep(wait).await;
        }
        if let Some(rate) = self.rate {
            tokio::time::sleep(Duration::from_secs_f64(bytes.len() as f64 / rate.max(1) as f64)).await;
        }
        let end = offset + bytes.len() as u64;
        if let Some((at, bits)) = self.flip.as_ref().filter(|(at, bits)| *at < end && at + bits.len() as u64 > offset) {
            let mut changed = bytes.to_vec();
            for (at, bits) in (*at..).zip(bits).filter(|(at, _)| (offset..end).contains(at)) {
                changed[usize::try_from(at - offset).unwrap_or(0)] ^= bits;
            }
            bytes = changed.into();
        }
        Some(bytes)
    }

    /// The largest piece at once, so that slow bodies trickle.
    pub(crate) fn piece(&self, most: usize) -> usize {
        match self.rate {
            Some(rate) => usize::try_from(rate / 20).unwrap_or(most).clamp(1, most),
            None => most,
        }
    }
}
