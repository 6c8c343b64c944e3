//! The frames of a segmentation object: where each lies, and which of its pixels are set.
//!
//! Invariants: the background of a label map, 0 or what Pixel Padding Value says, is no segment; a frame without place or
//! pixels is a fault of its segment, and only where it matters: an empty frame needs no place. Source: PS3.3 A.51 and C.8.20. Units: LPS mm.

use std::collections::BTreeMap;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::Limits;
use mtids_dicom::element::{array, integer, items, number, text};
use mtids_dicom::functional::FunctionalGroups;
use mtids_dicom::mask_pixels::{FrameShape, MaskPixels};
use mtids_domain::geometry::{Affine, PointMm, cross, dot, subtract};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Binary,
    Fractional {
        threshold: u32,
    },
    /// Pixels name their segment; those of 0 and of `background` are of none.
    LabelMap {
        background: u32,
    },
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Centre of the first pixel.
    pub(super) position: PointMm,
    /// Step in mm to the next column, and to the next row.
    pub(super) steps: [[f64; 3]; 2],
}

impl Place {
    /// Centre of a pixel.
    pub(super) fn of(&self, [column, row]: [u16; 2]) -> PointMm {
        let [along, down] = self.steps;
        let (column, row) = (f64::from(column), f64::from(row));
        PointMm(std::array::from_fn(|axis| self.position.0[axis] + column * along[axis] + row * down[axis]))
    }

    /// Unit normal of the frame.
    fn normal(&self) -> [f64; 3] {
        let normal = cross(self.steps[0], self.steps[1]);
        let length = dot(normal, normal).sqrt();
        normal.map(|x| x / length)
    }
}

/// The set pixels of one segment in one frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    /// Number of the frame, from 1, as PS3.3 counts.
    pub(super) frame: usize,
    pub(super) place: Place,
    /// SOP Instance UID of the image that the frame names, where that is one.
    pub(super) image: Option<String>,
    /// `[column, row]`, row by row.
    pub(super) pixels: Vec<[u16; 2]>,
}

/// The planes of each segment, by its number, or why its frames cannot be read.
pub(super) type PlanesOfSegments = BTreeMap<u32, Result<Vec<Plane>, String>>;

/// The largest value of a segment that is too small to count, by its number.
pub(super) type TooSmall = BTreeMap<u32, u32>;

struct Frame {
    /// Segment of the frame; 0 for a label map, whose pixels name it.
    segment: u32,
    place: Result<Place, String>,
    image: Option<String>,
}

/// What the header says of the frames.
pub(super) struct Frames {
    pub(super) shape: FrameShape,
    kind: Kind,
    /// SpacingBetweenSlices, then SliceThickness, where stated.
    stated_steps: [Option<f64>; 2],
    frames: Vec<Frame>,
}

/// A grid through all frames of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OwnGrid {
    pub(super) affine: Affine,
    pub(super) said: Said,
}

/// What the object says of the distance of its slices, where its frames agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// SpacingBetweenSlices.
    Spacing,
    /// No SpacingBetweenSlices, and planes follow one another at SliceThickness.
    Thickness,
    Nothing,
}

