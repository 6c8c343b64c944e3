//! Structured reports written byte by byte, so that a test can say anything, also what no writer would: explicit VR, little endian.

use std::path::{Path, PathBuf};

/// An element: group and element number, and its bytes.
type Element = ([u16; 2], Vec<u8>);

/// An item of a sequence.
#[derive(Clone, Default)]
pub(crate) struct Item(Vec<Element>);

/// Code and scheme.
pub(crate) type Concept = (&'static str, &'static str);

pub(crate) const GROUP: Concept = ("125007", "DCM");
pub(crate) const TRACKING: Concept = ("112039", "DCM");
pub(crate) const FINDING: Concept = ("121071", "DCM");
pub(crate) const SITE: Concept = ("G-C0E3", "SRT");
pub(crate) const REGION: Concept = ("111030", "DCM");
pub(crate) const LONG_AXIS: Concept = ("G-A185", "SRT");
pub(crate) const SHORT_AXIS: Concept = ("G-A186", "SRT");
pub(crate) const LENGTH: Concept = ("G-D7FE", "SRT");

impl Item {
    fn with(mut self, tag: [u16; 2], vr: &str, mut value: Vec<u8>, pad: u8) -> Self {
        if value.len() % 2 == 1 {
            value.push(pad);
        }
        let mut bytes: Vec<u8> = tag.iter().flat_map(|half| half.to_le_bytes()).collect();
        bytes.extend(vr.as_bytes());
        match vr {
            "SQ" | "UT" | "OB" => {
                bytes.extend([0, 0]);
                bytes.extend((value.len() as u32).to_le_bytes());
            }
            _ => bytes.extend((value.len() as u16).to_le_bytes()),
        }
        bytes.extend(value);
        self.0.push((tag, bytes));
        self
    }

    /// With text.
    pub(crate) fn text(self, tag: [u16; 2], vr: &str, text: &str) -> Self {
        let pad = if vr == "UI" { 0 } else { b' ' };
        self.with(tag, vr, text.as_bytes().to_vec(), pad)
    }

