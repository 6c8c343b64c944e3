//! Marker segments, as JPEG and JPEG-LS have them: a code behind FF, a length, bytes. Source: T.81 B.1.1.
//!
//! Invariant: nothing is read behind the end of the data.

/// A reader of marker segments.
pub(crate) struct Markers<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, String> {
        let byte = *self.data.get(self.at).ok_or("the data end inside a header")?;
        self.at += 1;
        Ok(byte)
    }

    /// A big-endian number of two bytes.
    pub(crate) fn word(&mut self) -> Result<usize, String> {
        Ok(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    /// The code of the next marker.
    pub(crate) fn next_marker(&mut self) -> Result<u8, String> {
        if self.byte()? != 0xFF {
            return Err("no marker where one belongs".into());
        }
        // Any number of fill bytes may stand before a marker's code.
        loop {
            match self.byte()? {
                0xFF => {}
                code => return Ok(code),
            }
        }
    }

    /// The content of the segment that begins here.
    pub(crate) fn segment(&mut self) -> Result<Markers<'a>, String> {
        let length = self.word()?.checked_sub(2).ok_or("a segment shorter than its length")?;
        let data = self.data.get(self.at..self.at + length).ok_or("the data end inside a segment")?;
        self.at += length;
        Ok(Markers::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.data.len()
    }

    /// Everything from here on.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.data[self.at..]
    }
}
