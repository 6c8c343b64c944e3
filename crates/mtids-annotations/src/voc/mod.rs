//! PASCAL VOC: one XML file per slice, boxes in pixels of that slice.
//!
//! Purpose: boxes of adjacent slices that overlap and have the same name (whatever its case) are one finding. Invariants: the slice is
//! known by the SOP Instance UID that the file name of the image carries, never by order; pixels count from 0, both ends inside the box, as
//! the tools that write these files for DICOM do. Units: LPS mm.

mod doubts;
mod findings;

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

use crate::error::AnnotationError;
use crate::reject::RejectReason;
use crate::table::decode_xml;

pub(crate) use doubts::{BoxDoubts, doubts_of_boxes};
pub use findings::findings_of_boxes;

/// Largest accepted file: one mebibyte.
const MAX_BYTES: u64 = 1 << 20;

/// A box on one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceBox {
    /// SOP Instance UID of the slice.
    pub sop_instance_uid: String,
    /// Name of the object; for people, never a label.
    pub name: String,
    /// Smallest column and row.
    pub minimum: [f64; 2],
    /// Largest column and row.
    pub maximum: [f64; 2],
    /// Columns and rows of the image that it was drawn on, where the file says so.
    pub size: Option<[f64; 2]>,
    /// What the path in the file, and the name of the file itself, say in the place of that UID, where they say something else.
    pub other_names: Vec<String>,
}

impl SliceBox {
    /// Why the box cannot lie on a slice of these columns and rows as it is written.
    pub(crate) fn fault_on(&self, sides: [usize; 2]) -> Option<(RejectReason, String)> {
        let [columns, rows] = sides.map(|side| side as f64);
        let ([left, top], [right, bottom]) = (self.minimum, self.maximum);
        if let Some([width, height]) = self.size
            && [width, height] != [columns, rows]
        {
            let detail = format!(
                "it was drawn on {width} × {height} pixels (<size>), and its slice has {columns} × {rows}; scale the boxes to the slice"
            );
            return Some((RejectReason::NoImageOfThisGrid, detail));
        }
        let place = format!("the box from ({left}, {top}) to ({right}, {bottom})");
        if left >= 0.0 && top >= 0.0 && right <= 1.0 && bottom <= 1.0 {
            let detail = format!("{place} seems to be in parts of the width and height; write pixels of the slice");
            return Some((RejectReason::OutsideImage, detail));
        }
        // Programs that count from 1, or give the first pixel behind the box, end at the number of columns.
        let is_inside = left >= -1.0 && top >= -1.0 && right <= columns && bottom <= rows;
        (!is_inside).then(|| {
            let detail =
                format!("{place} lies outside its slice of {columns} × {rows} pixels; is it of another image?");
            (RejectReason::OutsideImage, detail)
        })
    }
}

/// Reads the boxes of one file.
///
/// # Errors
/// [`AnnotationError::File`] with the file and what is wrong.
pub fn read_voc(path: &Path) -> Result<Vec<SliceBox>, AnnotationError> {
    let unreadable = |error: std::io::Error| AnnotationError::file(path, error.to_string());
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_BYTES {
        let detail = format!("{length} bytes; a slice's boxes need no more than {MAX_BYTES}");
        return Err(AnnotationError::file(path, detail));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = decode_xml(bytes).map_err(|detail| AnnotationError::file(path, detail))?;
    let mut boxes = parse(&text).map_err(|detail| AnnotationError::file(path, detail))?;
    let own = path.file_stem().map(|stem| uid_in(&stem.to_string_lossy()).to_owned()).unwrap_or_default();
    for one in boxes.iter_mut().filter(|one| one.sop_instance_uid != own) {
        one.other_names.push(own.clone());
    }
    Ok(boxes)
}

fn no_xml(error: impl std::fmt::Display) -> String {
    format!("no XML: {error}")
}

/// The text of a character reference (`&#52;`) or of one of the five entities of XML (`&amp;`).
fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(no_xml)? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(no_xml)?;
    let text = resolve_predefined_entity(&name);
    text.map(str::to_owned).ok_or_else(|| format!("no XML: the entity &{name}; is not defined"))
}

