//! How many were equal, by what proof, and how many differ, in which way.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::finding::{Basis, Finding, Verdict, Why};
use super::judge::Judged;

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub skipped: u64,
    pub changing: u64,
    /// Of what differs and is at the source.
    pub bytes: u64,
    equal: [u64; Basis::ALL.len()],
    differs: [u64; Why::ALL.len()],
}

impl Tally {
    pub fn add(&mut self, judged: &Judged) {
        self.skipped += judged.skipped;
        judged.findings.iter().for_each(|finding| self.count(finding));
    }

    fn count(&mut self, finding: &Finding) {
        *self.of(finding.verdict) += 1;
        if let (Verdict::Differs(_), Some(here)) = (finding.verdict, &finding.here) {
            self.bytes += here.size;
        }
    }

    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Equal(basis) => &mut self.equal[basis as usize],
            Verdict::Differs(why) => &mut self.differs[why as usize],
            Verdict::Changing => &mut self.changing,
        }
    }

    pub fn equal(&self) -> u64 {
        self.equal.iter().sum()
    }

    fn by(&self, basis: Basis) -> u64 {
        self.equal[basis as usize]
    }

    pub fn differs(&self, why: Why) -> u64 {
        self.differs[why as usize]
    }

    /// What is at the source and not, or not so, at the destination.
    pub fn wanting(&self) -> u64 {
        self.differs.iter().sum::<u64>() - self.differs(Why::Extra)
    }

    /// Keys of the destination.
    pub fn there(&self) -> u64 {
        self.equal() + self.wanting() - self.differs(Why::Missing) + self.differs(Why::Extra)
    }

    /// Keys of either side.
    pub fn seen(&self) -> u64 {
        self.equal() + self.wanting() + self.differs(Why::Extra) + self.changing + self.skipped
    }

    /// Rows of a table, those without a count left out.
    fn rows(&self) -> Vec<(String, u64)> {
        let equal = Basis::ALL.map(|basis| (format!("equal by {}", words(basis.name())), self.by(basis)));
        let differs = Why::ALL.map(|why| (format!("different: {}", described(why)), self.differs(why)));
        let others = [("changing meanwhile".into(), self.changing), ("left out".into(), self.skipped)];
        equal.into_iter().chain(differs).chain(others).filter(|(_, count)| *count > 0).collect()
    }

    /// For people. `head`: everything that --head could tell has been looked at.
    pub fn table(&self, head: bool) -> String {
        let rows = self.rows();
        let wide = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
        let row = |(what, count): &(String, u64)| format!("{what:<wide$} {:>13}", HumanCount(*count).to_string());
        let mut lines: Vec<String> = rows.iter().map(row).collect();
        if self.by(Basis::SizeAndTime) > 0 && !head {
            lines.push("(where nothing but size and time could be compared, --head looks closer)".into());
        }
        lines.join("\n")
    }

    /// How far it is, in a line.
    pub fn progress(&self, elapsed: Duration) -> String {
        let rate = (self.seen() as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
        format!("{} compared, {}/s, {} differ", HumanCount(self.seen()), HumanCount(rate), HumanCount(self.wanting()))
    }
}

fn words(name: &str) -> String {
    name.replace('-', " ").replace("etag", "ETag")
}

fn described(why: Why) -> &'static str {
    match why {
        Why::Missing => "not at the destination",
        Why::Size => "another size",
        Why::Etag => "another ETag",
        Why::Newer => "older than the source",
        Why::Checksum => "another checksum",
        Why::Content => "other bytes",
        Why::Headers => "other headers or metadata",
        Why::Extra => "only at the destination",
    }
}

/// `{"equal": n, "equal_by": {…}, "different": n, "missing": n, …}`.
impl Serialize for Tally {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("equal", &self.equal())?;
        for basis in Basis::ALL {
            map.serialize_entry(&format!("equal_by_{}", basis.name().replace('-', "_")), &self.by(basis))?;
        }
        for why in Why::ALL {
            map.serialize_entry(why.name(), &self.differs(why))?;
        }
        map.serialize_entry("changing", &self.changing)?;
        map.serialize_entry("skipped", &self.skipped)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.end()
    }
}
