//! `[[routes]]`: which source buckets are read, and where their objects go.

use super::raw::{self, RawValue};
use super::reader::SettingsReader;
use super::settings::RouteSettings;

/// What a route does not say is `[destination]`'s. `paired`: bucket pairs name destinations, so that none need be here.
pub(super) fn read(
    r: &mut SettingsReader,
    raw: Vec<raw::Route>,
    to: raw::Destination,
    in_files: bool,
    paired: bool,
) -> Vec<RouteSettings> {
    // A directory's bucket is only a word in names.
    let bucket = to.bucket.filter(|b| !b.is_empty()).or_else(|| in_files.then(|| "directory".into()));
    let prefix = to.prefix.unwrap_or_default();
    // Written as "": no word at all, so the bucket's own default.
    let given = |class: RawValue, default: RawValue| class.or(default).filter(|class| !class.is_empty());
    let class = given(to.storage_class, (!in_files).then(|| "STANDARD".into()));
    if raw.is_empty() {
        if bucket.is_none() && paired {
            return Vec::new();
        }
        let bucket = r.required("destination.bucket", bucket, "the bucket to write to (or give each route one)");
        return bucket
            .map(|bucket| RouteSettings {
                source_bucket: None,
                source_prefix: String::new(),
                bucket,
                prefix,
                strip_prefix: false,
                storage_class: class,
            })
            .into_iter()
            .collect();
    }
    let mut routes = Vec::new();
    for (index, route) in raw.into_iter().enumerate() {
        let name = |field: &str| format!("routes[{index}].{field}");
        let source_bucket =
            r.required(&name("source_bucket"), route.source_bucket, "the bucket that this route allows");
        let bucket = route.bucket.or_else(|| bucket.clone());
        let bucket = r.required(&name("bucket"), bucket, "neither the route nor [destination] names a bucket");
        let strip_prefix = r.flag(&name("strip_prefix"), route.strip_prefix, false);
        let (Some(source_bucket), Some(bucket)) = (source_bucket, bucket) else { continue };
        routes.push(RouteSettings {
            source_bucket: Some(source_bucket),
            source_prefix: route.source_prefix.unwrap_or_default(),
            bucket,
            prefix: route.prefix.unwrap_or_else(|| prefix.clone()),
            strip_prefix,
            storage_class: given(route.storage_class, class.clone()),
        });
    }
    routes
}