/// Endings of the images that programs make of a slice.
const IMAGE_ENDINGS: [&str; 8] = [".dcm", ".dicom", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"];

/// The UID of the slice in the name of its image: without folders, and without endings of images (`1.2.3.dcm.png`).
fn uid_in(filename: &str) -> &str {
    let mut name = filename.rsplit(['/', '\\']).next().unwrap_or(filename).trim();
    let without_ending = |name: &str| {
        let stem = |ending: &&str| Some(name.len().checked_sub(ending.len())?).filter(|at| name.is_char_boundary(*at));
        let is_ending = |ending: &&str| stem(ending).filter(|at| name[*at..].eq_ignore_ascii_case(ending));
        IMAGE_ENDINGS.iter().find_map(is_ending)
    };
    while let Some(length) = without_ending(name) {
        name = &name[..length];
    }
    name
}

fn parse(text: &str) -> Result<Vec<SliceBox>, String> {
    let mut reader = Reader::from_str(text);
    // Names of the open elements, each with the text that it holds; `None` where it holds none.
    let mut open: Vec<(String, Option<String>)> = Vec::new();
    let (mut filename, mut image_path, mut root) = (None, None, None);
    let mut size: [Option<f64>; 2] = [None; 2];
    let mut objects: Vec<Object> = Vec::new();
    loop {
        let piece = match reader.read_event().map_err(no_xml)? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                let root = root.get_or_insert_with(|| name.clone());
                if !root.eq_ignore_ascii_case("annotation") {
                    let root: String = root.chars().take(40).collect();
                    return Err(format!(
                        "its root element is <{root}>, and of XML only PASCAL VOC (<annotation>) is read; export PASCAL VOC, a mask (NIfTI, NRRD, \
                         DICOM SEG) or a table"
                    ));
                }
                let name = name.to_lowercase();
                match (name.as_str(), objects.last_mut()) {
                    ("object", _) => objects.push(Object::default()),
                    ("bndbox", Some(object)) if open.last().is_some_and(|(parent, _)| parent == "object") => {
                        object.boxes.push(BTreeMap::new());
                    }
                    _ => {}
                }
                open.push((name, None));
                if open.len() > 32 {
                    return Err("elements nested deeper than 32".into());
                }
                continue;
            }
            Event::End(_) => {
                let path: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
                let held = open.last().and_then(|(_, text)| text.as_deref()).map(|text| text.trim().to_owned());
                match (path.as_slice(), held) {
                    (["annotation", "filename"], Some(text)) => filename = Some(text),
                    (["annotation", "path"], Some(text)) => image_path = Some(uid_in(&text).to_owned()),
                    (["annotation", "size", "width"], Some(text)) => size[0] = text.parse().ok(),
                    (["annotation", "size", "height"], Some(text)) => size[1] = text.parse().ok(),
                    (["annotation", "object", key], Some(text)) => {
                        if let Some(object) = objects.last_mut() {
                            object.own.insert((*key).to_owned(), text);
                        }
                    }
                    (["annotation", "object", "bndbox", key], Some(text)) => {
                        if let Some(corners) = objects.last_mut().and_then(|object| object.boxes.last_mut()) {
                            corners.insert((*key).to_owned(), text);
                        }
                    }
                    _ => {}
                }
                open.pop();
                continue;
            }
            // The text of an element comes in pieces: an entity and a CDATA section are pieces of their own.
            Event::Text(piece) => piece.decode().map_err(no_xml)?.into_owned(),
            Event::CData(piece) => piece.decode().map_err(no_xml)?.into_owned(),
            Event::GeneralRef(reference) => resolve(&reference)?,
            Event::Eof => break,
            _ => continue,
        };
        if let Some((_, text)) = open.last_mut() {
            text.get_or_insert_default().push_str(&piece);
        }
    }
    let filename = filename.ok_or("no <filename>, so the slice is unknown")?;
    let sop_instance_uid = uid_in(&filename).to_owned();
    let other_names: Vec<String> = image_path.into_iter().filter(|name| *name != sop_instance_uid).collect();
    // Programs that do not know the size write 0.
    let size = match size {
        [Some(width), Some(height)] if width > 0.0 && height > 0.0 => Some([width, height]),
        _ => None,
    };
    let none = BTreeMap::new();
    let read = |object: &Object, corners: &BTreeMap<String, String>| {
        let number = |key: &str| {
            let text =
                corners.get(key).or_else(|| object.own.get(key)).ok_or_else(|| format!("an object without <{key}>"))?;
            text.parse::<f64>().ok().filter(|x: &f64| x.abs() <= 1e6).ok_or_else(|| format!("<{key}> is `{text}`"))
        };
        let (minimum, maximum) = ([number("xmin")?, number("ymin")?], [number("xmax")?, number("ymax")?]);
        if minimum[0] > maximum[0] || minimum[1] > maximum[1] {
            return Err(format!("a box from {minimum:?} to {maximum:?}"));
        }
        let name = object.own.get("name").cloned().unwrap_or_default();
        let (sop_instance_uid, other_names) = (sop_instance_uid.clone(), other_names.clone());
        Ok(SliceBox { sop_instance_uid, name, minimum, maximum, size, other_names })
    };
    // LabelMe keeps what was deleted, and says so.
    let is_kept = |object: &&Object| object.own.get("deleted").is_none_or(|text| text != "1");
    let boxes = objects.iter().filter(is_kept).flat_map(|object| {
        // Some programs write the corners without <bndbox>.
        let alone = object.boxes.is_empty().then_some(&none);
        object.boxes.iter().chain(alone).map(|corners| read(object, corners))
    });
    boxes.collect()
}

