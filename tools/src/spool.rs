//! What waits in a temporary file until a listing has come to its end: keys or messages, and there may be millions.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

/// Records of any bytes, in the order in which they came. It is empty until the first: no file is made for none.
#[derive(Default)]
pub struct Spool {
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Spool {
    pub fn add(&mut self, record: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(record)?;
        self.count += 1;
        Ok(())
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// In the order in which they came.
    pub fn into_records(self) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
        let mut file = self.file.map(|file| file.into_inner().map_err(|error| error.into_error())).transpose()?;
        if let Some(file) = &mut file {
            file.rewind()?;
        }
        let mut file = file.map(BufReader::new);
        Ok((0..self.count).map(move |_| {
            let file = file.as_mut().ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut length = [0; 4];
            file.read_exact(&mut length)?;
            let mut record = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact(&mut record)?;
            Ok(record)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_bytes_come_back_in_order() {
        let mut spool = Spool::default();
        let keys: [&[u8]; 3] = [b"a\nb", b"", b"\xff\0"];
        keys.iter().for_each(|key| spool.add(key).expect("written"));
        assert_eq!(spool.count(), 3);
        let back: Vec<Vec<u8>> = spool.into_records().expect("read").collect::<io::Result<_>>().expect("records");
        assert_eq!(back, keys);
        assert_eq!(Spool::default().into_records().expect("read").count(), 0);
    }
}
