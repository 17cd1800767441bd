//! Names, and states distinguished but for names: which writer, upload, generation or token is meant says nothing; which
//! of them are the same does. So does whether a version of the source is the newest, but not which old one it is.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use skyferry_core::model::{Revision, SourceIdentity, UploadId};

/// A version of the source, a generation of the destination or an upload. Hashed as nothing else is (`write_i32`), so
/// that `Fingerprint` knows names when it meets them, also inside the protocol, where they are short texts.
pub type Name = i32;

const KIND: Name = 1 << 24;
const LETTERS: [char; 3] = ['v', 'g', 'u'];
const GENERATION: Name = KIND;
const UPLOAD: Name = 2 * KIND;

/// Bytes that are no version of the source: of two of them, somebody else's, damaged on the way.
pub const MIXED: Name = KIND - 1;
pub const FOREIGN: Name = KIND - 2;
pub const GARBLED: Name = KIND - 3;
/// When somebody else's objects were modified: as the first two versions.
pub const FOREIGN_TIME: i64 = 0;

fn text(name: Name) -> Arc<str> {
    format!("{}{}", LETTERS[(name / KIND) as usize], name % KIND).into()
}

pub fn name(text: &str) -> Name {
    parse(text.as_bytes()).expect("a name of the model")
}

fn parse(text: &[u8]) -> Option<Name> {
    let (&letter, digits) = text.split_first()?;
    let kind = LETTERS.iter().position(|&known| known as u8 == letter)?;
    Some(digits.iter().fold(0, |n, digit| n * 10 + (digit - b'0') as Name) + kind as Name * KIND)
}

/// Two versions are made within a second, which is as fine as services tell times.
pub fn identity(version: Name) -> SourceIdentity {
    SourceIdentity { etag: text(version), size: 1, last_modified: (version / 2).into(), version: None }
}

pub fn generation(number: Name) -> Name {
    GENERATION + number
}

pub fn revision(generation: Name) -> Revision {
    Revision(text(generation))
}

pub fn upload(number: Name) -> Name {
    UPLOAD + number
}

pub fn upload_id(upload: Name) -> UploadId {
    UploadId(text(upload))
}

/// 128 bits of a state: two different states meet with a chance of 2⁻⁸⁰ in ten million. Each name counts as the place
/// where it was first met.
pub struct Fingerprint {
    halves: (u64, u64),
    newest: Newest,
    /// `None`: all names are one.
    met: Option<Vec<u64>>,
}

/// The version that alone matters; `None`: where the others' order does too.
pub type Newest = Option<Name>;

impl Fingerprint {
    pub fn new(newest: Newest) -> Fingerprint {
        Fingerprint { halves: (0, 0), newest, met: Some(Vec::with_capacity(32)) }
    }

    /// What a value looks like without its names: for putting things without an order into one.
    pub fn shape(newest: Newest, value: &impl Hash) -> u64 {
        let mut print = Fingerprint { halves: (0, 0), newest, met: None };
        value.hash(&mut print);
        print.halves.1
    }

    pub fn print(&self) -> u128 {
        (self.halves.0 as u128) << 64 | self.halves.1 as u128
    }

    fn meet(&mut self, name: u64) {
        let place = match &mut self.met {
            None => 0,
            Some(met) => met.iter().position(|&known| known == name).unwrap_or_else(|| {
                met.push(name);
                met.len() - 1
            }),
        };
        self.write_u64(place as u64);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.halves.0
    }
    fn write_u64(&mut self, word: u64) {
        let (a, b) = &mut self.halves;
        *a = (a.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *b = (*b ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31);
        *b ^= *b >> 29;
    }
    fn write_i32(&mut self, name: i32) {
        match name {
            MIXED | FOREIGN | GARBLED => self.write_u64(name as u64),
            _ if Some(name) == self.newest => self.write_u64(KIND as u64),
            _ if self.newest.is_none() && (0..KIND).contains(&name) => self.write_u64((KIND + name) as u64),
            _ => self.meet(name as u64),
        }
    }
    /// Writers and tokens.
    fn write_u128(&mut self, id: u128) {
        self.meet(1 << 63 | id as u64);
    }
    /// Texts: names, all of them.
    fn write(&mut self, bytes: &[u8]) {
        self.write_i32(parse(bytes).expect("a name of the model"));
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n as u64);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n as u64);
    }
    /// Times: the names of versions tell them.
    fn write_i64(&mut self, _: i64) {}
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}
