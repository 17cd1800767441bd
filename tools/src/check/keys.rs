//! Whether two keys stay two objects. Some services clean keys as paths, and then one object's copy replaces another's.

use bytes::Bytes;
use skyferry_core::error::CopyError;
use skyferry_core::model::{Expected, Location};
use skyferry_core::store::Payload;

use super::finding::Findings;
use super::large::ProbeTarget;
use super::single::{attributes, body};

/// Names that a service may take for one, within the probe's folder.
const PAIRS: [(&str, [&str; 2]); 2] =
    [("two slashes", ["p//x", "p/x"]), ("a backslash", ["back\\slash", "back/slash"])];
const PROMISE: &[u8] = &[11];

/// `top`: keys may begin with a slash, since nothing stands before them.
pub async fn probe(place: &ProbeTarget<'_>, top: bool, findings: &mut Findings<'_>) {
    let (mut merged, mut refused) = (Vec::new(), Vec::new());
    let mut pairs: Vec<(&str, [Location; 2])> =
        PAIRS.iter().map(|(kind, names)| (*kind, names.map(|name| place.folder.at(name)))).collect();
    if top {
        let lead = place.folder.at("lead");
        pairs.push(("a leading slash", [place.folder.behind_a_slash(&lead), lead]));
    }
    for (kind, pair) in &pairs {
        match are_distinct(place, pair).await {
            Ok(true) => {}
            Ok(false) => merged.push(format!("{kind} ({} and {})", pair[0].key, pair[1].key)),
            Err(error) => refused.push(format!("{kind}: {error}")),
        }
    }
    let folder = place.folder.at("dir/");
    match write(place, &folder, &body(10)).await {
        Ok(()) if size(place, &folder).await == Some(10) => {}
        Ok(()) => merged.push("a folder's key with content (dir/ loses its 10 bytes)".to_owned()),
        Err(error) => refused.push(format!("a folder's key with content: {error}")),
    }
    let what = "keys";
    if !merged.is_empty() {
        let advice = "promise 11 is not kept here: exclude such keys with the ignore list, or use another service";
        findings.warn(what, (format!("are changed: {}", merged.join("; ")), advice), PROMISE);
    }
    if !refused.is_empty() {
        let advice = "objects with such keys are parked with this reason";
        findings.warn(what, (format!("are refused: {}", refused.join("; ")), advice), &[]);
    }
    if merged.is_empty() && refused.is_empty() {
        findings.pass(what, "are kept byte for byte and stay distinct");
    }
}

/// Both are there, each with its own size. Which is written first matters to none that keeps them apart.
async fn are_distinct(place: &ProbeTarget<'_>, pair: &[Location; 2]) -> Result<bool, CopyError> {
    write(place, &pair[0], &body(11)).await?;
    write(place, &pair[1], &body(12)).await?;
    Ok(size(place, &pair[0]).await == Some(11) && size(place, &pair[1]).await == Some(12))
}

async fn write(place: &ProbeTarget<'_>, at: &Location, bytes: &Bytes) -> Result<(), CopyError> {
    let with = attributes(at, bytes, place.options);
    place.sink.put(at, Payload::Whole(bytes.clone()), &with, &Expected::Any).await.map(|_| ())
}

async fn size(place: &ProbeTarget<'_>, at: &Location) -> Option<u64> {
    place.sink.head(at).await.ok().flatten().map(|object| object.identity.size)
}
