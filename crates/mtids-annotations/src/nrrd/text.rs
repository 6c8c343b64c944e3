//! Numbers written as text, as a stream of 64-bit numbers.
//!
//! Invariant: a token is bounded, so that a file without blanks cannot fill the memory. Units: little-endian bytes of `f64`.

use std::io::{BufRead, Error, ErrorKind, Read};

/// Longest number that is read.
const MAX_TOKEN: usize = 64;

/// Gives the bytes of the numbers that `source` writes with blanks or commas between them.
pub(super) struct TextVoxels<R> {
    source: R,
    /// Bytes of the number in hand that were not given yet, the next one last.
    left: Vec<u8>,
}

impl<R: BufRead> TextVoxels<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, left: Vec::new() }
    }

    /// The next number, or `None` at the end.
    fn next(&mut self) -> std::io::Result<Option<f64>> {
        let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == b',';
        let mut token = Vec::new();
        loop {
            let buffer = self.source.fill_buf()?;
            let Some(&byte) = buffer.first() else { break };
            self.source.consume(1);
            match (is_blank(byte), token.is_empty()) {
                (true, true) => {}
                (true, false) => break,
                (false, _) if token.len() == MAX_TOKEN => {
                    return Err(Error::new(ErrorKind::InvalidData, "the voxels are no numbers in text"));
                }
                (false, _) => token.push(byte),
            }
        }
        if token.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&token);
        let number = text.parse::<f64>();
        number.map(Some).map_err(|_| Error::new(ErrorKind::InvalidData, format!("`{text}` is no number")))
    }
}

impl<R: BufRead> Read for TextVoxels<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut given = 0;
        while given < into.len() {
            if self.left.is_empty() {
                let Some(number) = self.next()? else { break };
                self.left.extend(number.to_le_bytes().iter().rev());
            }
            if let Some(byte) = self.left.pop() {
                into[given] = byte;
                given += 1;
            }
        }
        Ok(given)
    }
}
