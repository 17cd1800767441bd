//! What passes over the socket: one request and one answer a connection, each a length and JSON. Both ends are one program
//! of one version, or the receiver says that it does not know the request.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::ledger::RecordPlace;
use skyferry_core::ledger::{LedgerError, Leftover, Subject, UploadRecord, WriterEnd};
use skyferry_core::model::Writer;
use skyferry_core::queue::{Message, QueueError, QueueTraits, Receipt};

/// Far more than a page of records or an upload's ten thousand parts; a length beyond it is not one.
const LONGEST: u32 = 64 << 20;
/// The byte by which the asker confirms an answer.
pub const RECEIVED: u8 = 1;

#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Whether somebody is there.
    Hello,
    Queue {
        name: String,
        traits: QueueTraits,
        call: QueueCall,
    },
    Ledger(LedgerCall),
}

#[derive(Serialize, Deserialize)]
pub enum QueueCall {
    Receive { max: usize, wait: Duration },
    Extend { receipt: Receipt, visibility: Duration },
    Release { receipt: Receipt, delay: Duration },
    Renew { message: Box<Message>, body: String, delay: Duration },
    Park { body: String, reason: String },
    Delete { receipt: Receipt },
    Send { bodies: Vec<String> },
    Depth,
    DeadLetters { after: i64, max: usize },
    Redrive { dead_letter: i64 },
    DropLetters { dead_letters: Vec<i64> },
    CountLetters,
}

#[derive(Serialize, Deserialize)]
pub enum LedgerCall {
    Begin { subject: Subject, writer: Writer },
    Checkpoint { subject: Subject, writer: Writer, upload: Option<UploadRecord> },
    Finish { subject: Subject, writer: Writer, ending: WriterEnd, left: Leftover, closed: Vec<Writer> },
    Lookup { subjects: Vec<Subject> },
    OpenUploads { bucket: String },
    Note { name: String },
    SetNote { name: String, old: Option<Vec<u8>>, new: Option<Vec<u8>> },
    Records { after: Option<RecordPlace>, max: usize },
}

/// Why it was not done.
#[derive(Debug, Serialize, Deserialize)]
pub enum Failure {
    LeaseLost,
    Fenced,
    Unavailable(String),
    Unusable { problem: String, advice: String },
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Failure {
        match error {
            QueueError::LeaseLost => Failure::LeaseLost,
            QueueError::Unavailable { answer, .. } => Failure::Unavailable(answer),
            QueueError::Unusable { problem, advice, .. } => Failure::Unusable { problem, advice },
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Failure {
        match error {
            LedgerError::Fenced => Failure::Fenced,
            LedgerError::Unavailable { answer, .. } => Failure::Unavailable(answer),
            LedgerError::Record { problem, advice, .. } | LedgerError::Unusable { problem, advice, .. } => {
                Failure::Unusable { problem, advice }
            }
        }
    }
}

impl Failure {
    pub fn into_text(self) -> String {
        match self {
            Failure::LeaseLost => "the lease has ended".into(),
            Failure::Fenced => "another writer has begun this key".into(),
            Failure::Unavailable(answer) => answer,
            Failure::Unusable { problem, advice } => format!("{problem}; {advice}"),
        }
    }

    pub fn of_queue(self, queue: &str, operation: &'static str) -> QueueError {
        let queue = queue.to_owned();
        match self {
            Failure::LeaseLost => QueueError::LeaseLost,
            Failure::Unusable { problem, advice } => QueueError::Unusable { queue, problem, advice, denied: false },
            other => QueueError::Unavailable { queue, operation, answer: other.into_text() },
        }
    }

    pub fn of_ledger(self, ledger: &str, operation: &'static str) -> LedgerError {
        let ledger = ledger.to_owned();
        match self {
            Failure::Fenced => LedgerError::Fenced,
            Failure::Unusable { problem, advice } => LedgerError::Unusable { ledger, problem, advice },
            other => LedgerError::Unavailable { ledger, operation, answer: other.into_text() },
        }
    }
}

pub async fn write(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("too much for one request"))?;
    to.write_all(&[&length.to_be_bytes()[..], &body].concat()).await
}

pub async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = from.read_u32().await?;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a request of Skyferry's"));
    }
    // As it comes: a length alone takes no memory.
    let mut body = Vec::new();
    from.take(length.into()).read_to_end(&mut body).await?;
    if body.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&body)?)
}
