//! Reading `multipart/related` as it comes (RFC 2046, section 5.1).
//!
//! Invariants: memory is one buffer of [`BUFFER`] bytes and one header of at most [`LONGEST_HEADER`], whatever comes; a part counts as whole only if
//! the boundary behind it has come, so a connection that is cut is never taken for an end; no bytes cause a panic.

use std::io::{self, Read, Write};

/// Bytes held at a time.
const BUFFER: usize = 64 << 10;
/// Longest header of a part, in bytes.
const LONGEST_HEADER: usize = 16 << 10;
/// Longest boundary: RFC 2046 allows 70 characters, some servers use more.
const LONGEST_BOUNDARY: usize = 200;
/// What may stand before the first part, in bytes.
const LONGEST_PREAMBLE: u64 = 64 << 10;

/// Why parts cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    /// It ends, or the connection fails, before the last boundary.
    #[error("the connection was cut: {0}")]
    Cut(String),
    /// It is no multipart content.
    #[error("it is not valid multipart content: {0}")]
    Damaged(&'static str),
    /// A part is longer than allowed.
    #[error("a part is longer than {0} bytes")]
    TooLarge(u64),
    /// Writing what came failed.
    #[error("writing failed: {0}")]
    Write(io::Error),
}

/// What is known of a part before its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHeader {
    /// `Content-Type` without parameters, in small letters.
    pub content_type: Option<String>,
}

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// In a part, behind its header.
    Part,
    /// Behind a boundary.
    Boundary,
    /// Behind the last boundary.
    End,
}

/// Parts of a source.
#[derive(Debug)]
pub struct Multipart<R> {
    source: R,
    buffer: Box<[u8]>,
    /// What is in the buffer and not yet used.
    start: usize,
    end: usize,
    /// Line end, two dashes, boundary.
    delimiter: Vec<u8>,
    state: State,
}

impl<R: Read> Multipart<R> {
    /// Reads parts that are divided by `boundary`.
    ///
    /// # Errors
    /// [`MultipartError::Damaged`] for a boundary that none can be.
    pub fn new(source: R, boundary: &str) -> Result<Self, MultipartError> {
        if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY || boundary.contains(['\r', '\n']) {
            return Err(MultipartError::Damaged("its boundary is empty, too long, or broken by a line end"));
        }
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        // A boundary at the very beginning has no line end before it: it is given one.
        buffer[..2].copy_from_slice(b"\r\n");
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Ok(Self { source, buffer, start: 0, end: 2, delimiter, state: State::Preamble })
    }

