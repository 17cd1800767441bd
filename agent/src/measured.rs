//! The queue and the ledger with the time of each of their operations recorded, whatever stands behind the two traits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use skyferry_core::ledger::{
    BeginResult, FinishResult, Ledger, LedgerError, LedgerRecord, Leftover, Subject, UploadRecord, WriterEnd,
};
use skyferry_core::metrics::OperationMeter;
use skyferry_core::model::{UploadId, Writer};
use skyferry_core::queue::{Depth, Message, Queue, QueueError, QueueTraits, Receipt};

pub struct MeasuredQueue {
    inner: Arc<dyn Queue>,
    meter: OperationMeter,
}

impl MeasuredQueue {
    pub fn new(inner: Arc<dyn Queue>, meter: OperationMeter) -> MeasuredQueue {
        MeasuredQueue { inner, meter }
    }
}

#[async_trait]
impl Queue for MeasuredQueue {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn traits(&self) -> QueueTraits {
        self.inner.traits()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, QueueError> {
        self.meter.measure("receive", self.inner.receive(max, wait)).await
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), QueueError> {
        self.meter.measure("extend", self.inner.extend(receipt, visibility)).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.meter.measure("release", self.inner.release(receipt, delay)).await
    }

    async fn renew(&self, message: &Message, body: &str, delay: Duration) -> Result<(), QueueError> {
        self.meter.measure("renew", self.inner.renew(message, body, delay)).await
    }

    async fn park(&self, body: &str, reason: &str) -> Result<(), QueueError> {
        self.meter.measure("park", self.inner.park(body, reason)).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.meter.measure("delete", self.inner.delete(receipt)).await
    }

    async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.meter.measure("send", self.inner.send(bodies)).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.meter.measure("depth", self.inner.depth()).await
    }

    async fn dead_letters_waiting(&self) -> Result<Option<u64>, QueueError> {
        self.meter.measure("dead_letters", self.inner.dead_letters_waiting()).await
    }
}

pub struct MeasuredLedger {
    inner: Arc<dyn Ledger>,
    meter: OperationMeter,
}

impl MeasuredLedger {
    pub fn new(inner: Arc<dyn Ledger>, meter: OperationMeter) -> MeasuredLedger {
        MeasuredLedger { inner, meter }
    }
}

#[async_trait]
impl Ledger for MeasuredLedger {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn begin(&self, subject: &Subject, writer: Writer) -> Result<BeginResult, LedgerError> {
        self.meter.measure("begin", self.inner.begin(subject, writer)).await
    }

    async fn checkpoint(
        &self,
        subject: &Subject,
        writer: Writer,
        upload: Option<&UploadRecord>,
    ) -> Result<(), LedgerError> {
        self.meter.measure("checkpoint", self.inner.checkpoint(subject, writer, upload)).await
    }

    async fn finish(
        &self,
        subject: &Subject,
        writer: Writer,
        ending: &WriterEnd,
        left: Leftover,
        closed: &[Writer],
    ) -> Result<FinishResult, LedgerError> {
        self.meter.measure("finish", self.inner.finish(subject, writer, ending, left, closed)).await
    }

    async fn lookup(&self, subject: &Subject) -> Result<Option<LedgerRecord>, LedgerError> {
        self.meter.measure("lookup", self.inner.lookup(subject)).await
    }

    async fn lookup_all(&self, subjects: &[Subject]) -> Result<Vec<Option<LedgerRecord>>, LedgerError> {
        self.meter.measure("lookup_all", self.inner.lookup_all(subjects)).await
    }

    async fn open_uploads(&self, destination_bucket: &str) -> Result<Vec<UploadId>, LedgerError> {
        self.meter.measure("open_uploads", self.inner.open_uploads(destination_bucket)).await
    }

    async fn expire_records(&self) -> Result<u64, LedgerError> {
        self.meter.measure("expire_records", self.inner.expire_records()).await
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.meter.measure("note", self.inner.note(name)).await
    }

    async fn set_note(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, LedgerError> {
        self.meter.measure("set_note", self.inner.set_note(name, old, new)).await
    }
}
