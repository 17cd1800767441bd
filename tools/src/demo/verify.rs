//! The reading back: every object of the destination, whole, compared with what was put into the source. Nothing that the
//! agent recorded is believed, or even asked.

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skyferry_core::store::Metadata;

use super::dataset::{Dataset, DemoObject};
use super::servers::{DemoDestination, FERRIED};
use super::step::DemoStep;

/// At once.
const READS: usize = 8;

/// What was found.
pub struct Verification {
    pub objects: u64,
    pub bytes: u64,
    /// In words; none: all is equal.
    pub differences: Vec<String>,
}

impl Verification {
    pub fn describe(&self, name: &str) -> String {
        match self.differences.len() {
            0 => format!("{} objects at {name} read back: every byte is equal", self.objects),
            n => format!("{} objects at {name} read back: {n} DIFFERENCES", self.objects),
        }
    }
}

pub async fn verify(
    destination: &DemoDestination,
    dataset: &Dataset,
    step: &DemoStep<'_>,
) -> anyhow::Result<Verification> {
    let found = destination.objects().await.context("listing")?;
    let mut differences = Vec::new();
    for key in found.keys().filter(|key| !dataset.all.iter().any(|good| good.key.as_bytes() == key.as_bytes())) {
        differences.push(format!("{key}: was not sent there"));
    }
    let reads = stream::iter(&dataset.all).map(|good| async {
        let read = read(destination, good, step).await.with_context(|| format!("reading back {}", good.key));
        step.add(1, 0);
        read
    });
    let read: Vec<Option<String>> = reads.buffer_unordered(READS).try_collect().await?;
    differences.extend(read.into_iter().flatten());
    let uploads = destination.open_uploads();
    if uploads > 0 {
        differences.push(format!("{uploads} multipart uploads are left open"));
    }
    Ok(Verification { objects: found.len() as u64, bytes: found.values().sum(), differences })
}

/// How it differs.
async fn read(destination: &DemoDestination, good: &DemoObject, step: &DemoStep<'_>) -> anyhow::Result<Option<String>> {
    let differs = |how: &str| Ok(Some(format!("{}: {how}", good.key)));
    let Some(mut opened) = destination.client.open(&good.at(FERRIED)).await? else {
        return differs("is missing");
    };
    if let Some(how) = metadata_differs(&good.metadata, &opened.object.metadata) {
        return differs(&how);
    }
    let mut offset = 0;
    let mut wanted = bytes::Bytes::new();
    while let Some(chunk) = opened.chunks.next().await {
        let mut chunk = chunk?;
        step.add(0, chunk.len() as u64);
        while !chunk.is_empty() {
            if wanted.is_empty() {
                wanted = good.body.at(offset);
            }
            let length = chunk.len().min(wanted.len());
            if length == 0 {
                return differs("is longer");
            }
            if chunk.split_to(length) != wanted.split_to(length) {
                return differs(&format!("other bytes from {offset} on"));
            }
            offset += length as u64;
        }
    }
    if offset == good.body.size { Ok(None) } else { differs("is shorter") }
}

fn metadata_differs(put: &Metadata, got: &Metadata) -> Option<String> {
    // What has no type gets the service's own word for bytes.
    let plain = |name: &Option<String>| name.as_deref().is_none_or(|name| name.ends_with("/octet-stream"));
    let same_type = put.content_type == got.content_type || (plain(&put.content_type) && plain(&got.content_type));
    let fields = [
        ("content type", same_type, format!("{:?}, put {:?}", got.content_type, put.content_type)),
        ("metadata", put.user == got.user, format!("{:?}, put {:?}", got.user, put.user)),
        (
            "cache control",
            put.cache_control == got.cache_control,
            format!("{:?}, put {:?}", got.cache_control, put.cache_control),
        ),
    ];
    fields.into_iter().find(|(_, same, _)| !same).map(|(name, _, how)| format!("{name} {how}"))
}
