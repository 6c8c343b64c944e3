//! The slices of one series UID, divided by what cannot share a volume: plane, frame of reference, kernel.
//!
//! Invariants: an attribute that is missing contradicts nothing; the result is the same for any order of the slices. Slices whose kernel is
//! missing and that fit two kernels are never given to one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::image_header::InstanceHeader;
use crate::series::planes::{heights, same_plane};
use crate::steps::{SAME_HEIGHT_MM, Steps};

/// Most volumes that are told apart under one series UID.
pub(super) const MAX_PARTS: usize = 256;

/// Slices that may form one volume.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) instances: Vec<InstanceHeader>,
    /// Frame of reference of all of them.
    pub(super) frame_of_reference_uid: Option<Arc<str>>,
    /// What an operator may want to know.
    pub(super) warnings: Vec<String>,
}

/// Slices that cannot be divided, and the sentence that says why.
pub(super) struct Undivided {
    pub(super) instances: Vec<InstanceHeader>,
    pub(super) detail: String,
}

/// An attribute by which slices are divided.
struct Attribute {
    name: &'static str,
    value: fn(&InstanceHeader) -> Option<&str>,
}

const FRAME_OF_REFERENCE: Attribute =
    Attribute { name: "FrameOfReferenceUID", value: |slice| slice.frame_of_reference_uid.as_deref() };
const KERNEL: Attribute = Attribute { name: "ConvolutionKernel", value: |slice| slice.facts.kernel.as_deref() };

/// Divides the instances of one series UID, sorted by SOP UID.
pub(super) fn divide(instances: Vec<InstanceHeader>) -> Result<Vec<Part>, Undivided> {
    let mut parts = Vec::new();
    for stack in planes(instances)? {
        let mut warnings = Vec::new();
        let frames = if has_frame_per_slice(&stack) {
            warnings.push(format!(
                "FrameOfReferenceUID differs in every one of {} slices: an anonymiser's fault; it was ignored, because all else fits",
                stack.len()
            ));
            vec![(None, stack)]
        } else {
            by_attribute(stack, &FRAME_OF_REFERENCE, &mut warnings)?
        };
        for (frame, of_frame) in frames {
            for (_, of_kernel) in by_attribute(of_frame, &KERNEL, &mut warnings)? {
                let (instances, frame_of_reference_uid) = (of_kernel, frame.clone());
                parts.push(Part { instances, frame_of_reference_uid, warnings: warnings.clone() });
            }
        }
    }
    Ok(parts)
}

/// Stacks of slices in planes that fit each other.
fn planes(instances: Vec<InstanceHeader>) -> Result<Vec<Vec<InstanceHeader>>, Undivided> {
    let mut stacks: Vec<Vec<InstanceHeader>> = Vec::new();
    let mut headers = instances.into_iter();
    while let Some(header) = headers.next() {
        match stacks.iter_mut().find(|stack| stack.first().is_some_and(|first| same_plane(first, &header))) {
            Some(stack) => stack.push(header),
            None => stacks.push(vec![header]),
        }
        if stacks.len() > MAX_PARTS {
            let detail = format!(
                "one series UID holds more than {MAX_PARTS} stacks of slices in different planes; export each volume as a series of its own"
            );
            return Err(Undivided { instances: stacks.into_iter().flatten().chain(headers).collect(), detail });
        }
    }
    Ok(stacks)
}

/// Whether an anonymiser gave each file a frame of reference of its own: all differ, and all slices are one regular volume.
fn has_frame_per_slice(stack: &[InstanceHeader]) -> bool {
    let frames: BTreeSet<&str> = stack.iter().filter_map(|slice| slice.frame_of_reference_uid.as_deref()).collect();
    frames.len() == stack.len() && Steps::are_regular(heights(stack).into_iter())
}

type Valued = (Option<Arc<str>>, Vec<InstanceHeader>);

