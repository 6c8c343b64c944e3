//! Scans of made-up slices, divided.

use super::*;
use crate::acquisition::AcquisitionTime;
use proptest::prelude::*;

/// A slice at a height, of an acquisition and a second after noon.
fn slice(z: f64, number: Option<u32>, second: Option<u32>) -> InstanceHeader {
    let mut header = InstanceHeader::for_tests();
    header.sop_instance_uid = format!("1.{z}.{number:?}.{second:?}");
    header.position.0[2] = z;
    header.acquired.number = number;
    let time = |second: u32| AcquisitionTime::of_time(&format!("12{:02}{:02}", second / 60, second % 60));
    header.acquired.time = second.and_then(time);
    header
}

/// Sizes of the parts and the usual step of each, or the sentence.
fn divided(slices: Vec<InstanceHeader>) -> Result<Vec<(usize, f64)>, String> {
    let parts = divide(slices).map_err(|(_, detail)| detail)?.parts;
    let step = |part: &[InstanceHeader]| {
        let mut sorted = heights(part);
        sorted.sort_by(f64::total_cmp);
        (Steps::of(&sorted, 0.02).usual() * 1e6).round() / 1e6
    };
    Ok(parts.iter().map(|part| (part.len(), step(part))).collect())
}

/// `count` slices from `start` on; number and second as functions of the slice.
fn scan(
    start: f64,
    step: f64,
    count: u32,
    number: impl Fn(u32) -> Option<u32>,
    second: impl Fn(u32) -> Option<u32>,
) -> Vec<InstanceHeader> {
    (0..count).map(|n| slice(start + step * f64::from(n), number(n), second(n))).collect()
}

fn both(mut a: Vec<InstanceHeader>, b: Vec<InstanceHeader>) -> Vec<InstanceHeader> {
    a.extend(b);
    a
}

#[test]
fn interleaved_acquisitions_are_told_apart_by_number_or_by_time() {
    for (one, two) in [
        // By both, by number alone, by times of acquisitions, by times of slices, by a number for each slice.
        (scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0)), scan(1.25, 2.5, 9, |_| Some(2), |_| Some(150))),
        (scan(0.0, 2.5, 9, |_| Some(1), |_| None), scan(1.25, 2.5, 9, |_| Some(2), |_| None)),
        (scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0)), scan(1.25, 2.5, 9, |_| Some(1), |_| Some(150))),
        (scan(0.0, 2.5, 9, |_| None, Some), scan(1.25, 2.5, 9, |_| None, |n| Some(60 + n))),
        (scan(0.0, 2.5, 9, Some, |_| None), scan(1.25, 2.5, 9, |n| Some(9 + n), |_| None)),
        // The second one scanned downwards.
        (scan(0.0, 2.5, 9, |_| None, Some), scan(21.25, -2.5, 9, |_| None, |n| Some(60 + n))),
    ] {
        assert_eq!(divided(both(one, two)), Ok(vec![(9, 2.5), (9, 2.5)]));
    }
}

#[test]
fn acquisitions_that_abut_and_a_number_for_each_slice_are_one_volume() {
    let whole = |number: fn(u32) -> Option<u32>, second: fn(u32) -> Option<u32>| {
        assert_eq!(divided(scan(0.0, 2.5, 20, number, second)), Ok(vec![(20, 2.5)]));
    };
    whole(|_| None, |_| None);
    whole(Some, |_| None);
    whole(|n| Some(n / 4), |n| Some(n / 4));
    // Two breath holds, the second scanned downwards.
    whole(|n| Some(1 + n / 10), |n| Some(if n < 10 { n } else { 100 - n }));
    // A number that wraps, in one pass of the table by time.
    whole(|n| Some(n % 4), Some);
    // Times in no order: those of a reconstruction.
    whole(|_| Some(1), |n| Some(n * n * 7 % 101));
}

#[test]
fn acquisitions_that_overlap_or_leave_a_gap_are_volumes_of_their_own() {
    let (one, two) = (|_| Some(1), |_| Some(2));
    let none = |_| None;
    let overlap = both(scan(0.0, 2.5, 10, one, none), scan(20.0, 2.5, 10, two, none));
    assert_eq!(divided(overlap), Ok(vec![(10, 2.5), (10, 2.5)]), "they share two places");
    let shifted = both(scan(0.0, 2.5, 10, one, none), scan(21.0, 2.5, 10, two, none));
    assert_eq!(divided(shifted), Ok(vec![(10, 2.5), (10, 2.5)]));
    let gap = both(scan(0.0, 2.5, 10, one, none), scan(60.0, 5.0, 6, two, none));
    assert_eq!(divided(gap), Ok(vec![(10, 2.5), (6, 5.0)]));
    // Without numbers a gap is a gap.
    assert_eq!(
        divided(both(scan(0.0, 2.5, 10, none, none), scan(60.0, 2.5, 6, none, none))).map(|parts| parts.len()),
        Ok(1)
    );
}

