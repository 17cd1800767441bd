//! Times as others write them: an age (`15m`, `1d12h`), a date, or a moment in RFC 3339.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use skyferry_config as config;

/// A moment, typed as such or as an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    /// Seconds since the epoch.
    At(i64),
}

impl Since {
    /// Seconds since the epoch.
    pub fn second(self) -> i64 {
        match self {
            Since::Ago(age) => crate::scope::now().saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
            Since::At(second) => second,
        }
    }
}

/// Dates begin at midnight, UTC.
pub fn since(text: &str) -> Result<Since, String> {
    if let Ok(age) = config::duration(text) {
        return Ok(Since::Ago(age));
    }
    let moment = text.parse::<Timestamp>().map(Timestamp::as_second);
    let date = || Ok::<_, jiff::Error>(text.parse::<civil::Date>()?.to_zoned(TimeZone::UTC)?.timestamp().as_second());
    let at = moment.or_else(|_| date());
    at.map(Since::At)
        .map_err(|_| "not an age like 15m or 1d12h, a date like 2026-01-01 or a time like 2026-01-01T12:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_dates_and_moments_are_read() {
        assert_eq!(since("1d12h"), Ok(Since::Ago(Duration::from_secs(36 * 3600))));
        assert_eq!(since("2026-01-01"), Ok(Since::At(1_767_225_600)));
        assert_eq!(since("2026-01-01T12:00:00Z"), Ok(Since::At(1_767_268_800)));
        assert_eq!(since("2026-01-01T12:00:00+08:00"), Ok(Since::At(1_767_240_000)));
        for wrong in ["", "yesterday", "2026-13-01", "12"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
