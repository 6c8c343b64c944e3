//! A published file that is read by ranges: any size, with the memory of its pieces' digests.
//!
//! The whole file is hashed once and compared with the manifest; on the way every piece gets a digest of its own. From then on each range is
//! read with the pieces that hold it, and each piece is checked again. Invariant: no byte reaches a reader that is not the published one, even
//! where the file is changed meanwhile. Units: bytes.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use rayon::prelude::*;

use crate::error::ShardError;
use crate::file::FileEntry;

/// Length of a piece: about one page of a narrow column.
const PIECE: u64 = 1 << 16;
/// Bytes that a thread reads at a time while the whole is hashed.
const READ: u64 = PIECE << 5;
/// Reads that are under way at a time, on all threads.
const READS: usize = 16;

/// The file, checked.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    storage: Arc<dyn Storage>,
    path: Arc<str>,
    length: u64,
    digests: Arc<[Digest]>,
}

impl Pieces {
    /// Reads a file once and checks it.
    ///
    /// # Errors
    /// [`ShardError::DamagedFile`] when its bytes are not those of the manifest, or when they cannot be read.
    pub(crate) fn open(storage: Arc<dyn Storage>, entry: &FileEntry) -> Result<Self, ShardError> {
        let place = storage.place(&entry.path);
        let damaged = |detail: String| ShardError::DamagedFile { path: place.clone(), detail };
        let fail = |error: io::Error| damaged(error.to_string());
        let length = storage.size(&entry.path).map_err(fail)?;
        let mut hasher = blake3::Hasher::new();
        let mut digests = Vec::with_capacity((length / PIECE) as usize + 1);
        let starts: Vec<u64> = (0..length).step_by(READ as usize).collect();
        for starts in starts.chunks(READS) {
            let read = |at: &u64| -> io::Result<(Vec<u8>, Vec<Digest>)> {
                let bytes = storage.get_range(&entry.path, *at, READ.min(length - at))?;
                let digests = bytes.chunks(PIECE as usize).map(Digest::of_bytes).collect();
                Ok((bytes, digests))
            };
            for (bytes, of_pieces) in starts.par_iter().map(read).collect::<io::Result<Vec<_>>>().map_err(fail)? {
                hasher.update(&bytes);
                digests.extend(of_pieces);
            }
        }
        if Digest::from(hasher) != entry.digest {
            return Err(damaged("its digest differs from the manifest".into()));
        }
        Ok(Self { storage, path: entry.path.as_str().into(), length, digests: digests.into() })
    }

    /// The bytes from `start` on, checked.
    fn range(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let end = start.checked_add(length).filter(|end| *end <= self.length).ok_or(io::ErrorKind::UnexpectedEof)?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = start / PIECE;
        let from = first * PIECE;
        let to = end.div_ceil(PIECE).saturating_mul(PIECE).min(self.length);
        let bytes = self.storage.get_range(&self.path, from, to - from)?;
        for (piece, digest) in bytes.chunks(PIECE as usize).zip(&self.digests[first as usize..]) {
            if Digest::of_bytes(piece) != *digest {
                return Err(io::Error::other(format!("{} was changed while it was read", self.path)));
            }
        }
        let within = (start - from) as usize;
        Ok(Bytes::from(bytes).slice(within..within + length as usize))
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pieces {
    type T = PieceReader;

    fn get_read(&self, start: u64) -> Result<PieceReader, ParquetError> {
        Ok(PieceReader { file: self.clone(), at: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.range(start, length as u64)?)
    }
}

/// Reads on from a place, to the end of each piece.
pub(crate) struct PieceReader {
    file: Pieces,
    at: u64,
    buffer: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            let left = PIECE - self.at % PIECE;
            self.buffer = self.file.range(self.at, left.min(self.file.length.saturating_sub(self.at)))?;
            self.at += self.buffer.len() as u64;
        }
        let length = into.len().min(self.buffer.len());
        into[..length].copy_from_slice(&self.buffer.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::write_file;
    use mtids_runtime::storage::Folder;

    #[test]
    fn ranges_are_those_of_the_file_and_a_change_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Folder::new(folder.path()));
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let entry = write_file(storage.as_ref(), "a.bin", &bytes).unwrap();
        let file = Pieces::open(Arc::clone(&storage), &entry).unwrap();
        for (start, length) in [(0, 10), (65_530, 20), (65_536, 65_536), (199_990, 10), (0, 200_000), (7, 0)] {
            assert_eq!(file.get_bytes(start, length).unwrap(), bytes[start as usize..start as usize + length]);
        }
        assert!(file.get_bytes(199_990, 11).is_err());
        let mut rest = Vec::new();
        file.get_read(131_000).unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes[131_000..]);
        let mut other = bytes.clone();
        other[70_000] ^= 1;
        std::fs::write(folder.path().join(&entry.path), &other).unwrap();
        assert!(file.get_bytes(0, 100).is_ok(), "this piece is as it was");
        assert!(file.get_bytes(70_100, 1).unwrap_err().to_string().contains("was changed"));
        assert!(Pieces::open(storage, &entry).is_err());
    }
}
