//! The voxels of an NRRD file: attached or in files beside the header, what is skipped before them, and their encoding.
//!
//! Invariants: only regular files in the folder of the header are opened, whatever a header asks for; a file that holds less than its part is
//! an error, never filled from the next one. Source: format definition, `data file`, `line skip`, `byte skip`, `encoding`.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use mtids_dicom::Limits;

use super::header::Header;
use super::text::TextVoxels;

/// Most data files of one header: one for each slice of any volume.
const MAX_FILES: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Gzip,
    Text,
}

/// How the voxels stand in their file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    form: Form,
    line_skip: u64,
    /// Bytes before the voxels (of a gzip stream: before the voxels in it); `None` where the voxels are the last bytes of the file.
    byte_skip: Option<u64>,
}

impl Encoding {
    pub(super) fn of(header: &Header) -> Result<Self, String> {
        let form = match header.need("encoding")?.to_lowercase().as_str() {
            "raw" => Form::Raw,
            "gzip" | "gz" => Form::Gzip,
            "text" | "txt" | "ascii" => Form::Text,
            other => return Err(format!("encoding `{other}`; raw, gzip and ascii are read; write it as gzip")),
        };
        let number = |key: &str| match header.field(key) {
            Some(text) => text.parse::<i64>().map_err(|_| format!("{key} `{text}`")),
            None => Ok(0),
        };
        let line_skip = number("line skip")?;
        let line_skip = u64::try_from(line_skip).map_err(|_| format!("line skip {line_skip}"))?;
        let byte_skip = match number("byte skip")? {
            -1 if form == Form::Raw => None,
            -1 => return Err("byte skip -1 is for raw voxels only".into()),
            skip => Some(u64::try_from(skip).map_err(|_| format!("byte skip {skip}"))?),
        };
        Ok(Self { form, line_skip, byte_skip })
    }

    pub(super) fn is_text(&self) -> bool {
        self.form == Form::Text
    }

    /// The voxels of one file, of which `bytes` are wanted.
    fn open(&self, mut source: BufReader<File>, bytes: u64, limits: &Limits) -> std::io::Result<Box<dyn Read>> {
        for _ in 0..self.line_skip {
            if source.skip_until(b'\n')? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the file ends within the lines of `line skip`"));
            }
        }
        let Some(skip) = self.byte_skip else {
            let here = source.stream_position()?;
            let end = source.seek(SeekFrom::End(0))?;
            let start = end.checked_sub(bytes).filter(|start| *start >= here).ok_or_else(|| {
                let found = end.saturating_sub(here);
                Error::new(ErrorKind::UnexpectedEof, format!("{found} bytes of voxels, {bytes} needed"))
            })?;
            source.seek(SeekFrom::Start(start))?;
            return Ok(Box::new(source));
        };
        if skip > limits.max_file_bytes {
            return Err(Error::new(ErrorKind::InvalidData, format!("byte skip {skip} is beyond the end of any file")));
        }
        let mut voxels: Box<dyn Read> = match self.form {
            Form::Gzip => Box::new(MultiGzDecoder::new(source)),
            Form::Raw | Form::Text => Box::new(source),
        };
        if std::io::copy(&mut voxels.by_ref().take(skip), &mut std::io::sink())? < skip {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the file ends within the bytes of `byte skip`"));
        }
        Ok(if self.is_text() { Box::new(TextVoxels::new(BufReader::new(voxels))) } else { voxels })
    }
}

/// The `bytes` of voxels that a header announces. `source` stands behind the header at `path`.
pub(super) fn open(
    path: &Path,
    source: BufReader<File>,
    header: &Header,
    encoding: &Encoding,
    bytes: u64,
    limits: &Limits,
) -> Result<Box<dyn Read>, String> {
    let Some(value) = header.data_file() else {
        return encoding.open(source, bytes, limits).map_err(|error| error.to_string());
    };
    let names = names(value, header)?;
    let files = names.iter().map(|name| beside(path, name)).collect::<Result<Vec<PathBuf>, String>>()?;
    if files.is_empty() || !bytes.is_multiple_of(files.len() as u64) {
        return Err(format!("data file `{value}` names {} files, which do not share the voxels evenly", files.len()));
    }
    let each = bytes / files.len() as u64;
    Ok(Box::new(Parts { files: files.into_iter(), encoding: *encoding, each, limits: *limits, current: None }))
}