impl Frames {
    pub(super) fn read(object: &InMemDicomObject, limits: &Limits) -> Result<Self, String> {
        let need = |tag, name: &str| {
            integer(object, tag)
                .and_then(|n| u16::try_from(n).ok())
                .filter(|&n| n > 0)
                .ok_or_else(|| format!("{name} is missing"))
        };
        let (rows, columns) = (need(tags::ROWS, "Rows")?, need(tags::COLUMNS, "Columns")?);
        let count = integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1);
        if u64::from(rows) * u64::from(columns) * u64::from(count) > limits.max_voxels {
            return Err(format!("{rows} × {columns} × {count} voxels, more than the limit of {}", limits.max_voxels));
        }
        let bits_allocated = need(tags::BITS_ALLOCATED, "BitsAllocated")?;
        let kind = match text(object, tags::SEGMENTATION_TYPE).as_deref() {
            Some("BINARY") => Kind::Binary,
            Some("FRACTIONAL") => {
                let maximum = integer(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255);
                Kind::Fractional { threshold: maximum.div_ceil(2).max(1) }
            }
            Some("LABELMAP") => {
                // dcmqi and others mark the background by 255 or 65535.
                Kind::LabelMap { background: integer(object, tags::PIXEL_PADDING_VALUE).unwrap_or(0) }
            }
            Some(other) => {
                return Err(format!("SegmentationType `{other}`; BINARY, FRACTIONAL and LABELMAP are read"));
            }
            None => return Err("SegmentationType is missing".into()),
        };
        if !matches!(bits_allocated, 1 | 8 | 16) {
            return Err(format!("BitsAllocated is {bits_allocated}; 1, 8 and 16 are read"));
        }
        let groups = FunctionalGroups::new(object, count)?;
        let stated = |tag| {
            let measures = groups.get(0, tags::PIXEL_MEASURES_SEQUENCE)?;
            number(measures, tag).map(f64::abs).filter(|&step| step > 0.0)
        };
        let stated_steps = [stated(tags::SPACING_BETWEEN_SLICES), stated(tags::SLICE_THICKNESS)];
        let frames = (0..count as usize).map(|n| {
            let segment = groups
                .get(n, tags::SEGMENT_IDENTIFICATION_SEQUENCE)
                .and_then(|item| integer(item, tags::REFERENCED_SEGMENT_NUMBER));
            let segment = match kind {
                Kind::LabelMap { .. } => 0,
                _ => segment.ok_or_else(|| format!("frame {} has no ReferencedSegmentNumber", n + 1))?,
            };
            Ok(Frame {
                segment,
                place: place(&groups, n).map_err(|missing| format!("frame {} has no {missing}", n + 1)),
                image: image(&groups, n),
            })
        });
        let frames = frames.collect::<Result<_, String>>()?;
        let shape = FrameShape { rows, columns, bits_allocated, bits_stored: bits_allocated, signed: false };
        Ok(Self { shape, kind, stated_steps, frames })
    }

    pub(super) fn count(&self) -> u32 {
        // The number of frames is one of 32 bits.
        self.frames.len() as u32
    }

    /// The planes of each segment that has a set pixel, or why its frames cannot be read; and for each segment the largest value that was
    /// too small to count.
    ///
    /// # Errors
    /// A sentence where more pixels are set than the limits allow, or a frame of a label map cannot be decoded.
    pub(super) fn planes(
        &self,
        pixels: &mut MaskPixels,
        limits: &Limits,
    ) -> Result<(PlanesOfSegments, TooSmall), String> {
        let columns = usize::from(self.shape.columns);
        let mut too_small = TooSmall::new();
        let mut segments = PlanesOfSegments::new();
        let mut set = 0;
        for (n, frame) in self.frames.iter().enumerate() {
            let mut of_frame: BTreeMap<u32, Vec<[u16; 2]>> = BTreeMap::new();
            let decoded = pixels.set(n, |pixel, value| {
                let segment = match self.kind {
                    Kind::Binary => frame.segment,
                    Kind::Fractional { threshold } if value < threshold => {
                        let largest = too_small.entry(frame.segment).or_default();
                        *largest = value.max(*largest);
                        return;
                    }
                    Kind::Fractional { .. } => frame.segment,
                    Kind::LabelMap { background } if value == background => return,
                    Kind::LabelMap { .. } => value,
                };
                set += 1;
                if set <= limits.max_set_voxels {
                    // A frame has at most 65535 columns and rows.
                    let place = [(pixel % columns) as u16, (pixel / columns) as u16];
                    of_frame.entry(segment).or_default().push(place);
                }
            });
            if set > limits.max_set_voxels {
                return Err(limits.too_many_set_voxels());
            }
            if let Err(detail) = decoded {
                let detail = format!("frame {}: {detail}", n + 1);
                if matches!(self.kind, Kind::LabelMap { .. }) {
                    return Err(detail);
                }
                segments.insert(frame.segment, Err(detail));
                continue;
            }
            for (segment, pixels) in of_frame {
                match (segments.entry(segment).or_insert_with(|| Ok(Vec::new())), &frame.place) {
                    (Ok(planes), Ok(place)) => {
                        planes.push(Plane { frame: n + 1, place: *place, image: frame.image.clone(), pixels });
                    }
                    (segment @ Ok(_), Err(fault)) => *segment = Err(fault.clone()),
                    (Err(_), _) => {}
                }
            }
        }
        Ok((segments, too_small))
    }

    /// A sentence for a fractional segmentation none of whose values counts.
    pub(super) fn all_too_small(&self, largest: u32) -> Option<String> {
        let Kind::Fractional { threshold } = self.kind else { return None };
        (largest > 0).then(|| {
            format!(
                "largest value {largest} is below the threshold {threshold}, half of MaximumFractionalValue (255 where missing); write that \
                 attribute, or SegmentationType BINARY"
            )
        })
    }

    /// The grid that the frames have among themselves.
    ///
    /// # Errors
    /// A sentence where the frames have no common orientation and spacing, or the distance of slices is not known.
    pub(super) fn own_grid(&self) -> Result<OwnGrid, String> {
        let places: Vec<&Place> = self.frames.iter().filter_map(|frame| frame.place.as_ref().ok()).collect();
        let first = places.first().ok_or("no frame has a place")?;
        let unlike = |a: [f64; 3], b: [f64; 3]| subtract(a, b).iter().any(|x| x.abs() > 1e-4);
        if places.iter().any(|place| (0..2).any(|axis| unlike(place.steps[axis], first.steps[axis]))) {
            return Err("its frames differ in orientation or pixel spacing".into());
        }
        let normal = first.normal();
        let offset = |place: &Place| dot(place.position.0, normal);
        let lowest = places.iter().min_by(|a, b| offset(a).total_cmp(&offset(b))).ok_or("no frame")?;
        let offsets: Vec<f64> = places.iter().map(|place| offset(place)).collect();
        let (step, said) = common_step(offsets, self.stated_steps)
            .ok_or("the distance of its slices is not known (no SpacingBetweenSlices, and a single plane)")?;
        let [row, column] = first.steps;
        let affine =
            Affine::new(lowest.position, [row, column, normal.map(|x| x * step)]).map_err(|error| error.to_string())?;
        Ok(OwnGrid { affine, said })
    }
}