    /// Goes to the next part; what was not read of the one before is passed over. `None` behind the last one.
    ///
    /// # Errors
    /// [`MultipartError`] as it stands there.
    pub fn next_part(&mut self) -> Result<Option<PartHeader>, MultipartError> {
        match self.state {
            State::Preamble => _ = self.pass(&mut io::sink(), LONGEST_PREAMBLE)?,
            State::Part => _ = self.pass(&mut io::sink(), u64::MAX)?,
            State::Boundary => {}
            State::End => return Ok(None),
        }
        // Behind a boundary: two dashes end it all, otherwise the line ends, perhaps behind spaces.
        self.fill_to(2)?;
        if self.buffer[self.start..self.end].starts_with(b"--") {
            self.state = State::End;
            return Ok(None);
        }
        if !self.line()?.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(MultipartError::Damaged("text stands behind a boundary"));
        }
        let mut header = PartHeader::default();
        let mut length = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                self.state = State::Part;
                return Ok(Some(header));
            }
            length += line.len();
            if length > LONGEST_HEADER {
                return Err(MultipartError::Damaged("the header of a part is too long"));
            }
            let line = String::from_utf8_lossy(&line);
            if let Some((name, value)) = line.split_once(':')
                && name.trim().eq_ignore_ascii_case("content-type")
            {
                header.content_type = Some(media_type(value));
            }
        }
    }

    /// Writes the content of this part; returns its length. Outside a part there is none.
    ///
    /// # Errors
    /// [`MultipartError::TooLarge`] for a part beyond `most` bytes, or as [`Multipart::next_part`].
    pub fn copy_part(&mut self, out: &mut dyn Write, most: u64) -> Result<u64, MultipartError> {
        if self.state == State::Part { self.pass(out, most) } else { Ok(0) }
    }

    /// Writes everything up to the next boundary and stands behind it.
    fn pass(&mut self, out: &mut dyn Write, most: u64) -> Result<u64, MultipartError> {
        let mut length = 0;
        loop {
            let held = &self.buffer[self.start..self.end];
            let found = find(held, &self.delimiter);
            // The last bytes may be the beginning of a boundary.
            let ready = found.unwrap_or((held.len() + 1).saturating_sub(self.delimiter.len()));
            length += ready as u64;
            if length > most {
                return Err(MultipartError::TooLarge(most));
            }
            out.write_all(&held[..ready]).map_err(MultipartError::Write)?;
            self.start += ready;
            if found.is_some() {
                self.start += self.delimiter.len();
                self.state = State::Boundary;
                return Ok(length);
            }
            self.fill()?;
        }
    }

    /// A line without its end.
    fn line(&mut self) -> Result<Vec<u8>, MultipartError> {
        let mut line = Vec::new();
        loop {
            self.fill_to(1)?;
            let held = &self.buffer[self.start..self.end];
            let end = held.iter().position(|&byte| byte == b'\n');
            line.extend_from_slice(&held[..end.unwrap_or(held.len())]);
            self.start += end.map_or(held.len(), |end| end + 1);
            if line.len() > LONGEST_HEADER {
                return Err(MultipartError::Damaged("the header of a part is too long"));
            }
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
        }
    }

    /// Reads until at least `bytes` are held.
    fn fill_to(&mut self, bytes: usize) -> Result<(), MultipartError> {
        while self.end - self.start < bytes {
            self.fill()?;
        }
        Ok(())
    }

    /// Reads more. What is held is always shorter than the buffer: callers use up all but the length of a boundary.
    fn fill(&mut self) -> Result<(), MultipartError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(MultipartError::Cut("it ended before the last boundary".into())),
                Ok(read) => {
                    self.end += read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(MultipartError::Cut(error.to_string())),
            }
        }
    }
}

