//! The peers in a process of their own, so that what is measured beside them is the client alone: an S3 to read from, a GCS
//! and an S3 to write to.
//!
//!     peers [--tls] [--discard] [--no-md5] [--unchecked] [--delay MS] [--rate BYTES] [--limit N] [--synthetic BUCKET/KEY:20GiB] [--many BUCKET/PREFIX:10000x4KiB]
//!
//! `--delay`: a round trip to each sink takes so long; `--rate`: the line to each carries so many bytes a second; `--limit`: each
//! takes so many requests a second; `--unchecked`: no signature's value is looked at on the S3 side.
//! Prints one line of JSON: endpoints, keys, the certificate authorities' file. Then answers one line of stdin each:
//! `compare SIDE TO_BUCKET FROM_BUCKET PREFIX` with how many objects, and of what size, are equal at both by size and
//! CRC32C; `mirror SIDE TO_BUCKET FROM_BUCKET EVERY` puts all objects there but each EVERYth; `forget SIDE BUCKET` empties a
//! bucket; `refused SIDE` with how many requests its limit has refused so far; `sent SIDE` with how many bytes have gone there over a
//! line with a delay or a rate. Ends when stdin closes.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use sandbox::{Authority, Direction, GcsOptions, GcsPeer, Proxy, S3Options, S3Peer, StorePeer, Wire};
use serde_json::json;

#[derive(Default)]
struct Arguments {
    tls: bool,
    discard: bool,
    no_md5: bool,
    unchecked: bool,
    delay: Option<Duration>,
    rate: Option<u64>,
    limit: Option<u32>,
    /// Where, how many, how large.
    objects: Vec<(String, Option<u32>, u64)>,
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let Arguments { tls, discard, no_md5, unchecked, delay, rate, limit, objects } = arguments;
    let sink = S3Options {
        tls,
        discard,
        md5: !no_md5,
        create_buckets: true,
        check_signatures: !unchecked,
        ..S3Options::default()
    };
    let (source, s3) = (S3Peer::start(S3Options { discard: false, ..sink.clone() })?, S3Peer::start(sink)?);
    let gcs = GcsOptions { tls, discard, md5: !no_md5, create_buckets: true, ..GcsOptions::default() };
    let gcs = GcsPeer::start(gcs)?;
    if let Some(limit) = limit {
        gcs.faults().limit(limit);
        s3.faults().limit(limit);
    }
    let (line_to_gcs, line_to_s3) = (line(gcs.address(), delay, rate)?, line(s3.address(), delay, rate)?);
    for (at, count, size) in &objects {
        fill(&source, at, *count, *size).with_context(|| at.clone())?;
    }

    let authorities = tempfile::NamedTempFile::new()?;
    let pem: String =
        [&*source, &*gcs, &*s3].into_iter().filter_map(StorePeer::authority).map(Authority::pem).collect();
    std::fs::write(authorities.path(), &pem)?;
    let through = |proxy: &Option<Proxy>, own: String| proxy.as_ref().map_or(own, Proxy::endpoint);
    let of_s3 = |endpoint: String| json!({"endpoint": endpoint, "access_key_id": S3Peer::ACCESS_ID, "secret_access_key": S3Peer::SECRET});
    say(&json!({
        "source": of_s3(source.endpoint()),
        "s3": of_s3(through(&line_to_s3, s3.endpoint())),
        "gcs": {"endpoint": through(&line_to_gcs, gcs.endpoint()), "access_key_id": GcsPeer::ACCESS_ID, "secret_access_key": GcsPeer::SECRET},
        "ca": tls.then(|| authorities.path()),
    }))?;

    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let side = |name: &str| match name {
            "gcs" => Ok(&*gcs),
            "s3" => Ok(&*s3),
            other => bail!("no sink {other}"),
        };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["compare", to, bucket, from, prefix] => {
                let (equal, bytes) = compare(&source, from, prefix, side(to)?, bucket);
                say(&json!({"equal": equal, "bytes": bytes}))?;
            }
            ["mirror", to, bucket, from, every] => {
                let (at, every) = (side(to)?, every.parse::<usize>()?);
                let mirrored = source.objects(from).into_iter().enumerate().filter(|(n, _)| n % every != 0);
                for (_, object) in mirrored {
                    at.set_object(bucket, &object.key, source.read(from, &object.key)?)?;
                }
                say(&json!({}))?;
            }
            ["sent", to] => {
                let line = if to == "gcs" { &line_to_gcs } else { &line_to_s3 };
                say(&json!({"sent": line.as_ref().map(|line| line.counts().up)}))?;
            }
            ["refused", to] => say(&json!({"refused": side(to)?.faults().refused()}))?,
            ["forget", to, bucket] => {
                let at = side(to)?;
                for object in at.objects(bucket) {
                    at.remove_object(bucket, &object.key);
                }
                say(&json!({}))?;
            }
            _ => bail!("not a request: {line:?}"),
        }
    }
    Ok(())
}

