//! Signs that the slices of two scans or reconstructions alternate, where nothing of the acquisition tells them apart.
//!
//! Rule: a value that returns along the stack divides it where there are few of its kind, and the slices of each are a regular volume that
//! shares its stretch with another. A value that drifts, or that changes once, says nothing, and neither does one that is alike everywhere. A
//! pattern by chance leaves no regular volumes. Units: mm, kV, seconds of the day.

use std::collections::BTreeMap;

use crate::image_header::InstanceHeader;
use crate::series::interleaved::{MAX_INTERLEAVED, share_a_stretch};
use crate::steps::Steps;

/// Thicknesses that differ by less than this share of the smaller one, or by less than so many mm, are one: they were computed, and written with few
/// digits.
const ALIKE: f64 = 0.1;
const ALIKE_MM: f64 = 0.15;

/// What slices of two scans may differ in.
struct Sign {
    name: &'static str,
    /// The value of a slice; `None` where it says nothing.
    value: fn(&InstanceHeader) -> Option<String>,
    is_measure: bool,
}

const SIGNS: [Sign; 7] = [
    Sign { name: "StackID", value: |slice| slice.stack.as_deref().map(str::to_owned), is_measure: false },
    Sign {
        name: "NominalPercentageOfCardiacPhase",
        value: |slice| slice.cardiac_phase.map(|phase| phase.to_string()),
        is_measure: false,
    },
    Sign { name: "KVP", value: |slice| slice.facts.kvp.map(|kv| kv.to_string()), is_measure: false },
    Sign { name: "ImageType", value: |slice| slice.image_type.as_deref().map(plain_type), is_measure: false },
    Sign {
        name: "SliceThickness",
        value: |slice| slice.facts.slice_thickness_mm.map(|mm| mm.to_string()),
        is_measure: true,
    },
    Sign {
        name: "ContrastBolusAgent",
        // A scan without contrast need not have the attribute.
        value: |slice| Some(if slice.facts.contrast == Some(true) { "named" } else { "not named" }.to_owned()),
        is_measure: false,
    },
    Sign { name: "ContentTime", value: |slice| slice.acquired.content_s.map(of_day), is_measure: false },
];

/// The slices of each scan, by their places in the list, and how they were told apart.
pub(super) struct ToldApart {
    pub(super) parts: Vec<Vec<usize>>,
    pub(super) sentence: String,
}

/// Divides slices that alternate along the stack, whose order `order` is; `None` where no sign says so.
pub(super) fn tell_apart(slices: &[InstanceHeader], heights: &[f64], order: &[usize]) -> Option<ToldApart> {
    SIGNS.iter().find_map(|sign| {
        let along: Vec<String> = order.iter().map(|&index| (sign.value)(&slices[index])).collect::<Option<_>>()?;
        let runs = along.chunk_by(|a, b| a == b).count();
        let mut by_value: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (value, &index) in along.iter().zip(order) {
            by_value.entry(value).or_default().push(index);
        }
        let few = (2..=MAX_INTERLEAVED).contains(&by_value.len());
        if !few || runs <= by_value.len() || (sign.is_measure && !are_apart(by_value.keys())) {
            return None;
        }
        let counts: Vec<String> =
            by_value.iter().map(|(value, indices)| format!("{value}: {} slices", indices.len())).collect();
        let parts: Vec<Vec<usize>> = by_value.into_values().collect();
        is_interleaved(&parts, heights).then(|| ToldApart {
            parts,
            sentence: format!(
                "slices of several scans alternate along the stack under one SeriesInstanceUID; they were told apart by {} ({}), each is a \
                 volume of its own",
                sign.name,
                counts.join(", ")
            ),
        })
    })
}

/// A sentence where each InstanceNumber stands on several slices, and the first, second, … of each number form volumes that interleave: two
/// scans were put under one UID, and which slice is of which scan is not known.
pub(super) fn numbered_anew(slices: &[InstanceHeader], heights: &[f64], order: &[usize]) -> Option<String> {
    let mut by_number: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for &index in order {
        by_number.entry(slices[index].acquired.instance_number?).or_default().push(index);
    }
    let times = by_number.first_key_value()?.1.len();
    if !(2..=MAX_INTERLEAVED).contains(&times) || by_number.values().any(|same| same.len() != times) {
        return None;
    }
    let parts: Vec<Vec<usize>> = (0..times).map(|n| by_number.values().map(|same| same[n]).collect()).collect();
    is_interleaved(&parts, heights).then(|| {
        format!(
            "each of {} InstanceNumbers stands on {times} slices, which alternate along the stack, so several scans lie under one \
             SeriesInstanceUID and cannot be told apart; export each scan as a series of its own",
            by_number.len()
        )
    })
}

/// Whether parts are regular volumes that share a stretch of the stack.
fn is_interleaved(parts: &[Vec<usize>], heights: &[f64]) -> bool {
    let of = |part: &Vec<usize>| part.iter().map(|&index| heights[index]).collect::<Vec<f64>>();
    let parts: Vec<Vec<f64>> = parts.iter().map(of).collect();
    parts.iter().all(|part| Steps::are_regular(part.iter().copied())) && share_a_stretch(&parts)
}

/// Whether the numbers of a measure lie apart.
fn are_apart<'a>(values: impl Iterator<Item = &'a &'a str>) -> bool {
    let mut numbers: Vec<f64> = values.filter_map(|value| value.parse().ok()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.windows(2).all(|pair| pair[1] - pair[0] > (ALIKE * pair[0].abs()).max(ALIKE_MM))
}

