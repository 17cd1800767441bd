//! How many were equal, by what proof, and how many differ, in which way.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::classify::Classified;
use super::finding::{Comparison, Difference, EqualityBasis, Finding};

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub skipped: u64,
    pub changing: u64,
    /// Of what differs and is at the source.
    pub bytes: u64,
    equal: [u64; EqualityBasis::ALL.len()],
    differs: [u64; Difference::ALL.len()],
}

impl Tally {
    pub fn add(&mut self, judged: &Classified) {
        self.skipped += judged.skipped;
        judged.findings.iter().for_each(|finding| self.count(finding));
    }

    fn count(&mut self, finding: &Finding) {
        *self.counter(finding.verdict) += 1;
        if let (Comparison::Differs(_), Some(here)) = (finding.verdict, &finding.here) {
            self.bytes += here.size;
        }
    }

    fn counter(&mut self, verdict: Comparison) -> &mut u64 {
        match verdict {
            Comparison::Equal(basis) => &mut self.equal[basis as usize],
            Comparison::Differs(why) => &mut self.differs[why as usize],
            Comparison::Changing => &mut self.changing,
        }
    }

    pub fn equal(&self) -> u64 {
        self.equal.iter().sum()
    }

    fn count_by_basis(&self, basis: EqualityBasis) -> u64 {
        self.equal[basis as usize]
    }

    pub fn differs(&self, why: Difference) -> u64 {
        self.differs[why as usize]
    }

    /// What is at the source and not, or not so, at the destination.
    pub fn missing_or_different(&self) -> u64 {
        self.differs.iter().sum::<u64>() - self.differs(Difference::Extra)
    }

    /// Keys of the destination.
    pub fn at_destination(&self) -> u64 {
        self.equal() + self.missing_or_different() - self.differs(Difference::Missing) + self.differs(Difference::Extra)
    }

    /// Keys of either side.
    pub fn total_keys(&self) -> u64 {
        self.equal() + self.missing_or_different() + self.differs(Difference::Extra) + self.changing + self.skipped
    }

    /// Rows of a table, those without a count left out.
    fn rows(&self) -> Vec<(String, u64)> {
        let equal =
            EqualityBasis::ALL.map(|basis| (format!("equal by {}", spaced(basis.name())), self.count_by_basis(basis)));
        let differs = Difference::ALL.map(|why| (format!("different: {}", describe(why)), self.differs(why)));
        let others = [("changing meanwhile".into(), self.changing), ("left out".into(), self.skipped)];
        equal.into_iter().chain(differs).chain(others).filter(|(_, count)| *count > 0).collect()
    }

    /// For people. `head`: everything that --head could tell has been looked at.
    pub fn table(&self, head: bool) -> String {
        let rows = self.rows();
        let wide = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        let row = |(what, count): &(String, u64)| format!("{what:<wide$} {:>13}", HumanCount(*count).to_string());
        let mut lines: Vec<String> = rows.iter().map(row).collect();
        if self.count_by_basis(EqualityBasis::SizeAndTime) > 0 && !head {
            lines.push("(where nothing but size and time could be compared, --head looks closer)".into());
        }
        lines.join("\n")
    }

    /// How far it is, in a line.
    pub fn progress(&self, elapsed: Duration) -> String {
        let rate = (self.total_keys() as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
        format!(
            "{} compared, {}/s, {} differ",
            HumanCount(self.total_keys()),
            HumanCount(rate),
            HumanCount(self.missing_or_different())
        )
    }
}

fn spaced(name: &str) -> String {
    name.replace('-', " ").replace("etag", "ETag")
}

fn describe(why: Difference) -> &'static str {
    match why {
        Difference::Missing => "not at the destination",
        Difference::Size => "another size",
        Difference::Etag => "another ETag",
        Difference::Newer => "older than the source",
        Difference::Checksum => "another checksum",
        Difference::Content => "other bytes",
        Difference::Headers => "other headers or metadata",
        Difference::Extra => "only at the destination",
    }
}

/// `{"equal": n, "equal_by": {…}, "different": n, "missing": n, …}`.
impl Serialize for Tally {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("equal", &self.equal())?;
        for basis in EqualityBasis::ALL {
            map.serialize_entry(&format!("equal_by_{}", basis.name().replace('-', "_")), &self.count_by_basis(basis))?;
        }
        for why in Difference::ALL {
            map.serialize_entry(why.name(), &self.differs(why))?;
        }
        map.serialize_entry("changing", &self.changing)?;
        map.serialize_entry("skipped", &self.skipped)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.end()
    }
}