/// An object with the texts of its elements; each box of it has its own.
#[derive(Default)]
struct Object {
    own: BTreeMap<String, String>,
    boxes: Vec<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: &str = "<annotation><filename>1.2.3.dcm</filename><object><name> Node </name><bndbox><xmin>1</xmin>\
        <ymin>2</ymin><xmax>3</xmax><ymax>4.5</ymax></bndbox></object></annotation>";

    #[test]
    fn a_slice_is_read_and_faults_are_named() {
        let boxes = parse(SLICE).unwrap();
        assert_eq!((boxes[0].sop_instance_uid.as_str(), boxes[0].name.as_str()), ("1.2.3", "Node"));
        assert_eq!((boxes[0].minimum, boxes[0].maximum), ([1.0, 2.0], [3.0, 4.5]));
        for (from, to, word) in [
            ("<filename>1.2.3.dcm</filename>", "", "filename"),
            ("<ymin>2</ymin>", "", "<ymin>"),
            ("<xmax>3<", "<xmax>three<", "three"),
            ("<xmax>3<", "<xmax>0<", "a box from"),
            ("</object>", "", "XML"),
        ] {
            let error = parse(&SLICE.replace(from, to)).unwrap_err();
            assert!(error.contains(word), "{to}: {error}");
        }
        for root in ["annotations", "LidcReadMessage", "plist"] {
            let error = parse(&format!("<?xml version=\"1.0\"?><{root}><x/></{root}>")).unwrap_err();
            assert!(error.contains(&format!("<{root}>")) && error.contains("PASCAL VOC"), "{error}");
        }
        assert_eq!(parse("<annotation><filename>a</filename></annotation>").unwrap(), []);
    }