/// An image type without the empty values at its end, which some programs write and others do not.
fn plain_type(image_type: &str) -> String {
    image_type.trim_end_matches(['\\', ' ']).to_owned()
}

/// Seconds of the day as a time.
fn of_day(seconds: u32) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_header::{AcquisitionFacts, SliceFacts};
    use std::sync::Arc;

    const KINDS: [&str; 2] = ["ORIGINAL\\PRIMARY\\AXIAL", "DERIVED\\SECONDARY\\AXIAL\\AVERAGE"];

    /// Twenty slices of 1.25 mm, each with what `change` makes of it.
    fn stack(change: impl Fn(u32, &mut SliceFacts, &mut AcquisitionFacts)) -> Vec<InstanceHeader> {
        (0..20)
            .map(|n| {
                let mut header = InstanceHeader::for_tests().with(|facts| {
                    let mut of_scan = AcquisitionFacts::default();
                    change(n, facts, &mut of_scan);
                    facts.facts = Arc::new(of_scan);
                });
                header.position.0[2] = 1.25 * f64::from(n);
                header
            })
            .collect()
    }

    /// The name and the sizes of the parts.
    fn told(slices: &[InstanceHeader]) -> Option<(String, Vec<usize>)> {
        let heights: Vec<f64> = slices.iter().map(|slice| slice.position.0[2]).collect();
        let order: Vec<usize> = (0..slices.len()).collect();
        tell_apart(slices, &heights, &order).map(|told| (told.sentence, told.parts.iter().map(Vec::len).collect()))
    }

    #[test]
    fn each_sign_tells_two_alternating_scans_apart() {
        let odd = |n: u32| n % 2 == 1;
        for (slices, name) in [
            (
                stack(|n, _, scan| scan.kvp = Some(if odd(n) { 140.0 } else { 80.0 })),
                "KVP (140: 10 slices, 80: 10 slices)",
            ),
            (stack(|n, _, scan| scan.contrast = odd(n).then_some(true)), "ContrastBolusAgent"),
            (stack(|n, _, scan| scan.slice_thickness_mm = Some(if odd(n) { 5.0 } else { 1.25 })), "SliceThickness"),
            (stack(|n, facts, _| facts.image_type = Some(KINDS[n as usize % 2].into())), "ImageType"),
            (stack(|n, facts, _| facts.cardiac_phase = Some(if odd(n) { 75.0 } else { 40.0 })), "CardiacPhase"),
            (stack(|n, facts, _| facts.stack = Some(["1", "2"][n as usize % 2].into())), "StackID"),
        ] {
            let (sentence, sizes) = told(&slices).unwrap();
            assert!(sentence.contains(name), "{sentence}");
            assert_eq!(sizes, [10, 10]);
        }
        let mut timed = stack(|_, _, _| {});
        timed.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.content_s = Some(36_000 + 1800 * (n % 2)));
        assert!(told(&timed).unwrap().0.contains("ContentTime (10:00:00: 10 slices, 10:30:00: 10 slices)"));
    }

    #[test]
    fn one_scan_is_never_divided_by_what_drifts_changes_once_or_varies() {
        for slices in [
            stack(|_, _, scan| {
                (scan.kvp, scan.contrast, scan.slice_thickness_mm) = (Some(120.0), Some(true), Some(5.0));
            }),
            stack(|n, _, scan| scan.kvp = Some(if n < 7 { 100.0 } else { 120.0 })),
            stack(|n, _, scan| scan.slice_thickness_mm = Some(5.0 + n as f32)),
            // Computed and written with few digits.
            stack(|n, _, scan| scan.slice_thickness_mm = Some(if n % 2 == 0 { 0.62 } else { 0.63 })),
            // A stretch in the middle; slices that were recompressed here and there.
            stack(|n, _, scan| scan.slice_thickness_mm = Some(if (5..12).contains(&n) { 2.5 } else { 5.0 })),
            stack(|n, facts, _| facts.image_type = Some(KINDS[usize::from([2, 3, 7, 15].contains(&n))].into())),
            stack(|n, facts, _| {
                facts.image_type = Some(if n % 2 == 0 { KINDS[0].into() } else { format!("{}\\", KINDS[0]).into() });
            }),
            stack(|n, _, scan| scan.slice_thickness_mm = Some(if n % 2 == 0 { 0.6 } else { 0.7 })),
            // Where some slices say nothing, nothing is known.
            stack(|n, facts, _| facts.stack = (n % 2 == 0).then(|| "1".into())),
        ] {
            assert_eq!(told(&slices), None);
        }
        let mut timed = stack(|_, _, _| {});
        timed.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.content_s = Some(36_000 + n / 3));
        assert_eq!(told(&timed), None);
    }

    #[test]
    fn numbers_that_begin_anew_are_two_scans_where_they_alternate() {
        let numbered = |number: fn(u32) -> u32| {
            let mut slices = stack(|_, _, _| {});
            slices.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.instance_number = Some(number(n)));
            let heights: Vec<f64> = slices.iter().map(|slice| slice.position.0[2]).collect();
            numbered_anew(&slices, &heights, &(0..slices.len()).collect::<Vec<_>>())
        };
        assert!(numbered(|n| n / 2 + 1).unwrap().contains("each of 10 InstanceNumbers stands on 2 slices"));
        // Two breath holds one above the other, one number for all, and a number for each slice.
        let others: [fn(u32) -> u32; 3] = [|n| n % 10, |_| 1, |n| 20 - n];
        for number in others {
            assert_eq!(numbered(number), None);
        }
    }
}
