//! `[transfer]`: how bytes travel, from its table and back to it.

use std::time::Duration;

use toml::Table;

use super::bandwidth::{BandwidthPlan, PlanError};
use super::put::Put as _;
use super::raw::{self, RawValue};
use super::reader::SettingsReader;
use super::units;
use super::words::{Words as _, words};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferSettings {
    /// Objects larger than this go in parts.
    pub multipart_threshold: u64,
    pub part_size: u64,
    /// At once. `None`: adaptive.
    pub max_objects: Option<u32>,
    pub memory_budget: u64,
    /// Bytes per second.
    pub max_bandwidth: BandwidthPlan,
    pub stall_timeout: Duration,
    pub verify: VerifyMode,
    pub deletes: bool,
    /// Percent: when more than this share of what ends in a while are deletions, no more are carried over.
    pub max_delete_share: u32,
    pub versions: VersionMode,
    pub metadata: bool,
    pub tags: bool,
    /// A restore of archived objects is requested.
    pub restore: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMode {
    /// The cheapest checksums that prove it.
    Auto,
    /// MD5 of every part too, as the predecessors had.
    Md5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMode {
    Latest,
    /// The event's version.
    Exact,
}

words! {
    VerifyMode: "auto" Auto, "md5" Md5;
    VersionMode: "latest" Latest, "exact" Exact;
}

pub(super) fn read(r: &mut SettingsReader, raw: raw::Transfer, in_files: bool) -> TransferSettings {
    let least_part = if in_files { MIB } else { 5 * MIB };
    let count = |text: &str| text.parse::<u32>().map_err(|_| "a number of objects, 0 for adaptive".to_string());
    let percent = |text: &str| match text.trim_end_matches('%').trim_end().parse::<u32>() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err("a share like \"50%\"".to_string()),
    };
    let seconds = |s| Duration::from_secs(s);
    TransferSettings {
        multipart_threshold: r.size("transfer.multipart_threshold", raw.multipart_threshold, 50 * MIB, 0, u64::MAX),
        part_size: r.size("transfer.part_size", raw.part_size, 16 * MIB, least_part, 5 * GIB),
        max_objects: Some(r.value("transfer.max_objects", raw.max_objects, 0, count)).filter(|n| *n > 0),
        // An object of up to 1 MiB is held whole, and something else has to move beside it.
        memory_budget: r.size("transfer.memory_budget", raw.memory_budget, 64 * MIB, 2 * MIB, 1 << 40),
        max_bandwidth: bandwidth(r, raw.max_bandwidth, raw.time_zone),
        stall_timeout: r.value(
            "transfer.stall_timeout",
            raw.stall_timeout,
            seconds(120),
            |text| match units::duration(text)? {
                time if (seconds(1)..=seconds(3600)).contains(&time) => Ok(time),
                _ => Err("between 1s and 1h".into()),
            },
        ),
        verify: r.keyword("transfer.verify", raw.verify, VerifyMode::Auto),
        deletes: r.flag("transfer.deletes", raw.deletes, false),
        max_delete_share: r.value("transfer.max_delete_share", raw.max_delete_share, 50, percent),
        versions: r.keyword("transfer.versions", raw.versions, VersionMode::Latest),
        metadata: r.flag("transfer.metadata", raw.metadata, true),
        tags: r.flag("transfer.tags", raw.tags, false),
        restore: r.flag("transfer.restore", raw.restore, false),
    }
}

fn bandwidth(r: &mut SettingsReader, rate: RawValue, zone: RawValue) -> BandwidthPlan {
    let (rate, zone) = (rate.unwrap_or_else(|| "0".into()), zone.unwrap_or_default());
    BandwidthPlan::read(rate.trim(), zone.trim()).unwrap_or_else(|error| {
        match error {
            PlanError::Rate(wanted) => r.refuse("transfer.max_bandwidth", &rate, &wanted),
            PlanError::Zone(wanted) => r.refuse("transfer.time_zone", &zone, &wanted),
        }
        BandwidthPlan::constant(0)
    })
}

/// As `--print-config` shows it.
pub(super) fn to_table(transfer: &TransferSettings) -> Table {
    let mut table = Table::new();
    table.put("multipart_threshold", units::show_size(transfer.multipart_threshold));
    table.put("part_size", units::show_size(transfer.part_size));
    table.put("max_objects", i64::from(transfer.max_objects.unwrap_or(0)));
    table.put("memory_budget", units::show_size(transfer.memory_budget));
    table.put("max_bandwidth", transfer.max_bandwidth.to_string());
    table.put("time_zone", transfer.max_bandwidth.zone());
    table.put("stall_timeout", units::show_duration(transfer.stall_timeout));
    table.put("verify", transfer.verify.keyword());
    table.put("deletes", transfer.deletes);
    table.put("max_delete_share", format!("{}%", transfer.max_delete_share));
    table.put("versions", transfer.versions.keyword());
    table.put("metadata", transfer.metadata);
    table.put("tags", transfer.tags);
    table.put("restore", transfer.restore);
    table
}