/// Where `needle`, which begins with a line end, is found first.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&byte| byte == b'\r') {
        if bytes[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A media type without parameters, in small letters.
pub(crate) fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The boundary that the header `Content-Type` of a `multipart/related` answer names.
pub fn boundary_of(content_type: &str) -> Option<String> {
    if media_type(content_type) != "multipart/related" {
        return None;
    }
    // Semicolons inside quotes divide nothing.
    let (mut parameters, mut quoted) = (vec![String::new()], false);
    for letter in content_type.chars() {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => parameters.push(String::new()),
            _ => parameters.last_mut()?.push(letter),
        }
    }
    let boundary = parameters.iter().skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().to_owned())
    });
    boundary.filter(|boundary| !boundary.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A source that gives `piece` bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(out.len());
            out[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// A part's media type and content.
    type Part = (Option<String>, Vec<u8>);

    fn parts(bytes: &[u8], piece: usize) -> Result<Vec<Part>, MultipartError> {
        let mut multipart = Multipart::new(Pieces(bytes, piece), "b")?;
        let mut found = Vec::new();
        while let Some(header) = multipart.next_part()? {
            let mut content = Vec::new();
            multipart.copy_part(&mut content, 1 << 20)?;
            found.push((header.content_type, content));
        }
        assert!(multipart.next_part()?.is_none());
        Ok(found)
    }

    fn written(contents: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"a preamble\r\n".to_vec();
        for content in contents {
            bytes.extend_from_slice(b"--b \r\ncontent-TYPE: Application/DICOM; x=1\r\nContent-ID: 1\r\n\r\n");
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"--b--\r\nan epilogue");
        bytes
    }

    #[test]
    fn parts_come_as_they_were_written() {
        let dicom = || Some("application/dicom".to_owned());
        let contents = [b"\r\n--a\r\n-\r\n--".to_vec(), vec![], vec![13; 200_000]];
        for piece in [1, 7, 1 << 20] {
            let found = parts(&written(&contents), piece).unwrap();
            assert_eq!(found, contents.clone().map(|content| (dicom(), content)));
        }
        assert_eq!(parts(b"--b\r\n\r\nx\r\n--b--", 2).unwrap(), [(None::<String>, b"x".to_vec())]);
        assert!(parts(b"\r\n--b--", 1).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_read_is_passed_over() {
        let bytes = written(&[vec![1; 100_000], vec![2]]);
        let mut multipart = Multipart::new(&bytes[..], "b").unwrap();
        multipart.next_part().unwrap().unwrap();
        multipart.next_part().unwrap().unwrap();
        let mut content = Vec::new();
        assert_eq!(multipart.copy_part(&mut content, 10).unwrap(), 1);
        assert_eq!(multipart.copy_part(&mut content, 10).unwrap(), 0, "a part is there once");
        assert_eq!(content, [2]);
    }

    #[test]
    fn damage_has_a_name() {
        let whole = written(&[vec![5; 1000]]);
        for length in 0..whole.len() - b"--\r\nan epilogue".len() {
            assert!(matches!(parts(&whole[..length], 9), Err(MultipartError::Cut(_))), "{length}");
        }
        assert!(matches!(parts(b"--bother\r\n\r\nx\r\n--b--", 9), Err(MultipartError::Damaged(_))));
        let long = [b"--b\r\nA: ".to_vec(), vec![b'x'; 20_000]].concat();
        assert!(matches!(parts(&long, 4096), Err(MultipartError::Damaged(_))));
        let lines = [b"--b\r\n".to_vec(), b"A: x\r\n".repeat(5000)].concat();
        assert!(matches!(parts(&lines, 4096), Err(MultipartError::Damaged(_))));
        assert!(matches!(parts(&vec![b' '; 100_000], 4096), Err(MultipartError::TooLarge(_))));
        for boundary in ["", "a\rb", &"x".repeat(201)] {
            assert!(Multipart::new(&b""[..], boundary).is_err());
        }
        let mut multipart = Multipart::new(&whole[..], "b").unwrap();
        multipart.next_part().unwrap();
        assert!(matches!(multipart.copy_part(&mut io::sink(), 999), Err(MultipartError::TooLarge(999))));
    }

    #[test]
    fn boundaries_are_read_as_servers_write_them() {
        for (content_type, boundary) in [
            (r#"multipart/related; type="application/dicom"; boundary=abc"#, Some("abc")),
            (r#"Multipart/Related;BOUNDARY="a;b=c";type="application/dicom""#, Some("a;b=c")),
            (r#"multipart/related; start="boundary=no"; boundary= x "#, Some("x")),
            ("multipart/related; boundary=", None),
            ("multipart/related", None),
            ("multipart/mixed; boundary=abc", None),
            ("", None),
        ] {
            assert_eq!(boundary_of(content_type).as_deref(), boundary, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn any_contents_come_back(
            contents in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-bx\0".to_vec()), 0..300), 0..5),
            piece in 1usize..50,
        ) {
            // A content with a boundary in it is none that a server may send.
            prop_assume!(contents.iter().all(|content| find(content, b"\r\n--b").is_none()));
            let found = parts(&written(&contents), piece).unwrap();
            prop_assert_eq!(found.into_iter().map(|(_, content)| content).collect::<Vec<_>>(), contents);
        }

        #[test]
        fn any_bytes_end_without_a_panic_and_within_the_buffer(
            bytes in prop::collection::vec(prop::sample::select(b"\r\n-b: x".to_vec()), 0..2000),
            piece in 1usize..100,
        ) {
            let mut multipart = Multipart::new(Pieces(&bytes, piece), "b").unwrap();
            let mut passed = 0;
            while let Ok(Some(_)) = multipart.next_part() {
                let Ok(length) = multipart.copy_part(&mut io::sink(), 500) else { break };
                passed += length as usize;
            }
            prop_assert!(passed <= bytes.len() && multipart.buffer.len() == BUFFER);
        }

        #[test]
        fn any_header_is_read_or_refused(text in "\\PC{0,100}") {
            let _ = boundary_of(&text);
            let _ = boundary_of(&format!("multipart/related;{text}"));
        }
    }
}
