//! Bytes of a text file become text.
//!
//! UTF-8 with or without a byte order mark; UTF-16 (what Excel calls Unicode text) with one, or without, where every second byte of the
//! header is zero; else Windows-1252, as Western Excel writes CSV. Invariant: a zero byte is never text.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The text of these bytes, and a warning where its encoding is a guess.
///
/// # Errors
/// A sentence: what the bytes are, and what to do.
pub(super) fn decode(bytes: Vec<u8>) -> Result<(String, Option<&'static str>), String> {
    if bytes.starts_with(&[0xff, 0xfe, 0, 0]) || bytes.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err("the text is in UTF-32: save it as UTF-8".into());
    }
    let (text, warning) = match Encoding::for_bom(&bytes) {
        Some((encoding, _)) => (strictly(encoding, &bytes)?, None),
        None => match bytes.as_slice() {
            [first, 0, ..] if *first != 0 => (strictly(UTF_16LE, &bytes)?, None),
            [0, second, ..] if *second != 0 => (strictly(UTF_16BE, &bytes)?, None),
            _ => match String::from_utf8(bytes) {
                Ok(text) => (text, None),
                Err(error) => {
                    let (text, _, _) = WINDOWS_1252.decode(error.as_bytes());
                    (
                        text.into_owned(),
                        Some("not UTF-8, so read as Windows-1252; save it as UTF-8 if letters are wrong"),
                    )
                }
            },
        },
    };
    if text.contains('\0') {
        return Err("zero bytes in the text: this is no text file, or a damaged one".into());
    }
    Ok((text, warning))
}

/// The text of an XML file: in UTF-8, in the encoding that its declaration names, or in UTF-16 by its mark or zero bytes.
///
/// # Errors
/// A sentence: what the bytes are, and what to do.
pub(crate) fn decode_xml(bytes: Vec<u8>) -> Result<String, String> {
    let is_marked = Encoding::for_bom(&bytes).is_some();
    if !is_marked && std::str::from_utf8(&bytes).is_err() {
        let known = declared(&bytes).and_then(|label| Encoding::for_label(label.as_bytes()));
        let encoding = known.ok_or("not UTF-8, and no encoding that is known is declared: save it as UTF-8")?;
        return strictly(encoding, &bytes);
    }
    decode(bytes).map(|(text, _)| text)
}

/// The encoding that the declaration at the beginning of an XML file names.
fn declared(bytes: &[u8]) -> Option<&str> {
    let line = bytes.strip_prefix(b"<?xml")?.split(|byte| *byte == b'>').next()?;
    let (_, behind) = std::str::from_utf8(line).ok()?.split_once("encoding")?;
    let value = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split(quote).next()
}

fn strictly(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, String> {
    let (text, _, has_errors) = encoding.decode(bytes);
    if has_errors {
        return Err(format!(
            "the text says that it is in {}, and has bytes that are not: save it as UTF-8",
            encoding.name()
        ));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_excel_writes_is_read() {
        let text = "a;b–ü";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(bytes).collect() };
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        for bytes in [
            text.as_bytes().to_vec(),
            [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat(),
            [&b"\xff\xfe"[..], &little].concat(),
            [&b"\xfe\xff"[..], &big].concat(),
            little,
            big,
        ] {
            assert_eq!(decode(bytes.clone()), Ok((text.to_owned(), None)), "{bytes:?}");
        }
        let (windows, warning) = decode(b"a;b\x96\xfc".to_vec()).unwrap();
        assert_eq!(windows, text);
        assert!(warning.unwrap().contains("Windows-1252"));
    }

    #[test]
    fn xml_is_decoded_by_its_mark_or_declaration() {
        let xml = |encoding: &str| format!("<?xml version='1.0' encoding={encoding} ?><name>Knötchen</name>");
        for label in ["\"windows-1252\"", "'ISO-8859-1'", " \"latin1\""] {
            let bytes = WINDOWS_1252.encode(&xml(label)).0.into_owned();
            assert_eq!(decode_xml(bytes), Ok(xml(label)), "{label}");
        }
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(xml("'utf-16'").encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode_xml(utf16), Ok(xml("'utf-16'")));
        // What is UTF-8 stays so, whatever a program that wrote it anew has left in the declaration.
        assert_eq!(decode_xml(xml("'latin1'").into_bytes()), Ok(xml("'latin1'")));
        for refused in ["'utf-8'", "'nothing'", ""] {
            let bytes = WINDOWS_1252.encode(&xml(refused)).0.into_owned();
            assert!(decode_xml(bytes).unwrap_err().contains("save it as UTF-8"), "{refused}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(decode(b"abc\0\0".to_vec()).unwrap_err().contains("zero bytes"));
        assert!(decode(b"\xff\xfe\0\0a\0\0\0".to_vec()).unwrap_err().contains("UTF-32"));
        assert!(decode(b"\xff\xfea\0b".to_vec()).unwrap_err().contains("UTF-16LE"), "an odd number of bytes");
    }
}
