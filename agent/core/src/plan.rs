//! How an object is cut: its size and the sink's limits give one PUT or a list of parts. Equal inputs give equal plans, so
//! a successor that resumes an upload cuts at the same places.

use std::ops::Range;

use crate::model::Key;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What a sink takes. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkLimits {
    /// Of every part but the last.
    pub min_part: u64,
    /// Bytes of one part at most.
    pub max_part: u64,
    /// Parts of one upload at most.
    pub max_parts: u32,
    /// Bytes of one object at most.
    pub max_object: u64,
    /// The largest object that one PUT may carry.
    pub max_single_put: u64,
    /// Bytes of a key's name at most.
    pub max_key_bytes: usize,
    /// Of all user metadata together, names and values.
    pub max_metadata_bytes: usize,
}

impl SinkLimits {
    /// Amazon S3 (user guide, "Amazon S3 multipart upload limits"): 10,000 parts of 5 GiB, which is the documents'
    /// 48.8 TiB: 53,687,091,200,000 bytes exactly. One PUT: "5 GB", taken as the smaller reading, 5·10⁹.
    pub const S3: SinkLimits = SinkLimits {
        min_part: 5 * MIB,
        max_part: 5 * GIB,
        max_parts: 10_000,
        max_object: 10_000 * 5 * GIB,
        max_single_put: 5_000_000_000,
        max_key_bytes: 1024,
        max_metadata_bytes: 2 * 1024,
    };

    /// Google Cloud Storage ("Quotas and limits", XML multipart uploads): 5 TiB, by one PUT too.
    pub const GCS: SinkLimits = SinkLimits {
        min_part: 5 * MIB,
        max_part: 5 * GIB,
        max_parts: 10_000,
        max_object: 5 * TIB,
        max_single_put: 5 * TIB,
        max_key_bytes: 1024,
        max_metadata_bytes: 8 * 1024,
    };

    /// A directory: what a file's offset can say (2⁶³ − 1), Linux's PATH_MAX for names.
    pub const DIRECTORY: SinkLimits = SinkLimits {
        min_part: 1,
        max_part: i64::MAX as u64,
        max_parts: 10_000,
        max_object: i64::MAX as u64,
        max_single_put: i64::MAX as u64,
        max_key_bytes: 4095,
        max_metadata_bytes: 64 * 1024,
    };

    /// Whether the sink can hold an object of this name, by its length alone.
    pub fn accepts_key(&self, key: &Key) -> bool {
        (1..=self.max_key_bytes).contains(&key.as_bytes().len())
    }
}

/// The operator's wishes, in bytes. Limits come before wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSettings {
    /// Objects larger than this go in parts.
    pub multipart_threshold: u64,
    /// Bytes of one part, before limits.
    pub part_size: u64,
}

/// How an object of a size is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// No bytes: a PUT without a body (a multipart upload without parts is not allowed).
    Empty,
    /// One PUT.
    Single,
    /// A multipart upload.
    Parts(Parts),
}

/// Equal parts, but for the last, which is no larger and never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Of the object.
    pub size: u64,
    /// Bytes of every part but the last.
    pub part_size: u64,
    /// How many.
    pub count: u32,
}

impl Parts {
    /// The bytes of part `number`, counted from 1 as the services do. `None`: no such part.
    pub fn part(&self, number: u32) -> Option<Range<u64>> {
        if !(1..=self.count).contains(&number) {
            return None;
        }
        let start = u64::from(number - 1) * self.part_size;
        Some(start..start.saturating_add(self.part_size).min(self.size))
    }

    /// The last part's size in bytes.
    pub fn last(&self) -> u64 {
        self.part(self.count).map_or(0, |range| range.end - range.start)
    }

    /// All parts: number and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Range<u64>)> + use<> {
        let parts = *self;
        (1..=parts.count).filter_map(move |number| Some((number, parts.part(number)?)))
    }
}