/// The one image that a frame was made from.
fn image(groups: &FunctionalGroups<'_>, n: usize) -> Option<String> {
    let derivations = groups.all(n, tags::DERIVATION_IMAGE_SEQUENCE).iter();
    let mut images = derivations.flat_map(|derivation| items(derivation, tags::SOURCE_IMAGE_SEQUENCE));
    let image = images.next().filter(|_| images.next().is_none())?;
    text(image, tags::REFERENCED_SOP_INSTANCE_UID)
}

/// Where a frame lies, or the name of what is missing.
fn place(groups: &FunctionalGroups<'_>, n: usize) -> Result<Place, &'static str> {
    let position = groups.get(n, tags::PLANE_POSITION_SEQUENCE);
    let position = position.and_then(|item| array(item, tags::IMAGE_POSITION_PATIENT)).ok_or("ImagePositionPatient")?;
    let orientation = groups.get(n, tags::PLANE_ORIENTATION_SEQUENCE);
    let [a, b, c, d, e, f]: [f64; 6] =
        orientation.and_then(|item| array(item, tags::IMAGE_ORIENTATION_PATIENT)).ok_or("ImageOrientationPatient")?;
    let spacing = groups.get(n, tags::PIXEL_MEASURES_SEQUENCE);
    let [down, along]: [f64; 2] = spacing.and_then(|item| array(item, tags::PIXEL_SPACING)).ok_or("PixelSpacing")?;
    let steps = [[a, b, c].map(|x| x * along), [d, e, f].map(|x| x * down)];
    Ok(Place { position: PointMm(position), steps })
}

/// The distance of slices, and what the object says of it: SpacingBetweenSlices where all planes lie on multiples of it, else the smallest
/// gap between two planes. Taken over the whole extent, so that the rounding of positions does not add up.
fn common_step(mut offsets: Vec<f64>, stated: [Option<f64>; 2]) -> Option<(f64, Said)> {
    offsets.sort_by(f64::total_cmp);
    let gaps: Vec<f64> = offsets.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1e-3).collect();
    let fits = |step: &f64| gaps.iter().all(|gap| gap / step > 0.9 && (gap / step - (gap / step).round()).abs() < 0.1);
    let [spacing, thickness] = stated;
    // A thickness is no distance; it serves where there is a single plane.
    let smallest = gaps.iter().copied().min_by(f64::total_cmp);
    let step = spacing.filter(fits).or(smallest).or(spacing).or(thickness)?;
    let extent: f64 = offsets.last()? - offsets.first()?;
    let steps = (extent / step).round();
    // Slices may overlap: where they are thicker than they lie apart, some planes do not fit, or none is the next one.
    let follows = |thickness: f64| fits(&thickness) && smallest.is_some_and(|gap| gap / thickness < 1.1);
    let said = match (spacing, thickness) {
        (Some(spacing), _) if fits(&spacing) => Said::Spacing,
        (None, Some(thickness)) if follows(thickness) => Said::Thickness,
        _ => Said::Nothing,
    };
    Some((if steps >= 1.0 { extent / steps } else { step }, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(offsets: &[f64], stated: [Option<f64>; 2]) -> Option<(f64, Said)> {
        common_step(offsets.to_vec(), stated)
    }

    #[test]
    fn the_distance_of_slices_is_that_of_the_image_not_of_the_frames_that_are_there() {
        assert_eq!(step(&[10.0, 25.0, 47.0], [Some(1.0), None]), Some((1.0, Said::Spacing)));
        assert_eq!(step(&[10.0, 12.0, 16.0], [None, Some(5.0)]), Some((2.0, Said::Nothing)));
        // A statement that the planes contradict is not believed.
        assert_eq!(step(&[0.0, 2.0, 4.0], [Some(5.0), None]), Some((2.0, Said::Nothing)));
        assert_eq!(step(&[3.0], [None, Some(5.0)]), Some((5.0, Said::Nothing)));
        assert_eq!(step(&[3.0], [None, None]), None);
        // Two thirds of a millimetre, written to three decimals.
        let rounded: Vec<f64> = (0..300).map(|n| (f64::from(n) * 2000.0 / 3.0).round() / 1000.0).collect();
        assert!((step(&rounded, [None, None]).unwrap().0 - 2.0 / 3.0).abs() < 1e-5);
    }

    #[test]
    fn values_that_are_all_too_small_are_named() {
        let shape = FrameShape { rows: 1, columns: 1, bits_allocated: 8, bits_stored: 8, signed: false };
        let frames = |kind| Frames { shape, kind, stated_steps: [None; 2], frames: Vec::new() };
        let said = frames(Kind::Fractional { threshold: 128 }).all_too_small(1).unwrap();
        assert!(said.contains("largest value 1 is below the threshold 128"), "{said}");
        assert_eq!(frames(Kind::Fractional { threshold: 128 }).all_too_small(0), None, "no pixel is set");
        assert_eq!(frames(Kind::Binary).all_too_small(0), None);
    }

    #[test]
    fn a_thickness_is_a_distance_only_where_planes_follow_one_another_at_it() {
        assert_eq!(step(&[10.0, 15.0, 25.0], [None, Some(5.0)]), Some((5.0, Said::Thickness)));
        // Overlapping slices of 5 mm, 2.5 mm apart; planes of which none is the next one; and a distance that is stated.
        assert_eq!(step(&[10.0, 12.5, 15.0], [None, Some(5.0)]), Some((2.5, Said::Nothing)));
        assert_eq!(step(&[10.0, 20.0, 40.0], [None, Some(5.0)]), Some((10.0, Said::Nothing)));
        assert_eq!(step(&[10.0, 15.0, 25.0], [Some(2.5), Some(5.0)]), Some((2.5, Said::Spacing)));
    }
}
