//! The bytes of a CSV file, unpacked where it is packed, and no more of them than a report can have.
//!
//! Rows are read as a stream, so a bomb could not fill the memory but by one endless row; it could still keep a machine busy
//! for days. What is beyond these bounds is no report.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// Rows of one report are much alike: they shrink to a tenth, with long keys that differ in a digit to a fiftieth. What gzip
/// can do at most is a thousandth.
const RATIO: u64 = 250;
/// Small files may shrink by more.
const ALWAYS: u64 = 16 << 20;
/// S3 cuts its reports into files of some million rows: about a GiB unpacked.
const MOST: u64 = 64 << 30;
/// A key has at most 1,024 bytes, thrice as many encoded; an access control list, some tens of KiB.
const ROW: u64 = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub struct Unpacked {
    from: Box<dyn Read>,
    bytes: u64,
    most: u64,
    row: RowStart,
}

/// Where the row begins that is being read: whoever reads rows sets it.
pub type RowStart = Rc<Cell<u64>>;

impl Unpacked {
    pub fn new(file: File) -> io::Result<Unpacked> {
        let size = file.metadata()?.len();
        let mut file = BufReader::with_capacity(64 << 10, file);
        let packed = file.fill_buf()?.starts_with(&GZIP);
        let most = if packed { size.saturating_mul(RATIO).clamp(ALWAYS, MOST) } else { MOST };
        let from: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Unpacked { from, bytes: 0, most, row: RowStart::default() })
    }

    pub fn row_start(&self) -> RowStart {
        self.row.clone()
    }

    /// Reads it to its end: gzip has a sum of its own.
    pub fn check(mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            self.row.set(self.bytes);
            match self.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes += read as u64;
        if self.bytes > self.most {
            let why =
                format!("it unpacks to more than {} bytes, which no report does: a decompression bomb", self.most);
            return Err(io::Error::other(why));
        }
        if self.bytes - self.row.get() > ROW + buffer.len() as u64 {
            return Err(io::Error::other(format!("a row of more than {ROW} bytes, which no report has")));
        }
        Ok(read)
    }
}

/// What a person reads of an error while unpacking.
pub fn error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated: the gzip stream has no end".into(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => format!("it is damaged: {error}"),
        _ => error.to_string(),
    }
}