/// Divides slices by the values of an attribute; slices without one join those whose place they fill.
fn by_attribute(
    slices: Vec<InstanceHeader>,
    attribute: &Attribute,
    warnings: &mut Vec<String>,
) -> Result<Vec<Valued>, Undivided> {
    let all = slices.len();
    let mut valued: BTreeMap<Arc<str>, Vec<InstanceHeader>> = BTreeMap::new();
    let mut without = Vec::new();
    for slice in slices {
        match (attribute.value)(&slice).map(Arc::from) {
            Some(value) => valued.entry(value).or_default().push(slice),
            None => without.push(slice),
        }
    }
    let missing = without.len();
    let warn = |warnings: &mut Vec<String>| {
        warnings.push(format!("{} is missing in {missing} of {all} slices, which contradicts nothing", attribute.name));
    };
    if without.is_empty() || valued.is_empty() {
        let mut divided: Vec<Valued> = valued.into_iter().map(|(value, slices)| (Some(value), slices)).collect();
        divided.extend((!without.is_empty()).then_some((None, without)));
        return Ok(divided);
    }
    if valued.len() == 1
        && let Some((value, slices)) = valued.pop_first()
    {
        warn(warnings);
        return Ok(vec![(Some(value), merged(slices, without))]);
    }
    let is_volume = |slices: &[InstanceHeader]| Steps::are_regular(heights(slices).into_iter());
    let all_whole = valued.values().all(|slices| is_volume(slices));
    // Each value has a whole volume without them: they are another one.
    if all_whole && is_volume(&without) {
        let divided = valued.into_iter().map(|(value, slices)| (Some(value), slices));
        return Ok(divided.chain([(None, without)]).collect());
    }
    let places: Vec<Places> = valued.values().map(|slices| Places::of(slices)).collect();
    let mut joined: Vec<Vec<InstanceHeader>> = vec![Vec::new(); places.len()];
    let (mut alone, mut doubtful) = (Vec::new(), 0);
    for slice in without {
        let mut fitting = (0..places.len()).filter(|&n| places[n].has_room_for(&slice));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => joined[only].push(slice),
            (None, _) => alone.push(slice),
            (Some(_), Some(_)) => {
                // Volumes that are whole without it lose nothing.
                doubtful += usize::from(!all_whole);
                alone.push(slice);
            }
        }
    }
    if doubtful > 0 {
        let values: Vec<String> =
            valued.iter().map(|(value, slices)| format!("{value}: {} slices", slices.len())).collect();
        let detail = format!(
            "{} is missing in {missing} of {all} slices, and {doubtful} of them fit several of its values ({}); add the attribute to these \
             files, or export each reconstruction as a series of its own",
            attribute.name,
            values.join(", ")
        );
        let instances = valued.into_values().flatten().chain(joined.into_iter().flatten()).chain(alone).collect();
        return Err(Undivided { instances, detail });
    }
    if alone.len() < missing {
        warn(warnings);
    }
    let mut divided: Vec<Valued> =
        valued.into_iter().zip(joined).map(|((value, slices), more)| (Some(value), merged(slices, more))).collect();
    divided.extend((!alone.is_empty()).then_some((None, alone)));
    Ok(divided)
}

/// Two lists sorted by SOP UID as one.
fn merged(mut slices: Vec<InstanceHeader>, more: Vec<InstanceHeader>) -> Vec<InstanceHeader> {
    slices.extend(more);
    slices.sort_by(|a, b| (&a.sop_instance_uid, a.frame, &a.path).cmp(&(&b.sop_instance_uid, b.frame, &b.path)));
    slices
}

/// The places that the slices of one value take.
struct Places {
    normal: [f64; 3],
    /// Ascending.
    heights: Vec<f64>,
    usual: f64,
}

impl Places {
    fn of(slices: &[InstanceHeader]) -> Self {
        let normal = slices.first().map(InstanceHeader::normal).unwrap_or_default();
        let mut heights = heights(slices);
        heights.sort_by(f64::total_cmp);
        let usual = Steps::of(&heights, 0.0).usual();
        Self { normal, heights, usual }
    }

