//! What the source holds. Bytes are made from a seed whenever they are wanted, so that a gigabyte needs no second copy
//! to be compared with.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skyferry_core::digest::{DigestSelection, Digests, Hasher};
use skyferry_core::model::{Expected, Key, Location, SourceIdentity, Token};
use skyferry_core::plan::{PartSettings, Plan, SinkLimits, plan};
use skyferry_core::store::{Chunks, CompletedPart, Metadata, Payload, Provenance, Sink as _, WriteAttributes};

use super::servers::{BUCKET, DemoServer};
use super::step::DemoStep;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Made at a time.
const BLOCK: u64 = 64 * KIB;
/// At once.
const PUTS: usize = 8;
/// How the source's own objects were uploaded: those of 6 MiB in two parts.
const CUT: PartSettings = PartSettings { multipart_threshold: 5 * MIB, part_size: 5 * MIB };

/// Names that have broken other programs.
const ODD: [&str; 20] = [
    "double//slash.txt",
    "folder/",
    "with space.txt",
    " leading and trailing ",
    "a+b.txt",
    "a b+c d.txt",
    "100%.txt",
    "100%25.txt",
    "%2F%2f.txt",
    "übung/日本語/⛴.txt",
    "nfc-é.txt",
    "nfd-e\u{301}.txt",
    "question?mark&ampersand=1.txt",
    "#hash;semicolon,comma.txt",
    "quote'\"`.txt",
    "back\\slash.txt",
    "[brackets]{braces}(parens).txt",
    "<angle>|pipe^caret~.txt",
    "at@colon:dollar$bang!star*.txt",
    "...dots/.hidden",
];

/// An object's bytes: a seed and a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectBody {
    seed: u64,
    pub size: u64,
}

impl ObjectBody {
    /// Some bytes from `offset`, to the end of their block at most; none at the end.
    pub fn at(self, offset: u64) -> Bytes {
        let (block, within) = (offset / BLOCK, (offset % BLOCK) as usize);
        let length = BLOCK.min(self.size.saturating_sub(block * BLOCK)) as usize;
        let mut made = Vec::with_capacity(length.next_multiple_of(8));
        let mut state = (self.seed << 32) ^ block.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        while made.len() < length {
            made.extend_from_slice(&splitmix(&mut state).to_le_bytes());
        }
        made.truncate(length);
        Bytes::from(made).slice(within.min(length)..)
    }

    fn chunks(self, from: u64, to: u64) -> impl Iterator<Item = Bytes> {
        let mut offset = from;
        std::iter::from_fn(move || {
            let mut chunk = (offset < to).then(|| self.at(offset))?;
            chunk.truncate((to - offset) as usize);
            offset += chunk.len() as u64;
            Some(chunk)
        })
    }

