//! Sizes and durations as people write them: `16MiB`, `16MB`, `16M`, `15m`, `1d12h`; a plain number is bytes, and never a time.

use std::time::Duration;

const SIZES: [(&str, u64); 13] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

const TIMES: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("ms", 1), ("s", 1_000)];

/// Bytes. Units in any case; `K`, `M`, `G` and `T` alone are binary, as in other programs for this work.
pub fn size(text: &str) -> Result<u64, String> {
    let wanted = "a size like \"16MiB\", \"16MB\", \"16M\" or a number of bytes";
    let (number, unit) = split(text.trim());
    let number: u64 = number.parse().map_err(|_| wanted.to_string())?;
    let factor = if unit.is_empty() { 1 } else { factor(&SIZES, unit, true).ok_or(wanted)? };
    number.checked_mul(factor).ok_or_else(|| "a size that fits into 64 bits".to_string())
}

/// Bytes per second, `/s` or not.
pub fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    size(text.strip_suffix("/s").unwrap_or(text))
}

/// One or more numbers with units: `15m`, `1d12h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a duration like \"30s\", \"15m\" or \"1d12h\"".to_string();
    let (mut rest, mut sum) = (text.trim(), 0u64);
    loop {
        let (number, after) = split(rest);
        let number: u64 = number.parse().map_err(|_| wanted())?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = factor(&TIMES, unit, false).ok_or_else(wanted)?;
        let more = number.checked_mul(factor).and_then(|more| sum.checked_add(more));
        sum = more.ok_or_else(|| "a shorter duration".to_string())?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_millis(sum));
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn factor(units: &[(&str, u64)], unit: &str, any_case: bool) -> Option<u64> {
    let same = |name: &str| if any_case { name.eq_ignore_ascii_case(unit) } else { name == unit };
    units.iter().find(|(name, _)| same(name)).map(|(_, factor)| *factor)
}

/// The shortest text that [`size`] reads back as this: whole binary units, else bytes.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZES[..4].iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// What [`duration`] reads back as this, to the millisecond.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.iter().find(|(_, factor)| ms > 0 && ms.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{ms}ms"), |(name, factor)| format!("{}{name}", ms / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("16mib", 16 << 20),
            ("16MB", 16_000_000),
            ("7", 7),
            ("0", 0),
            ("1 GiB", 1 << 30),
            ("2K", 2048),
            ("1m", 1 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "16X", "1.5GiB", "-1", "16 MiB x", "99999999TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        for (text, seconds) in [("30s", 30), ("2m", 120), ("15m", 900), ("1h", 3600), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, hours) in [("1d12h", 36), ("1d 12h", 36), ("1w", 168)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(hours * 3600)), "{text}");
        }
        assert_eq!(rate("10MB/s"), Ok(10_000_000));
        assert!(rate("10/m").is_err());
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "30", "s", "1.5h", "2M", "1d12", "1d x", "99999999999999999999d", "999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in any::<u64>(), shift in 0u32..50, ms in any::<u64>()) {
            for bytes in [bytes, bytes >> shift << shift] {
                prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
            }
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = (size(&text), duration(&text));
        }
    }
}
