//! Where large bodies lie: one unlinked temporary file, handed out in blocks. One descriptor whatever the number of
//! parts, space used again when an object goes, nothing left behind even by SIGKILL.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Size of a block in bytes.
const BLOCK: u64 = 1 << 20;

/// The file and its free blocks.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    free: Mutex<FreeList>,
}

#[derive(Debug, Default)]
struct FreeList {
    blocks: Vec<u64>,
    end: u64,
}

impl Spool {
    /// An empty spool in the system's temporary directory.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Spool { file: tempfile::tempfile()?, free: Mutex::default() })
    }

    fn free(&self) -> MutexGuard<'_, FreeList> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> u64 {
        let mut free = self.free();
        free.blocks.pop().unwrap_or_else(|| {
            free.end += 1;
            free.end - 1
        })
    }
}

/// Bytes that lie in the spool; the blocks go back when it is dropped.
#[derive(Debug)]
pub(crate) struct Spooled {
    spool: Arc<Spool>,
    blocks: Vec<u64>,
    len: u64,
}

impl Spooled {
    pub(crate) fn new(spool: Arc<Spool>) -> Self {
        Spooled { spool, blocks: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends; on an error what was written so far is garbage to be dropped.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let within = self.len % BLOCK;
            if within == 0 {
                self.blocks.push(self.spool.take());
            }
            let block = self.blocks.last().copied().unwrap_or_default();
            let room = usize::try_from(BLOCK - within).unwrap_or(usize::MAX).min(bytes.len());
            self.spool.file.write_all_at(&bytes[..room], block * BLOCK + within)?;
            self.len += room as u64;
            bytes = &bytes[room..];
        }
        Ok(())
    }

    /// Up to `most` bytes from `offset`, never across a block's end; empty at the end.
    pub(crate) fn read_at(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        if offset >= self.len {
            return Ok(Bytes::new());
        }
        let within = offset % BLOCK;
        let index = usize::try_from(offset / BLOCK).map_err(io::Error::other)?;
        let left = (BLOCK - within).min(self.len - offset);
        let mut buffer = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(most)];
        self.spool.file.read_exact_at(&mut buffer, self.blocks[index] * BLOCK + within)?;
        Ok(buffer.into())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.spool.free().blocks.append(&mut self.blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_dropped_body_are_used_again() {
        let spool = Arc::new(Spool::new().unwrap());
        for round in 0..5u8 {
            let mut body = Spooled::new(Arc::clone(&spool));
            let bytes = vec![round; 3_000_000];
            body.append(&bytes[..1_500_000]).unwrap();
            body.append(&bytes[1_500_000..]).unwrap();
            assert_eq!(body.read_at(2_999_990, 100).unwrap(), vec![round; 10]);
            assert_eq!(body.read_at(1_048_570, 100).unwrap().len(), 6);
        }
        assert_eq!(spool.free().end, 3);
    }
}