    #[test]
    fn a_path_or_file_name_that_says_something_else_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let read = |file: &str, path: &str| {
            let file = folder.path().join(file);
            std::fs::write(&file, SLICE.replace("</filename>", &format!("</filename><path>{path}</path>"))).unwrap();
            read_voc(&file).unwrap()[0].other_names.clone()
        };
        assert_eq!(read("1.2.3.xml", "/x/1.2.3.png"), Vec::<String>::new());
        assert_eq!(read("1.2.4.dcm.xml", "C:\\x\\1.2.5.png"), ["1.2.5", "1.2.4"]);
    }

    #[test]
    fn what_labelme_deleted_is_no_box() {
        let deleted = |text: &str| SLICE.replace("<bndbox>", &format!("<deleted>{text}</deleted><bndbox>"));
        assert_eq!([deleted("0"), deleted("1")].map(|text| parse(&text).unwrap().len()), [1, 0]);
    }

    #[test]
    fn two_boxes_of_one_object_are_both_read() {
        let second = "</bndbox><bndbox><xmin>11</xmin><ymin>12</ymin><xmax>13</xmax><ymax>14</ymax></bndbox>";
        let boxes = parse(&SLICE.replace("</bndbox>", second)).unwrap();
        let found: Vec<_> = boxes.iter().map(|one| (one.name.as_str(), one.minimum)).collect();
        assert_eq!(found, [("Node", [1.0, 2.0]), ("Node", [11.0, 12.0])]);
        let bare = SLICE.replace("<bndbox>", "").replace("</bndbox>", "");
        assert_eq!(parse(&bare).unwrap()[0].minimum, [1.0, 2.0]);
    }

    #[test]
    fn the_uid_of_a_slice_is_found_in_the_name_of_its_image() {
        for name in [
            "1.2.3",
            "1.2.3.DCM",
            " 1.2.3.jpg ",
            "1.2.3.JPEG",
            "1.2.3.tif",
            "images/1.2.3.png",
            "C:\\ct\\1.2.3.bmp",
            "/a/b.dcm/1.2.3.dcm.png",
        ] {
            assert_eq!(parse(&SLICE.replace("1.2.3.dcm", name)).unwrap()[0].sop_instance_uid, "1.2.3", "{name}");
        }
        assert_eq!((uid_in("1.2.3.4"), uid_in("é.png"), uid_in("ü"), uid_in(".png")), ("1.2.3.4", "é", "ü", ""));
    }

    #[test]
    fn a_box_that_cannot_lie_on_its_slice_is_told_why() {
        let fault = |size: Option<[f64; 2]>, minimum: [f64; 2], maximum: [f64; 2]| {
            let (sop_instance_uid, name, other_names) = ("1.2".into(), String::new(), Vec::new());
            let one = SliceBox { sop_instance_uid, name, minimum, maximum, size, other_names };
            one.fault_on([512, 512])
        };
        let same = Some([512.0, 512.0]);
        assert_eq!(fault(same, [10.0, 20.0], [30.0, 40.0]), None);
        assert_eq!(fault(None, [0.0, 0.0], [512.0, 512.0]), None, "counted from 1");
        for (size, minimum, maximum, reason, words) in [
            (Some([1024.0, 1024.0]), [10.0, 20.0], [30.0, 40.0], RejectReason::NoImageOfThisGrid, "1024 × 1024"),
            (same, [0.42, 0.61], [0.44, 0.66], RejectReason::OutsideImage, "write pixels"),
            (same, [500.0, 20.0], [600.0, 40.0], RejectReason::OutsideImage, "outside its slice"),
            (None, [-30.0, 20.0], [10.0, 40.0], RejectReason::OutsideImage, "outside its slice"),
        ] {
            let (found, detail) = fault(size, minimum, maximum).unwrap();
            assert!(found == reason && detail.contains(words), "{found}: {detail}");
        }
        let sized = |size: &str| parse(&SLICE.replace("</filename>", &format!("</filename><size>{size}</size>")));
        let read = sized("<width>512</width><height>400</height><depth>1</depth>").unwrap();
        assert_eq!(read[0].size, Some([512.0, 400.0]));
        assert_eq!(sized("<width>0</width><height>0</height>").unwrap()[0].size, None);
    }

    #[test]
    fn entities_and_cdata_are_part_of_the_text() {
        let named = |name: &str| parse(&SLICE.replace(" Node ", name)).map(|boxes| boxes[0].name.clone());
        assert_eq!(named("LN 4R &amp; 7").unwrap(), "LN 4R & 7", "never 7 alone");
        assert_eq!(named("<![CDATA[LN <4R>]]> &#38; &#x37;").unwrap(), "LN <4R> & 7");
        assert_eq!(named("LN <!-- a note --> 7").unwrap(), "LN  7");
        assert!(named("LN &station; 7").unwrap_err().contains("&station;"));
        let file = parse(&SLICE.replace("1.2.3.dcm", "a&amp;b.dcm")).unwrap();
        assert_eq!(file[0].sop_instance_uid, "a&b");
    }
}