    /// With a sequence.
    pub(crate) fn items(self, tag: [u16; 2], items: Vec<Item>) -> Self {
        let mut value = Vec::new();
        for item in items {
            let bytes = item.bytes();
            value.extend([0xFE, 0xFF, 0x00, 0xE0]);
            value.extend((bytes.len() as u32).to_le_bytes());
            value.extend(bytes);
        }
        self.with(tag, "SQ", value, 0)
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.sort_by_key(|(tag, _)| *tag);
        self.0.into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// With children in the content.
    pub(crate) fn content(self, children: Vec<Item>) -> Self {
        self.items([0x0040, 0xA730], children)
    }
}

fn code((value, scheme): (&str, &str), meaning: &str) -> Item {
    Item::default().text([0x0008, 0x0100], "SH", value).text([0x0008, 0x0102], "SH", scheme).text(
        [0x0008, 0x0104],
        "LO",
        meaning,
    )
}

fn named(relation: &str, kind: &str, concept: Option<Concept>) -> Item {
    let item = Item::default().text([0x0040, 0xA010], "CS", relation).text([0x0040, 0xA040], "CS", kind);
    match concept {
        Some(concept) => item.items([0x0040, 0xA043], vec![code(concept, "concept")]),
        None => item,
    }
}

/// A text.
pub(crate) fn text(concept: Concept, said: &str) -> Item {
    named("HAS OBS CONTEXT", "TEXT", Some(concept)).text([0x0040, 0xA160], "UT", said)
}

/// A coded value with its meaning.
pub(crate) fn coded(concept: Concept, value: Concept, meaning: &str) -> Item {
    named("CONTAINS", "CODE", Some(concept)).items([0x0040, 0xA168], vec![code(value, meaning)])
}

/// A coded value of a concept that is known by its meaning.
pub(crate) fn asked(concept: Concept, question: &str, value: Concept, meaning: &str) -> Item {
    Item::default()
        .text([0x0040, 0xA010], "CS", "CONTAINS")
        .text([0x0040, 0xA040], "CS", "CODE")
        .items([0x0040, 0xA043], vec![code(concept, question)])
        .items([0x0040, 0xA168], vec![code(value, meaning)])
}

/// A measurement in mm with what it was inferred from.
pub(crate) fn number(concept: Concept, mm: f64, from: Vec<Item>) -> Item {
    let value = Item::default().items([0x0040, 0x08EA], vec![code(("mm", "UCUM"), "millimeter")]).text(
        [0x0040, 0xA30A],
        "DS",
        &mm.to_string(),
    );
    named("CONTAINS", "NUM", Some(concept)).items([0x0040, 0xA300], vec![value]).content(from)
}

fn drawn(kind: &str, shape: &str, values: &[f32]) -> Item {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    named("INFERRED FROM", kind, Some(REGION)).with([0x0070, 0x0022], "FL", bytes, 0).text(
        [0x0070, 0x0023],
        "CS",
        shape,
    )
}

/// A reference to an image, and a frame of it.
pub(crate) fn image(uid: &str, frame: Option<u32>) -> Item {
    let reference =
        Item::default().text([0x0008, 0x1150], "UI", "1.2.840.10008.5.1.4.1.1.2").text([0x0008, 0x1155], "UI", uid);
    let reference = match frame {
        Some(frame) => reference.text([0x0008, 0x1160], "IS", &frame.to_string()),
        None => reference,
    };
    named("SELECTED FROM", "IMAGE", None).items([0x0008, 0x1199], vec![reference])
}

/// A reference to a segment.
pub(crate) fn segment(uid: &str, number: u16) -> Item {
    referenced(("121191", "DCM"), uid, Some(number))
}

/// A reference to a frame of a segment, with the number of the segment where one is given.
pub(crate) fn segment_frame(uid: &str, number: Option<u16>) -> Item {
    referenced(("121214", "DCM"), uid, number)
}

fn referenced(concept: Concept, uid: &str, number: Option<u16>) -> Item {
    let reference = Item::default()
        .text([0x0008, 0x1150], "UI", "1.2.840.10008.5.1.4.1.1.66.4")
        .text([0x0008, 0x1155], "UI", uid)
        .text([0x0008, 0x1160], "IS", "1");
    // A reference to a segment may name frames too.
    let reference = match number {
        Some(number) => reference.with([0x0062, 0x000B], "US", number.to_le_bytes().to_vec(), 0),
        None => reference,
    };
    named("CONTAINS", "IMAGE", Some(concept)).items([0x0008, 0x1199], vec![reference])
}

/// The Tracking UID of a group.
pub(crate) fn tracking_uid(uid: &str) -> Item {
    named("HAS OBS CONTEXT", "UIDREF", Some(("112040", "DCM"))).text([0x0040, 0xA124], "UI", uid)
}

/// A shape on an image.
pub(crate) fn scoord(shape: &str, values: &[f32], uid: &str) -> Item {
    drawn("SCOORD", shape, values).content(vec![image(uid, None)])
}

/// A shape on nothing.
pub(crate) fn scoord_alone(shape: &str, values: &[f32]) -> Item {
    drawn("SCOORD", shape, values)
}

/// A shape in the patient.
pub(crate) fn scoord_3d(shape: &str, values: &[f32], frame_of_reference: &str) -> Item {
    drawn("SCOORD3D", shape, values).text([0x3006, 0x0024], "UI", frame_of_reference)
}

/// A shape in the patient that names no frame of reference.
pub(crate) fn scoord_3d_alone(shape: &str, values: &[f32]) -> Item {
    drawn("SCOORD3D", shape, values)
}

/// A group of measurements with a tracking identifier.
pub(crate) fn group(name: &str, content: Vec<Item>) -> Item {
    named("CONTAINS", "CONTAINER", Some(GROUP)).content([vec![text(TRACKING, name)], content].concat())
}

/// Writes a report of these groups on the study of the tests.
pub(crate) fn write(folder: &Path, groups: Vec<Item>) -> PathBuf {
    write_of(folder, "TEST-1", groups)
}

/// Writes a report of a patient.
pub(crate) fn write_of(folder: &Path, patient: &str, groups: Vec<Item>) -> PathBuf {
    let document = Document { patient, ..Document::default() };
    document.write(folder, groups)
}

/// What a report says of itself.
#[derive(Clone)]
pub(crate) struct Document<'a> {
    pub(crate) uid: &'a str,
    pub(crate) patient: &'a str,
    pub(crate) study: &'a str,
    /// Reports that it replaces.
    pub(crate) predecessors: &'a [&'a str],
    /// Content outside of its groups.
    pub(crate) beside: Vec<Item>,
}