    fn digests(self, from: u64, to: u64) -> Digests {
        let mut hasher = Hasher::new(DigestSelection::default());
        self.chunks(from, to).for_each(|chunk| hasher.update(&chunk));
        hasher.finish()
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// One object of the source.
#[derive(Clone, Debug)]
pub struct DemoObject {
    pub key: String,
    pub body: ObjectBody,
    pub metadata: Metadata,
}

impl DemoObject {
    pub fn at(&self, bucket: &str) -> Location {
        Location::new(bucket, self.key.as_str())
    }

    /// Puts it through the source's S3 API, checksums and all. `sent` hears of bytes as they are stored.
    pub async fn put(&self, source: &DemoServer, sent: impl Fn(u64)) -> anyhow::Result<()> {
        let (at, body) = (self.at(BUCKET), self.body);
        // Skyferry's client always writes where an object comes from. Here it comes from nowhere.
        let identity = SourceIdentity { etag: "made".into(), size: body.size, last_modified: 0, version: None };
        let provenance = Provenance {
            source: Location::new("nowhere", Key::default()),
            identity,
            token: Token::random(),
            crc32c: None,
            headers: None,
        };
        let with = WriteAttributes {
            metadata: self.metadata.clone(),
            provenance,
            size: body.size,
            options: Default::default(),
        };
        let sink = &source.client;
        let Plan::Parts(parts) = plan(body.size, CUT, &SinkLimits::S3)? else {
            let whole: Vec<u8> = body.chunks(0, body.size).flatten().collect();
            sink.put(&at, Payload::Whole(whole.into()), &with, &Expected::Any).await?;
            sent(body.size);
            return Ok(());
        };
        let upload = sink.begin(&at, &with).await?;
        let stored = stream::iter(parts.iter()).map(|(number, range)| {
            let (at, upload, sent) = (&at, &upload, &sent);
            async move {
                let made = body.chunks(range.start, range.end).map(Ok);
                let chunks: Chunks = Box::pin(stream::iter(made));
                let payload = Payload::Stream { length: range.end - range.start, chunks, crc32c: None };
                let part = sink.part(at, upload, number, payload).await?;
                sent(part.size);
                let digests = body.digests(range.start, range.end);
                let finished = CompletedPart { number, etag: part.etag, crc32c: digests.crc32c };
                anyhow::Ok((finished, digests))
            }
        });
        let stored: Vec<_> = stored.buffered(4).try_collect().await?;
        let whole = stored.iter().fold(Digests::default(), |whole, (_, part)| whole.then(part));
        let stored: Vec<_> = stored.into_iter().map(|(part, _)| part).collect();
        sink.finish(&at, &upload, &stored, &whole, &Expected::Any).await?;
        Ok(())
    }
}

/// All objects of the source.
pub struct Dataset {
    pub all: Vec<DemoObject>,
    pub large: u64,
}

impl Dataset {
    pub fn new(quick: bool) -> Dataset {
        let large = if quick { 64 * MIB } else { 1024 * MIB };
        let mut dataset = Dataset { all: Vec::new(), large };
        for n in 0..200 {
            let author = [("camera", "X-100"), ("caption", "Ferry to Amrum")];
            let with = if n % 4 == 0 { typed("image/jpeg", &author) } else { typed("image/jpeg", &[]) };
            dataset.add(format!("photos/2026/{n:04}.jpg"), 4 * KIB, with);
        }
        dataset.add("archive/backup.tar".into(), large, typed("application/x-tar", &[("host", "db1"), ("level", "0")]));
        for n in 0..30 {
            dataset.add(format!("flags/{n:02}.done"), 0, Metadata::default());
            dataset.add(format!("counters/{n:02}"), 1, typed("text/plain; charset=utf-8", &[]));
        }
        for n in 0..4 {
            for (name, size) in [("under", MIB - 1), ("exactly", MIB), ("over", MIB + 1)] {
                dataset.add(format!("megabytes/{name}-{n}.bin"), size, Metadata::default());
            }
            dataset.add(format!("clips/{n}.mp4"), 6 * MIB, typed("video/mp4", &[("seconds", "12")]));
        }
        for name in ODD {
            let mut with = typed("text/plain", &[]);
            with.cache_control = Some("max-age=60".into());
            dataset.add(format!("odd/{name}"), 4 * KIB + name.len() as u64, with);
        }
        dataset
    }

    fn add(&mut self, key: String, size: u64, metadata: Metadata) {
        let seed = self.all.len() as u64 + 1;
        self.all.push(DemoObject { key, body: ObjectBody { seed, size }, metadata });
    }

    /// Another state of the object, with other bytes, size and metadata.
    pub fn changed(&self, index: usize, generation: u64) -> DemoObject {
        let before = &self.all[index];
        let body = ObjectBody { seed: before.body.seed + 1000 * generation, size: before.body.size + generation };
        DemoObject {
            key: before.key.clone(),
            body,
            metadata: typed("image/png", &[("edited", &generation.to_string())]),
        }
    }

    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.all.iter().map(|good| good.body.size).sum()
    }

    /// Puts all; their number.
    pub async fn put_all(&self, source: &DemoServer, step: &DemoStep<'_>) -> anyhow::Result<u64> {
        let puts = stream::iter(&self.all).map(|good| async move {
            good.put(source, |bytes| step.add(0, bytes)).await.with_context(|| format!("putting {}", good.key))?;
            step.add(1, 0);
            anyhow::Ok(())
        });
        puts.buffer_unordered(PUTS).try_collect::<()>().await?;
        Ok(self.count())
    }
}

fn typed(content_type: &str, user: &[(&str, &str)]) -> Metadata {
    let user: BTreeMap<_, _> = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Metadata { content_type: Some(content_type.into()), user, ..Metadata::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_from_wherever_it_is_read() {
        let body = ObjectBody { seed: 7, size: 3 * BLOCK + 5 };
        let whole: Vec<u8> = body.chunks(0, body.size).flatten().collect();
        assert_eq!(whole.len() as u64, body.size);
        for offset in [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 9, body.size - 1] {
            let read = body.at(offset);
            assert!(!read.is_empty() && whole[offset as usize..].starts_with(&read), "{offset}");
        }
        assert!(body.at(body.size).is_empty());
        assert_ne!(body.at(0), body.at(BLOCK));
        assert_ne!(body.at(0), ObjectBody { seed: 8, ..body }.at(0));
    }
}
