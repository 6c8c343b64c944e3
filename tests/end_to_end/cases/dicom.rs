//! DICOM files, element by element: explicit VR little endian, nothing added and nothing checked.
//!
//! Purpose: a case needs files that no careful writer would write. Invariant: elements are written in the order of their tags.

use std::collections::BTreeMap;
use std::path::Path;

/// Group and element.
pub(crate) type Tag = (u16, u16);

/// A data set, or an item of a sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(pub(crate) BTreeMap<Tag, Element>);

/// Value of an element.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    /// VR and bytes, padded to even length when written (UI and OB with 0, else with a space).
    Value([u8; 2], Vec<u8>),
    /// Items.
    Sequence(Vec<Object>),
}

impl Object {
    /// Sets a text; several values are divided by backslashes.
    pub(crate) fn text(&mut self, tag: Tag, vr: &str, value: impl Into<String>) -> &mut Self {
        let vr = [vr.as_bytes()[0], vr.as_bytes()[1]];
        self.0.insert(tag, Element::Value(vr, value.into().into_bytes()));
        self
    }

    /// Sets numbers of VR DS.
    pub(crate) fn decimals(&mut self, tag: Tag, values: &[f64]) -> &mut Self {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        self.text(tag, "DS", values.join("\\"))
    }

    /// Sets a number of VR US.
    pub(crate) fn short(&mut self, tag: Tag, value: u16) -> &mut Self {
        self.0.insert(tag, Element::Value(*b"US", value.to_le_bytes().to_vec()));
        self
    }

    /// Sets bytes.
    pub(crate) fn bytes(&mut self, tag: Tag, vr: &str, value: Vec<u8>) -> &mut Self {
        self.0.insert(tag, Element::Value([vr.as_bytes()[0], vr.as_bytes()[1]], value));
        self
    }

    /// Sets the items of a sequence.
    pub(crate) fn items(&mut self, tag: Tag, items: Vec<Object>) -> &mut Self {
        self.0.insert(tag, Element::Sequence(items));
        self
    }

    /// Removes an element.
    pub(crate) fn remove(&mut self, tag: Tag) -> &mut Self {
        self.0.remove(&tag);
        self
    }

    /// The text of an element that is there.
    pub(crate) fn get(&self, tag: Tag) -> String {
        match &self.0[&tag] {
            Element::Value(_, bytes) => String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_owned(),
            Element::Sequence(_) => panic!("{tag:?} is a sequence"),
        }
    }

    /// The elements as bytes, without preamble and meta information.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, element) in &self.0 {
            bytes.extend(tag.0.to_le_bytes());
            bytes.extend(tag.1.to_le_bytes());
            match element {
                Element::Value(vr, value) => {
                    let mut value = value.clone();
                    if value.len() % 2 == 1 {
                        value.push(if matches!(vr, b"UI" | b"OB" | b"UN") { 0 } else { b' ' });
                    }
                    put_length(&mut bytes, *vr, value.len());
                    bytes.extend(value);
                }
                Element::Sequence(items) => {
                    let mut inside = Vec::new();
                    for item in items {
                        let item = item.encode();
                        inside.extend([0xFE, 0xFF, 0x00, 0xE0]);
                        inside.extend((item.len() as u32).to_le_bytes());
                        inside.extend(item);
                    }
                    put_length(&mut bytes, *b"SQ", inside.len());
                    bytes.extend(inside);
                }
            }
        }
        bytes
    }

    /// Writes a file with preamble and meta information, explicit VR little endian.
    pub(crate) fn write(&self, path: &Path) {
        let mut meta = Object::default();
        meta.bytes((0x0002, 0x0001), "OB", vec![0, 1])
            .text((0x0002, 0x0002), "UI", self.get((0x0008, 0x0016)))
            .text((0x0002, 0x0003), "UI", self.get((0x0008, 0x0018)))
            .text((0x0002, 0x0010), "UI", "1.2.840.10008.1.2.1")
            .text((0x0002, 0x0012), "UI", "2.25.1");
        let meta = meta.encode();
        let mut length = Object::default();
        length.bytes((0x0002, 0x0000), "UL", (meta.len() as u32).to_le_bytes().to_vec());
        let parts = [vec![0; 128], b"DICM".to_vec(), length.encode(), meta, self.encode()];
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, parts.concat()).unwrap();
    }
}

/// VR and length of an element.
fn put_length(bytes: &mut Vec<u8>, vr: [u8; 2], length: usize) {
    bytes.extend(vr);
    if matches!(&vr, b"OB" | b"OW" | b"OF" | b"OD" | b"SQ" | b"UT" | b"UN" | b"UC" | b"UR") {
        bytes.extend([0, 0]);
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
}

/// A UID that is told by a name, always the same.
pub(crate) fn uid(name: &str) -> String {
    // FNV-1a, twice, to fill the 39 digits of a UUID-derived UID.
    let hash =
        |start: u64| name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("2.25.{}", (u128::from(hash(0xcbf2_9ce4_8422_2325)) << 60) | u128::from(hash(0x1234_5678_9abc_def1) >> 4))
}