/// The names of the data files, in the order of their voxels.
fn names(value: &str, header: &Header) -> Result<Vec<String>, String> {
    let words: Vec<&str> = value.split_whitespace().collect();
    if words.first() == Some(&"LIST") {
        if header.listed.len() > MAX_FILES {
            return Err(format!("more than {MAX_FILES} data files"));
        }
        return Ok(header.listed.clone());
    }
    let pattern = |words: &[&str]| -> Option<Vec<i64>> { words.iter().map(|word| word.parse().ok()).collect() };
    match words.split_first() {
        // `name%03d.raw first last step`, and perhaps the axis along which the files follow one another.
        Some((name, rest)) if name.contains('%') && (3..=4).contains(&rest.len()) => {
            let Some(&[first, last, step]) = pattern(&rest[..3]).as_deref() else {
                return Err(format!("data file `{value}`"));
            };
            numbered(name, first, last, step).ok_or_else(|| format!("data file `{value}`"))
        }
        _ => Ok(vec![value.to_owned()]),
    }
}

/// The names of a printf pattern with one `%d`, `%5d` or `%03d`.
fn numbered(pattern: &str, first: i64, last: i64, step: i64) -> Option<Vec<String>> {
    let (before, rest) = pattern.split_once('%')?;
    let (format, after) = rest.split_once('d')?;
    if after.contains('%') || !format.bytes().all(|byte| byte.is_ascii_digit()) || step == 0 {
        return None;
    }
    let width: usize = if format.is_empty() { 0 } else { format.parse().ok().filter(|width| *width <= 20)? };
    let count = last.checked_sub(first)?.checked_div(step)?;
    let count = usize::try_from(count).ok().filter(|count| *count < MAX_FILES)?;
    let name = |n: usize| {
        let number = first + n as i64 * step;
        match format.starts_with('0') {
            true => format!("{before}{number:0width$}{after}"),
            false => format!("{before}{number:width$}{after}"),
        }
    };
    Some((0..=count).map(name).collect())
}

/// A file in the folder of the header.
fn beside(header: &Path, name: &str) -> Result<PathBuf, String> {
    let plain = name.trim_start_matches("./");
    if plain.is_empty() || plain == ".." || plain.contains(['/', '\\']) {
        return Err(format!("data file `{name}` is not in the folder of the header; put both into one folder"));
    }
    let path = header.with_file_name(plain);
    // To open a pipe would wait for a writer, to read a device might never end.
    if !path.is_file() {
        return Err(format!("data file `{name}`, which the header names, is not beside it"));
    }
    Ok(path)
}

/// Data files one behind the other, each with the same share of the voxels; one is open at a time.
struct Parts {
    files: std::vec::IntoIter<PathBuf>,
    encoding: Encoding,
    each: u64,
    limits: Limits,
    /// The file in hand, its voxels, and how many bytes of them are left.
    current: Option<(PathBuf, Box<dyn Read>, u64)>,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.current.as_ref().is_none_or(|(_, _, left)| *left == 0) {
            let Some(path) = self.files.next() else { return Ok(0) };
            let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", path.display()));
            let source = BufReader::new(File::open(&path).map_err(named)?);
            let voxels = self.encoding.open(source, self.each, &self.limits).map_err(named)?;
            self.current = Some((path, voxels, self.each));
        }
        let Some((path, voxels, left)) = &mut self.current else { return Ok(0) };
        let wanted = into.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        let read = voxels.read(&mut into[..wanted])?;
        if read == 0 && wanted > 0 {
            let detail = format!("{} ends {left} bytes before its voxels do", path.display());
            return Err(Error::new(ErrorKind::UnexpectedEof, detail));
        }
        *left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_pattern_are_counted_up_and_down() {
        assert_eq!(numbered("s%03d.raw", 1, 3, 1).unwrap(), ["s001.raw", "s002.raw", "s003.raw"]);
        assert_eq!(numbered("%d.raw", 3, 1, -2).unwrap(), ["3.raw", "1.raw"]);
        for (pattern, first, last, step) in [
            ("%d%d", 1, 3, 1),
            ("%s", 1, 3, 1),
            ("%d", 1, 3, 0),
            ("%d", 3, 1, 1),
            ("%d", 0, i64::MAX, 1),
            ("%99d", 1, 2, 1),
        ] {
            assert_eq!(numbered(pattern, first, last, step), None, "{pattern} {first} {last} {step}");
        }
    }

    #[test]
    fn no_file_elsewhere_is_opened() {
        for name in ["../a.raw", "/etc/passwd", "a/b.raw", "..", "", "..\\a.raw"] {
            assert!(beside(Path::new("/tmp/x/a.nhdr"), name).unwrap_err().contains("not in the folder"), "{name}");
        }
        assert!(beside(Path::new("/tmp/x/a.nhdr"), "./nowhere.raw").unwrap_err().contains("not beside"));
    }
}
