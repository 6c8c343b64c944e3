//! Coordinates in a group of measurements: in the patient (SCOORD3D), or on one image (SCOORD).
//!
//! Invariants: what is given is a whole shape with finite numbers, and names its image or its frame of reference; one fault makes the group unreadable,
//! because half of what was drawn may lie elsewhere. Shapes that several measurements of the group repeat are kept once. Source: PS3.3 C.18.6 and C.18.9.
//! Units: LPS mm of the patient; columns and rows of the image, where the outer corner of the first pixel is (0, 0) and its centre (0.5, 0.5).

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::element::{integers, items, numbers, text};

use super::shape::Shape;

/// What coordinates are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// The patient, in this frame of reference: points are LPS mm.
    Patient {
        /// Frame of Reference UID.
        frame_of_reference_uid: String,
    },
    /// An image: points are column, row and 0.
    Image {
        /// SOP Instance UID.
        sop_instance_uid: String,
        /// Number of the frame, from 1, where one is named.
        frame: Option<u32>,
    },
}

/// A shape that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinates {
    /// Its form.
    pub shape: Shape,
    /// Its points, as many as the shape needs.
    pub points: Vec<[f64; 3]>,
    /// What the points are of.
    pub space: Space,
}

/// Most shapes of one group, and points of one MULTIPOINT: more than the slices of any node.
const MOST_SHAPES: usize = 512;

/// The shapes of a group of measurements, each once, in document order; nesting is bounded by the scan before the parser.
///
/// # Errors
/// A sentence on the first shape that cannot be read.
pub(super) fn coordinates_of(group: &InMemDicomObject) -> Result<Vec<Coordinates>, String> {
    let mut found = Vec::new();
    collect(group, &mut found)?;
    Ok(found)
}

/// Whether an item is a shape.
pub(super) fn is_shape(item: &InMemDicomObject) -> bool {
    matches!(text(item, tags::VALUE_TYPE).as_deref(), Some("SCOORD" | "SCOORD3D"))
}

fn collect(item: &InMemDicomObject, found: &mut Vec<Coordinates>) -> Result<(), String> {
    for child in items(item, tags::CONTENT_SEQUENCE) {
        let one = match text(child, tags::VALUE_TYPE).as_deref() {
            Some("SCOORD") => read(child, 2, on_image(child)?)?,
            Some("SCOORD3D") => read(child, 3, in_patient(child)?)?,
            _ => {
                collect(child, found)?;
                continue;
            }
        };
        if found.contains(&one) {
            continue;
        }
        if found.len() == MOST_SHAPES {
            return Err(format!("more than {MOST_SHAPES} shapes in one group; give it as a SEG"));
        }
        found.push(one);
    }
    Ok(())
}

/// Reads a shape whose points have so many numbers.
fn read(item: &InMemDicomObject, axes: usize, space: Space) -> Result<Coordinates, String> {
    let name = text(item, tags::GRAPHIC_TYPE).unwrap_or_default();
    let shape = Shape::named(&name, axes == 2)
        .ok_or_else(|| format!("`{name}` is no shape that is read; draw a point, a line, a circle or an ellipse"))?;
    let Some(values) = numbers(item, tags::GRAPHIC_DATA) else {
        return Err(format!("the coordinates of its {name} are missing or no numbers; export the report again"));
    };
    if values.len() % axes != 0 || !shape.has(values.len() / axes) {
        let count = if values.len() == 1 { "1 number".to_owned() } else { format!("{} numbers", values.len()) };
        return Err(format!("its {name} has {count}, and a {name} has another count; export the report again"));
    }
    if shape == Shape::Multipoint && values.len() / axes > MOST_SHAPES {
        return Err(format!("more than {MOST_SHAPES} points in its {name}; draw a line, or give it as a SEG"));
    }
    let point = |values: &[f64]| {
        let mut point = [0.0; 3];
        point.iter_mut().zip(values).for_each(|(axis, value)| *axis = *value);
        point
    };
    Ok(Coordinates { shape, points: values.chunks(axes).map(point).collect(), space })
}

fn in_patient(item: &InMemDicomObject) -> Result<Space, String> {
    let uid = text(item, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
    let frame_of_reference_uid =
        uid.ok_or("its coordinates name no frame of reference (3006,0024); export the report again")?;
    Ok(Space::Patient { frame_of_reference_uid })
}

/// The image that coordinates were selected from.
fn on_image(item: &InMemDicomObject) -> Result<Space, String> {
    // Pixel Origin Interpretation (VOLUME or FRAME) tells tiles from the whole; a slice of a CT has no tiles, so both are one. highdicom writes either.
    let is_image = |child: &&InMemDicomObject| text(child, tags::VALUE_TYPE).as_deref() == Some("IMAGE");
    let content = items(item, tags::CONTENT_SEQUENCE);
    let mut references = content.iter().filter(is_image).flat_map(|image| items(image, tags::REFERENCED_SOP_SEQUENCE));
    let (Some(reference), None) = (references.next(), references.next()) else {
        let by_place = content.iter().any(|child| child.get(tags::REFERENCED_CONTENT_ITEM_IDENTIFIER).is_some());
        return Err(match by_place {
            true => "its coordinates name their image by its place in the report; export it with the image at the coordinates",
            false => "its coordinates do not name one image; export the report again",
        }
        .into());
    };
    let Some(sop_instance_uid) = text(reference, tags::REFERENCED_SOP_INSTANCE_UID) else {
        return Err("the image of its coordinates has no SOP Instance UID; export the report again".into());
    };
    let frames = integers(reference, tags::REFERENCED_FRAME_NUMBER).unwrap_or_default();
    match frames.as_slice() {
        [] => Ok(Space::Image { sop_instance_uid, frame: None }),
        [frame] => Ok(Space::Image { sop_instance_uid, frame: Some(*frame) }),
        several => {
            Err(format!("its coordinates name {} frames of an image; draw each node on one frame", several.len()))
        }
    }
}
