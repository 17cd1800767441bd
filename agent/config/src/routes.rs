//! `[[routes]]`: which source buckets are read, and where their objects go.

use std::sync::Arc;

use skyferry_core::store::CopyOptions;

use super::copy_options;
use super::raw;
use super::reader::SettingsReader;
use super::settings::RouteSettings;

/// What a route does not say is `[destination]`'s. `paired`: bucket pairs name destinations, so that none need be here.
pub(super) fn read(
    r: &mut SettingsReader,
    raw: Vec<raw::Route>,
    to: raw::Destination,
    kind: &str,
    paired: bool,
) -> (Vec<RouteSettings>, Arc<CopyOptions>) {
    // A directory's bucket is only a word in names.
    let in_files = kind == "directory";
    let default = CopyOptions { storage_class: (!in_files).then(|| "STANDARD".into()), ..CopyOptions::default() };
    let options = Arc::new(copy_options::read(r, "destination", &to, kind, &default));
    let routes = routes_to(r, raw, to, kind, paired, &options);
    (routes, options)
}

fn routes_to(
    r: &mut SettingsReader,
    raw: Vec<raw::Route>,
    to: raw::Destination,
    kind: &str,
    paired: bool,
    options: &Arc<CopyOptions>,
) -> Vec<RouteSettings> {
    let in_files = kind == "directory";
    let bucket = to.bucket.filter(|b| !b.is_empty()).or_else(|| in_files.then(|| "directory".into()));
    let prefix = to.prefix.unwrap_or_default();
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
                options: options.clone(),
            })
            .into_iter()
            .collect();
    }
    let mut routes = Vec::new();
    for (index, route) in raw.into_iter().enumerate() {
        let name = |field: &str| format!("routes[{index}].{field}");
        let own = copy_options::read(r, &format!("routes[{index}]"), &route, kind, options);
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
            options: Arc::new(own),
        });
    }
    routes
}