impl Default for Document<'_> {
    fn default() -> Self {
        Self { uid: "2.25.900.1", patient: "TEST-1", study: "2.25.1", predecessors: &[], beside: Vec::new() }
    }
}

impl Document<'_> {
    /// Writes a report of these groups, named by its UID where that is another than usual.
    pub(crate) fn write(self, folder: &Path, groups: Vec<Item>) -> PathBuf {
        let name = if self.uid == Self::default().uid { "sr.dcm".to_owned() } else { format!("{}.dcm", self.uid) };
        let path = folder.join(name);
        std::fs::write(&path, self.bytes(groups)).unwrap();
        path
    }

    fn bytes(self, groups: Vec<Item>) -> Vec<u8> {
        let Self { uid, patient, study, predecessors, beside } = self;
        let class = "1.2.840.10008.5.1.4.1.1.88.34";
        let measurements = named("CONTAINS", "CONTAINER", Some(("126010", "DCM"))).content([beside, groups].concat());
        let body = Item::default()
            .text([0x0008, 0x0016], "UI", class)
            .text([0x0008, 0x0018], "UI", uid)
            .text([0x0008, 0x0060], "CS", "SR")
            .text([0x0008, 0x0070], "LO", "A viewer")
            .text([0x0010, 0x0020], "LO", patient)
            .text([0x0020, 0x000D], "UI", study)
            .text([0x0020, 0x000E], "UI", "2.25.900")
            .text([0x0040, 0xA040], "CS", "CONTAINER")
            .items([0x0040, 0xA043], vec![code(("126000", "DCM"), "Imaging Measurement Report")])
            .content(vec![measurements]);
        let body =
            if predecessors.is_empty() { body } else { body.items([0x0040, 0xA360], vec![naming(predecessors)]) };
        let meta = Item::default()
            .with([0x0002, 0x0001], "OB", vec![0, 1], 0)
            .text([0x0002, 0x0002], "UI", class)
            .text([0x0002, 0x0003], "UI", uid)
            .text([0x0002, 0x0010], "UI", "1.2.840.10008.1.2.1")
            .text([0x0002, 0x0012], "UI", "2.25.901")
            .bytes();
        let length =
            Item::default().with([0x0002, 0x0000], "UL", (meta.len() as u32).to_le_bytes().to_vec(), 0).bytes();
        [vec![0; 128], b"DICM".to_vec(), length, meta, body.bytes()].concat()
    }
}

/// References to reports, by study and series.
fn naming(reports: &[&str]) -> Item {
    let reference = |uid: &&str| {
        Item::default().text([0x0008, 0x1150], "UI", "1.2.840.10008.5.1.4.1.1.88.34").text([0x0008, 0x1155], "UI", uid)
    };
    let series = Item::default()
        .text([0x0020, 0x000E], "UI", "2.25.900")
        .items([0x0008, 0x1199], reports.iter().map(reference).collect());
    Item::default().text([0x0020, 0x000D], "UI", "2.25.1").items([0x0008, 0x1115], vec![series])
}