#[test]
fn a_stray_slice_does_not_take_the_volume_with_it() {
    let stray = both(scan(0.0, 2.5, 10, |_| Some(2), |_| None), scan(5.0, 2.5, 1, |_| Some(1), |_| None));
    assert_eq!(divided(stray), Ok(vec![(1, 0.0), (10, 2.5)]));
}

#[test]
fn acquisitions_that_cannot_be_told_apart_are_refused_by_their_counts() {
    // Slice 4 of the first is missing, so neither number nor time gives two regular stacks.
    let slices = both(
        scan(0.0, 2.5, 9, |_| Some(1), |_| Some(0)).into_iter().filter(|slice| slice.position.0[2] != 10.0).collect(),
        scan(1.25, 2.5, 9, |_| Some(2), |_| Some(150)),
    );
    let detail = divided(slices).unwrap_err();
    assert!(detail.contains("1 at 12:00:00: 8 slices, 2 at 12:02:30: 9 slices"), "{detail}");
}

proptest! {
    #[test]
    fn interleaved_acquisitions_are_divided_for_any_number_of_slices(
        first in 3..40u32,
        second in 3..40u32,
        shift in 0.2..0.8f64,
        acquisitions in 2..4u32,
        shuffle in any::<u64>(),
    ) {
        let step = 2.5;
        let mut slices = scan(0.0, step, first, |_| Some(1), |_| None);
        for n in 1..acquisitions {
            let start = step * shift * f64::from(n) / f64::from(acquisitions);
            slices.extend(scan(start, step, second, move |_| Some(1 + n), |_| None));
        }
        let expected: Vec<_> = (0..acquisitions).map(|n| (if n == 0 { first } else { second } as usize, step)).collect();
        // Any order of the files.
        let count = slices.len();
        slices.rotate_left(shuffle as usize % count);
        prop_assert_eq!(divided(slices), Ok(expected));
    }

    #[test]
    fn a_single_scan_is_never_divided(count in 3..60u32, per_number in 1..8u32, down in any::<bool>()) {
        let step = if down { -1.25 } else { 1.25 };
        let slices = scan(0.0, step, count, |n| Some(n / per_number), |n| Some(n / 3));
        prop_assert_eq!(divided(slices), Ok(vec![(count as usize, 1.25)]));
    }
}

/// Two scans that alternate, numbered one behind the other, of which nothing else is said.
fn numbered(number: impl Fn(u32) -> u32) -> Vec<InstanceHeader> {
    let mut slices = scan(0.0, 1.25, 20, |_| None, |_| None);
    slices.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.instance_number = Some(number(n)));
    slices
}

#[test]
fn numbers_of_images_tell_scans_apart_where_nothing_else_is_said() {
    let alternating = |n: u32| n / 2 + 1 + 10 * (n % 2);
    assert_eq!(divided(numbered(alternating)), Ok(vec![(10, 2.5), (10, 2.5)]));
    let mut timed = numbered(alternating);
    timed.iter_mut().for_each(|slice| slice.acquired.time = AcquisitionTime::of_time("100000"));
    let Ok(Acquisitions { parts, warning }) = divide(timed.clone()) else { panic!("one volume") };
    assert_eq!(parts.len(), 1, "one acquisition, whose images were numbered so");
    assert!(warning.unwrap().contains("pass over the stack several times"));
    timed.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.instance_number = Some(n));
    assert!(divide(timed).is_ok_and(|one| one.warning.is_none()));
    let mut with_number = numbered(alternating);
    with_number.iter_mut().for_each(|slice| slice.acquired.number = Some(1));
    assert_eq!(divided(with_number), Ok(vec![(10, 2.5), (10, 2.5)]), "a number of all slices says nothing");
    // Downwards, in the order of names (1, 10, 11, …, 2, 20, …), and in no order.
    let whole: [fn(u32) -> u32; 3] =
        [|n| 20 - n, |n| [1, 12, 14, 15, 16, 17, 18, 19, 20, 2][n as usize % 10] + 30 * (n / 10), |n| n * n * 7 % 101];
    for number in whole {
        assert_eq!(divided(numbered(number)), Ok(vec![(20, 1.25)]));
    }
    // Two breath holds, one above the other, each numbered from 1; and two scans that were merged.
    assert_eq!(divided(numbered(|n| n % 10 + 1)), Ok(vec![(20, 1.25)]));
    assert_eq!(divided(numbered(|n| n % 4 + 1)), Ok(vec![(20, 1.25)]), "of five stacks");
    let detail = divided(numbered(|n| n / 2 + 1)).unwrap_err();
    assert!(detail.contains("cannot be told apart"), "{detail}");
}

#[test]
fn a_sign_of_alternating_scans_divides_them_with_a_warning() {
    let mut slices = scan(0.0, 1.25, 20, |_| Some(1), |_| Some(0));
    slices.iter_mut().zip(0..).for_each(|(slice, n)| slice.acquired.content_s = Some(36_000 + 1800 * (n % 2)));
    let Ok(Acquisitions { parts, warning }) = divide(slices) else { panic!("two volumes") };
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
    assert!(warning.unwrap().contains("ContentTime"));
}