/// What goes up waits for the whole round trip, and for the others.
fn line(peer: SocketAddr, delay: Option<Duration>, rate: Option<u64>) -> anyhow::Result<Option<Proxy>> {
    if delay.is_none() && rate.is_none() {
        return Ok(None);
    }
    let proxy = Proxy::start(peer)?;
    for wire in delay.map(Wire::Delay).into_iter().chain(rate.map(Wire::Share)) {
        proxy.script(.., Direction::Up, wire);
    }
    Ok(Some(proxy))
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut read = Arguments::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--tls" => read.tls = true,
            "--discard" => read.discard = true,
            "--no-md5" => read.no_md5 = true,
            "--unchecked" => read.unchecked = true,
            "--delay" => read.delay = Some(Duration::from_millis(value()?.parse()?)),
            "--rate" => read.rate = Some(value()?.parse()?),
            "--limit" => read.limit = Some(value()?.parse()?),
            "--synthetic" => {
                let value = value()?;
                let (at, size) = value.rsplit_once(':').context("BUCKET/KEY:SIZE")?;
                read.objects.push((at.to_owned(), None, bytes(size)?));
            }
            "--many" => {
                let value = value()?;
                let (at, rest) = value.rsplit_once(':').context("BUCKET/PREFIX:COUNTxSIZE")?;
                let (count, size) = rest.split_once('x').context("COUNTxSIZE")?;
                read.objects.push((at.to_owned(), Some(count.parse()?), bytes(size)?));
            }
            other => bail!("not an option: {other}"),
        }
    }
    Ok(read)
}

fn bytes(text: &str) -> anyhow::Result<u64> {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<u64>()? << shift);
        }
    }
    Ok(text.parse()?)
}

/// Objects up to 1 MiB are held with their MD5 as ETag, as a single PUT leaves them; larger ones are made up as they are read.
fn fill(source: &S3Peer, at: &str, count: Option<u32>, size: u64) -> anyhow::Result<()> {
    let (bucket, key) = at.split_once('/').context("BUCKET/KEY")?;
    let mut body = vec![0; usize::try_from(size.min(1 << 20))?];
    let mut put = |key: &str, seed: u64| {
        if size > body.len() as u64 {
            return source.put_synthetic(bucket, key, size, seed);
        }
        // No two of them alike.
        let mark = seed.to_le_bytes();
        let marked = mark.len().min(body.len());
        body[..marked].copy_from_slice(&mark[..marked]);
        source.set_object(bucket, key, &body)
    };
    match count {
        None => drop(put(key, 1)?),
        Some(count) => {
            for n in 0..count {
                put(&format!("{key}{n:06}"), u64::from(n))?;
            }
        }
    }
    Ok(())
}

fn compare(source: &S3Peer, from: &str, prefix: &str, sink: &StorePeer, bucket: &str) -> (usize, u64) {
    let wanted = source.objects(from).into_iter().filter(|object| object.key.starts_with(prefix));
    let equal = wanted.filter(|object| {
        sink.object(bucket, &object.key).is_some_and(|there| (there.size, there.crc32c) == (object.size, object.crc32c))
    });
    equal.fold((0, 0), |(count, bytes), object| (count + 1, bytes + object.size))
}

fn say(value: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