/// The sink cannot hold an object of this size: the object's own fault, so it is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object has {size} bytes and the destination takes {max} at most")]
pub struct TooLarge {
    /// Bytes of the object.
    pub size: u64,
    /// Bytes that the destination takes.
    pub max: u64,
}

/// Cuts an object of `size` bytes. The part size grows by itself, to whole MiB, until the sink's part count is enough.
///
/// ```
/// use skyferry_core::plan::{PartSettings, Plan, SinkLimits, plan};
///
/// let wish = PartSettings { multipart_threshold: 50 << 20, part_size: 16 << 20 };
/// assert_eq!(plan(1 << 20, wish, &SinkLimits::S3), Ok(Plan::Single));
/// let Ok(Plan::Parts(parts)) = plan(100 << 20, wish, &SinkLimits::S3) else { panic!() };
/// assert_eq!((parts.count, parts.last()), (7, 4 << 20));
/// ```
pub fn plan(size: u64, wish: PartSettings, limits: &SinkLimits) -> Result<Plan, TooLarge> {
    let reach = limits.max_part.saturating_mul(limits.max_parts.into()).max(limits.max_single_put);
    let max = limits.max_object.min(reach);
    if size > max {
        return Err(TooLarge { size, max });
    }
    if size == 0 {
        return Ok(Plan::Empty);
    }
    if size <= wish.multipart_threshold.min(limits.max_single_put) {
        return Ok(Plan::Single);
    }
    let max_parts = u64::from(limits.max_parts.max(1));
    let needed = size.div_ceil(max_parts);
    let mut part_size = wish.part_size.max(limits.min_part).max(1);
    if part_size < needed {
        part_size = needed.checked_next_multiple_of(MIB).unwrap_or(needed);
    }
    part_size = part_size.min(limits.max_part).max(1);
    match u32::try_from(size.div_ceil(part_size)) {
        Ok(count) if count <= limits.max_parts => Ok(Plan::Parts(Parts { size, part_size, count })),
        // Only where one PUT reaches further than parts do.
        _ => Ok(Plan::Single),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WISH: PartSettings = PartSettings { multipart_threshold: 50 * MIB, part_size: 16 * MIB };

    fn parts(size: u64, wish: PartSettings, limits: &SinkLimits) -> Parts {
        match plan(size, wish, limits) {
            Ok(Plan::Parts(parts)) => parts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_empty_object_is_a_put_without_parts() {
        assert_eq!(plan(0, PartSettings { multipart_threshold: 0, part_size: 1 }, &SinkLimits::S3), Ok(Plan::Empty));
    }

    #[test]
    fn an_object_larger_than_the_threshold_goes_in_parts() {
        assert_eq!(plan(50 * MIB, WISH, &SinkLimits::GCS), Ok(Plan::Single));
        let cut = parts(50 * MIB + 1, WISH, &SinkLimits::GCS);
        assert_eq!((cut.part_size, cut.count, cut.last()), (16 * MIB, 4, 2 * MIB + 1));
        assert_eq!(cut.part(1), Some(0..16 * MIB));
        assert_eq!((cut.part(0), cut.part(5)), (None, None));
    }

    #[test]
    fn a_threshold_beyond_one_put_does_not_count() {
        let wish = PartSettings { multipart_threshold: u64::MAX, part_size: 16 * MIB };
        assert_eq!(plan(5_000_000_000, wish, &SinkLimits::S3), Ok(Plan::Single));
        assert!(matches!(plan(5_000_000_001, wish, &SinkLimits::S3), Ok(Plan::Parts(_))));
    }

    #[test]
    fn the_part_size_grows_to_fit_the_part_count() {
        let cut = parts(5 * TIB, WISH, &SinkLimits::GCS);
        assert_eq!((cut.part_size, cut.count), (525 * MIB, 9_987));
        let largest = parts(SinkLimits::S3.max_object, WISH, &SinkLimits::S3);
        assert_eq!((largest.part_size, largest.count, largest.last()), (5 * GIB, 10_000, 5 * GIB));
    }

    #[test]
    fn a_part_size_below_the_sinks_least_is_raised() {
        let wish = PartSettings { multipart_threshold: 0, part_size: 1 };
        assert_eq!(parts(20 * MIB, wish, &SinkLimits::S3).part_size, 5 * MIB);
    }

    #[test]
    fn more_than_the_sink_holds_is_refused() {
        assert_eq!(SinkLimits::S3.max_object, 53_687_091_200_000);
        let size = 5 * TIB + 1;
        assert_eq!(plan(size, WISH, &SinkLimits::GCS), Err(TooLarge { size, max: 5 * TIB }));
        assert!(plan(size, WISH, &SinkLimits::S3).is_ok());
        assert!(plan(SinkLimits::S3.max_object + 1, WISH, &SinkLimits::S3).is_err());
        assert!(plan(u64::MAX, WISH, &SinkLimits::DIRECTORY).is_err());
    }

    #[test]
    fn a_keys_length_is_counted_in_bytes() {
        assert!(SinkLimits::GCS.accepts_key(&Key::from("ä".repeat(512).as_str())));
        assert!(!SinkLimits::GCS.accepts_key(&Key::from("ä".repeat(513).as_str())));
        assert!(!SinkLimits::GCS.accepts_key(&Key::from("")));
    }

    /// Sizes of every order of magnitude alike, and the edges between them.
    fn size() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..=SinkLimits::S3.max_object,
            (0u32..46, any::<u64>())
                .prop_map(|(bits, r)| (r % (1 << bits) + (1 << bits)).min(SinkLimits::S3.max_object)),
            (0u64..51_200, 0u64..3)
                .prop_map(|(gib, off)| (gib * GIB + off).saturating_sub(1).min(SinkLimits::S3.max_object)),
        ]
    }

    fn wish() -> impl Strategy<Value = PartSettings> {
        let size = || prop_oneof![0..200 * MIB, any::<u64>()];
        (size(), size()).prop_map(|(multipart_threshold, part_size)| PartSettings { multipart_threshold, part_size })
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_exactly_and_fit_the_sink(size in size(), wish in wish(), gcs in any::<bool>()) {
            let limits = if gcs { SinkLimits::GCS } else { SinkLimits::S3 };
            match plan(size, wish, &limits) {
                Err(_) => prop_assert!(size > limits.max_object),
                Ok(Plan::Empty) => prop_assert_eq!(size, 0),
                Ok(Plan::Single) => prop_assert!(size <= limits.max_single_put && size <= wish.multipart_threshold),
                Ok(Plan::Parts(cut)) => {
                    prop_assert!(cut.count <= limits.max_parts);
                    let mut end = 0;
                    for (number, range) in cut.iter() {
                        prop_assert_eq!(range.start, end);
                        let length = range.end - range.start;
                        prop_assert!(length > 0 && length <= limits.max_part);
                        prop_assert!(length == cut.part_size || number == cut.count);
                        end = range.end;
                    }
                    prop_assert_eq!(end, size);
                    prop_assert!(cut.part_size >= limits.min_part);
                }
            }
        }

        #[test]
        fn no_limits_make_it_panic(size in any::<u64>(), wish in wish(), min_part in any::<u64>(), max_part in any::<u64>(),
                                   max_parts in any::<u32>(), max_single_put in any::<u64>()) {
            let limits = SinkLimits { min_part, max_part, max_parts, max_object: u64::MAX, max_single_put, ..SinkLimits::S3 };
            if let Ok(Plan::Parts(cut)) = plan(size, wish, &limits) {
                prop_assert!(cut.count <= max_parts);
                prop_assert_eq!(cut.part(cut.count).map(|r| r.end), Some(size));
            }
        }
    }
}