    /// Whether the place of a slice is free, and inside the stack or next to it.
    fn has_room_for(&self, slice: &InstanceHeader) -> bool {
        let at = mtids_domain::geometry::dot(self.normal, slice.position.0);
        let (Some(low), Some(high)) = (self.heights.first(), self.heights.last()) else { return false };
        let is_near = at >= low - 1.5 * self.usual && at <= high + 1.5 * self.usual;
        // A place between two slices of the usual step is taken: the step says that nothing is missing there.
        let upper = self.heights.partition_point(|height| *height < at - SAME_HEIGHT_MM);
        let below = upper.checked_sub(1).and_then(|n| self.heights.get(n));
        let is_free = match (below, self.heights.get(upper)) {
            (_, Some(height)) if (height - at).abs() <= SAME_HEIGHT_MM => false,
            (Some(below), Some(above)) => above - below > 1.5 * self.usual,
            _ => true,
        };
        is_near && is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_header::AcquisitionFacts;
    use proptest::prelude::*;

    fn slice(n: u32, z: f64, kernel: Option<&str>) -> InstanceHeader {
        let mut header = InstanceHeader::for_tests().with(|facts| {
            facts.facts =
                Arc::new(AcquisitionFacts { kernel: kernel.map(str::to_owned), ..AcquisitionFacts::default() });
        });
        (header.path, header.sop_instance_uid) = (format!("{n}.dcm").into(), format!("1.{n:03}"));
        header.position.0[2] = z;
        header
    }

    fn sizes(slices: Vec<InstanceHeader>) -> Result<Vec<usize>, String> {
        match divide(slices) {
            Ok(parts) => Ok(parts.iter().map(|part| part.instances.len()).collect()),
            Err(undivided) => Err(undivided.detail),
        }
    }

    #[test]
    fn a_missing_kernel_contradicts_nothing() {
        let one = (0..12).map(|n| slice(n, f64::from(n), (n % 5 != 3).then_some("B31f"))).collect();
        let parts = divide(one).ok().unwrap();
        assert_eq!(parts.len(), 1);
        assert!(
            parts[0].warnings[0].contains("ConvolutionKernel is missing in 2 of 12 slices"),
            "{:?}",
            parts[0].warnings
        );
    }

    #[test]
    fn slices_without_kernel_join_the_kernel_whose_places_they_fill() {
        // B70 lacks slices 4 and 9, which say no kernel.
        let slices = |whole: u32| {
            let soft = (0..whole).map(|n| slice(n, f64::from(n), Some("B31f")));
            let sharp = (0..12).map(|n| slice(20 + n, f64::from(n), (n != 4 && n != 9).then_some("B70f")));
            soft.chain(sharp).collect::<Vec<_>>()
        };
        assert_eq!(sizes(slices(12)), Ok(vec![12, 12]));
        // Where the soft stack ends below slice 9, that slice might be its next one; not where it is far away.
        assert_eq!(sizes(slices(7)), Ok(vec![7, 12]));
        let error = sizes(slices(9)).unwrap_err();
        assert!(error.contains("ConvolutionKernel is missing in 2 of 21 slices, and 1 of them"), "{error}");
        assert!(error.contains("B31f: 9 slices, B70f: 10 slices"), "{error}");
    }

    #[test]
    fn a_whole_volume_without_kernel_is_one_of_its_own() {
        let volume = |from: u32, shift: f64, kernel| (0..8).map(move |n| slice(from + n, f64::from(n) + shift, kernel));
        let three = volume(0, 0.0, Some("A")).chain(volume(10, 0.0, Some("B"))).chain(volume(20, 0.5, None)).collect();
        assert_eq!(sizes(three), Ok(vec![8, 8, 8]));
    }

    #[test]
    fn a_frame_of_reference_for_each_slice_is_ignored_and_two_frames_are_not() {
        let framed = |frame: fn(u32) -> u32, step: fn(u32) -> f64| {
            let slices = (0..12).map(|n| slice(n, step(n), None));
            let framed = slices.zip(0..).map(|(header, n)| {
                header.with(|facts| facts.frame_of_reference_uid = Some(format!("1.9.{}", frame(n)).into()))
            });
            divide(framed.collect()).ok().unwrap()
        };
        let one = framed(|n| n, f64::from);
        assert_eq!((one.len(), &one[0].frame_of_reference_uid), (1, &None));
        assert!(one[0].warnings[0].contains("FrameOfReferenceUID differs in every one of 12 slices"));
        assert_eq!(framed(|n| n / 6, f64::from).len(), 2);
        assert_eq!(framed(|n| n, |n| f64::from(n * n)).len(), 12, "without one regular volume nothing is known");
    }

    proptest! {
        #[test]
        fn the_order_of_slices_does_not_matter(
            order in Just((0..24u32).collect::<Vec<_>>()).prop_shuffle(),
            silent in prop::collection::btree_set(0..24u32, 0..6),
        ) {
            let make = |n: u32| slice(n, f64::from(n % 12), (!silent.contains(&n)).then_some(if n < 12 { "A" } else { "B" }));
            let shape = |mut slices: Vec<InstanceHeader>| {
                slices.sort_by(|a, b| a.sop_instance_uid.cmp(&b.sop_instance_uid));
                match divide(slices) {
                    Ok(parts) => Ok(parts.into_iter().map(|part| (part.instances, part.warnings)).collect::<Vec<_>>()),
                    Err(undivided) => Err(undivided.detail),
                }
            };
            prop_assert_eq!(shape(order.into_iter().map(make).collect()), shape((0..24).map(make).collect()));
        }
    }
}
