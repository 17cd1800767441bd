//! `[transfer] max_bandwidth`: one rate, or rates by the time of day: `"08:00 10MB/s, 18:00 0"`.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::units;

/// Where time zones are on every system that has them.
const ZONES: &str = "/usr/share/zoneinfo";
const LOCAL: &str = "/etc/localtime";
const DAY: u32 = 24 * 60;

/// Bytes per second, by the clock; 0: as much as there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthPlan {
    /// From which minute of the day on which rate, in the order of the day; at least one.
    steps: Vec<(u32, u64)>,
    zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Zone {
    /// As the settings name it; empty: this machine's.
    name: String,
    rules: TimeZone,
}

impl BandwidthPlan {
    /// One rate at all times, in the machine's time zone.
    pub fn constant(rate: u64) -> BandwidthPlan {
        BandwidthPlan { steps: vec![(0, rate)], zone: Zone { name: String::new(), rules: TimeZone::UTC } }
    }

    /// From the two settings. The error is what was expected, and of which of them.
    pub(super) fn read(text: &str, zone: &str) -> Result<BandwidthPlan, PlanError> {
        let steps = steps(text).map_err(PlanError::Rate)?;
        let rules = match steps.len() {
            // The zone of one rate says nothing.
            1 if zone.is_empty() => TimeZone::UTC,
            _ => rules(zone).map_err(PlanError::Zone)?,
        };
        Ok(BandwidthPlan { steps, zone: Zone { name: zone.to_owned(), rules } })
    }

    /// The rate at this moment.
    pub fn at(&self, now: Timestamp) -> u64 {
        let local = self.zone.rules.to_datetime(now);
        let minute = u32::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let begun = self.steps.iter().rev().find(|(from, _)| *from <= minute);
        // Before the first of the day the last of the day before goes on.
        begun.or(self.steps.last()).map_or(0, |(_, rate)| *rate)
    }

    /// Whether the rate changes with the time.
    pub fn is_timetable(&self) -> bool {
        self.steps.len() > 1
    }

    /// As the settings name it.
    pub fn zone(&self) -> &str {
        &self.zone.name
    }
}

/// As the settings write it.
impl fmt::Display for BandwidthPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, rate)] = self.steps[..] {
            return f.write_str(&units::show_size(rate));
        }
        for (n, (from, rate)) in self.steps.iter().enumerate() {
            let before = if n == 0 { "" } else { ", " };
            write!(f, "{before}{:02}:{:02} {}", from / 60, from % 60, units::show_size(*rate))?;
        }
        Ok(())
    }
}

pub(super) enum PlanError {
    Rate(String),
    Zone(String),
}

fn steps(text: &str) -> Result<Vec<(u32, u64)>, String> {
    if !text.contains(':') {
        return units::rate(text).map(|rate| vec![(0, rate)]);
    }
    let wanted = || "a rate like \"10MB/s\", or rates by the time of day like \"08:00 10MB/s, 18:00 0\"".to_string();
    let mut steps = Vec::new();
    for step in text.split(',') {
        let (time, rate) = step.trim().split_once(' ').ok_or_else(wanted)?;
        let (hour, minute) = time.split_once(':').ok_or_else(wanted)?;
        let number = |text: &str, below: u32| text.parse::<u32>().ok().filter(|number| *number < below);
        let minute = number(hour, 24).zip(number(minute, 60)).map(|(hour, minute)| hour * 60 + minute);
        steps.push((minute.filter(|minute| *minute < DAY).ok_or_else(wanted)?, units::rate(rate)?));
    }
    steps.sort_unstable();
    match steps.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err("each time once".into()),
        false => Ok(steps),
    }
}

/// The zone's rules from the system's files: what changes with the law is not compiled in.
fn rules(name: &str) -> Result<TimeZone, String> {
    let wanted = || {
        format!(
            "a time zone of {ZONES} like \"Europe/Berlin\", \"UTC\", or a rule of POSIX like \"CET-1CEST,M3.5.0,M10.5.0/3\""
        )
    };
    let posix = |name: &str| TimeZone::posix(name).map_err(|_| wanted());
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    let file = match name {
        "" => LOCAL.to_owned(),
        name if name.split('/').any(|part| matches!(part, "" | "." | "..")) => return posix(name),
        name => format!("{ZONES}/{name}"),
    };
    match std::fs::read(file) {
        Ok(bytes) => TimeZone::tzif(name, &bytes).map_err(|_| wanted()),
        // A machine that says nothing is at UTC.
        Err(_) if name.is_empty() => Ok(TimeZone::UTC),
        // Small images have no such files.
        Err(_) => posix(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, zone: &str) -> BandwidthPlan {
        BandwidthPlan::read(text, zone).unwrap_or_else(|_| panic!("{text} {zone}"))
    }

    #[test]
    fn the_rate_of_each_time_of_day_holds_until_the_next_and_over_midnight() {
        let plan = plan("18:00 50MB/s, 08:00 10MB/s, 23:30 0", "UTC");
        for (time, rate) in [
            ("00:00", 0),
            ("07:59", 0),
            ("08:00", 10_000_000),
            ("17:59", 10_000_000),
            ("18:00", 50_000_000),
            ("23:30", 0),
        ] {
            let now: Timestamp = format!("2026-11-30T{time}:59Z").parse().unwrap();
            assert_eq!(plan.at(now), rate, "{time}");
        }
        assert_eq!(plan.to_string(), "08:00 10000000, 18:00 50000000, 23:30 0");
        assert_eq!(super::BandwidthPlan::read(&plan.to_string(), "UTC").ok(), Some(plan));
    }

    #[test]
    fn the_clock_is_that_of_the_time_zone_summer_and_winter() {
        let plan = plan("08:00 1MB/s, 18:00 0", "CET-1CEST,M3.5.0,M10.5.0/3");
        for (now, rate) in [
            ("2026-01-15T06:59:00Z", 0),
            ("2026-01-15T07:00:00Z", 1_000_000),
            ("2026-07-15T05:59:00Z", 0),
            ("2026-07-15T06:00:00Z", 1_000_000),
        ] {
            assert_eq!(plan.at(now.parse().unwrap()), rate, "{now}");
        }
    }

    #[test]
    fn what_is_no_timetable_and_no_zone_is_refused() {
        for text in ["", "8 10MB", "08:00", "24:00 1MB, 08:00 0", "08:60 1MB", "08:00 1MB, 08:00 2MB", "08:00 fast"] {
            assert!(matches!(BandwidthPlan::read(text, "UTC"), Err(PlanError::Rate(_))), "{text}");
        }
        for zone in ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Nowhere"] {
            assert!(matches!(BandwidthPlan::read("08:00 1MB, 9:00 0", zone), Err(PlanError::Zone(_))), "{zone}");
        }
        assert_eq!(plan("10MB/s", "").at(Timestamp::UNIX_EPOCH), 10_000_000);
    }
}
