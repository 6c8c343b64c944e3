//! The text lines of an NRRD header.
//!
//! Invariants: the header has a bounded length; names of fields are in lower case; `key:=value` lines are the author's own and never fields.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

/// Longest accepted header in bytes: a `.seg.nrrd` writes half a kilobyte for each segment.
const MAX_HEADER: u64 = 1 << 20;

/// Fields and free pairs.
#[derive(Debug, Default)]
pub(super) struct Header {
    fields: BTreeMap<String, String>,
    /// `key:=value` lines.
    pub(super) pairs: BTreeMap<String, String>,
    /// The file names below `data file: LIST`.
    pub(super) listed: Vec<String>,
}

impl Header {
    /// Reads up to and with the empty line; a header that names its data file may end with its file.
    pub(super) fn read(source: &mut impl BufRead) -> Result<Self, String> {
        let mut header = Self::default();
        let mut left = MAX_HEADER;
        loop {
            let mut line = Vec::new();
            let read =
                source.by_ref().take(left).read_until(b'\n', &mut line).map_err(|error| error.to_string())? as u64;
            left -= read;
            if left == 0 {
                return Err("the header does not end within a mebibyte".into());
            }
            let is_list = header.data_file().is_some_and(|value| value.split_whitespace().next() == Some("LIST"));
            if read == 0 && header.data_file().is_some() {
                return Ok(header);
            }
            if read == 0 {
                return Err("the header does not end".into());
            }
            // Names may be in any encoding of old; fields are ASCII.
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            if is_list {
                header.listed.extend(Some(text.trim()).filter(|name| !name.is_empty()).map(str::to_owned));
                continue;
            }
            if text.is_empty() {
                return Ok(header);
            }
            header.add(text);
        }
    }

    fn add(&mut self, line: &str) {
        if line.starts_with('#') {
            return;
        }
        let field = line.split_once(": ");
        match line.split_once(":=") {
            Some((key, value)) if field.is_none_or(|(name, _)| key.len() < name.len()) => {
                self.pairs.insert(key.trim().to_owned(), unescaped(value));
            }
            _ => {
                if let Some((key, value)) = field {
                    let key = key.trim().to_lowercase();
                    // Both spellings are in the definition.
                    let key = match key.as_str() {
                        "datafile" => "data file".to_owned(),
                        "lineskip" => "line skip".to_owned(),
                        "byteskip" => "byte skip".to_owned(),
                        _ => key,
                    };
                    self.fields.insert(key, value.trim().to_owned());
                }
            }
        }
    }

    pub(super) fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    pub(super) fn need(&self, key: &str) -> Result<&str, String> {
        self.field(key).ok_or_else(|| format!("the header has no `{key}`"))
    }

    /// The value of `data file`: where it stands, the voxels are in other files.
    pub(super) fn data_file(&self) -> Option<&str> {
        self.field("data file")
    }
}

/// The value of a pair, where `\n` is a line end and `\\` a backslash.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some('n')) => {
                rest.next();
                text.push('\n');
            }
            ('\\', Some('\\')) => {
                rest.next();
                text.push('\\');
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Header, String> {
        Header::read(&mut text.as_bytes())
    }

    #[test]
    fn fields_and_pairs_are_told_apart() {
        let header = read(
            "NRRD0005\r\n# type: none\r\nType: uint8\r\nbyteskip: -1\r\nSegment0_Name:=LN: 4R\r\nnote:=a\\nb\\\\c\\d\r\n\r\nmore: 1",
        )
        .unwrap();
        assert_eq!(
            (header.field("type"), header.field("byte skip"), header.field("more")),
            (Some("uint8"), Some("-1"), None)
        );
        assert_eq!((&*header.pairs["Segment0_Name"], &*header.pairs["note"]), ("LN: 4R", "a\nb\\c\\d"));
        assert!(read("NRRD0005\ntype: uint8\n").unwrap_err().contains("does not end"));
        assert!(read(&"a: b\n".repeat(300_000)).unwrap_err().contains("mebibyte"));
    }

    #[test]
    fn a_header_with_a_data_file_may_end_anywhere_and_a_list_runs_to_the_end() {
        assert_eq!(read("NRRD0005\ndata file: a.raw\n").unwrap().data_file(), Some("a.raw"));
        let header = read("NRRD0005\ndatafile: LIST 2\na.raw\n\nb c.raw").unwrap();
        assert_eq!(header.listed, ["a.raw", "b c.raw"]);
    }
}
