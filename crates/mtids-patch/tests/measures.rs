//! Measures of bodies of known size and HU, and what must not change them.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::measure::{GrowOptions, Region, grown, of_point, of_region};
use mtids_patch::{Measure, Measures};
use proptest::prelude::*;

const FAT: i16 = -100;

/// A volume about the origin, up to 26 mm to each side, with HU by place.
fn volume(spacing: [f64; 3], hu: impl Fn([f64; 3]) -> i16) -> Volume {
    let sides = spacing.map(|step| (52.0 / step) as usize + 1);
    let origin: [f64; 3] = std::array::from_fn(|axis| -0.5 * (sides[axis] - 1) as f64 * spacing[axis]);
    let steps = [[spacing[0], 0.0, 0.0], [0.0, spacing[1], 0.0], [0.0, 0.0, spacing[2]]];
    let affine = Affine::new(PointMm(origin), steps).unwrap();
    let mut voxels = Vec::new();
    for k in 0..sides[2] {
        for j in 0..sides[1] {
            for i in 0..sides[0] {
                voxels.push(hu(affine.to_mm(Voxel([i as f64, j as f64, k as f64])).0));
            }
        }
    }
    Volume::new(voxels, sides, affine).unwrap()
}

/// An ellipsoid about a point: below 1 inside.
fn ellipsoid(at: [f64; 3], center: [f64; 3], axes: [f64; 3]) -> f64 {
    (0..3).map(|n| ((at[n] - center[n]) / axes[n]).powi(2)).sum()
}

fn mask(volume: &Volume, inside: impl Fn([f64; 3]) -> bool) -> Mask {
    let [columns, rows, slices] = volume.dimensions();
    let mut voxels = Vec::new();
    for k in 0..slices as u32 {
        for j in 0..rows as u32 {
            for i in 0..columns as u32 {
                if inside(volume.affine().to_mm(Voxel([i, j, k].map(f64::from))).0) {
                    voxels.push([i, j, k]);
                }
            }
        }
    }
    Mask { affine: *volume.affine(), voxels }
}

fn measure(volume: &Volume, region: &Region) -> Measures {
    of_region(volume, region, PointMm([0.0; 3]), Some(41.0), None)
}

fn grown_here(volume: &Volume) -> Option<Region> {
    grown(volume, PointMm([0.0; 3]), &GrowOptions::default())
}

fn get(measures: &Measures, measure: Measure) -> f64 {
    f64::from(measures.get(measure).unwrap_or_else(|| panic!("{} is missing", measure.name())))
}

/// Volume of an ellipsoid.
fn volume_of(axes: [f64; 3]) -> f64 {
    4.0 / 3.0 * std::f64::consts::PI * axes.iter().product::<f64>()
}

const GRIDS: [[f64; 3]; 5] = [[0.7, 0.7, 1.0], [0.7, 0.7, 3.0], [1.0, 1.0, 2.0], [0.5, 0.5, 0.5], [1.5, 1.5, 1.5]];

#[test]
fn bodies_of_known_size_have_it_on_every_grid() {
    const PLACES: [[f64; 3]; 5] =
        [[0.0, 0.0, 0.0], [0.2, -0.3, 0.4], [-0.4, 0.1, -0.9], [0.35, 0.45, 0.7], [-0.1, -0.2, 1.3]];
    let mut worst = [0.0f64; 5];
    for spacing in GRIDS.into_iter().chain([[3.0, 3.0, 3.0]]) {
        for axes in [[5.0; 3], [10.0; 3], [6.0, 9.0, 7.5], [5.0, 10.0, 5.0]] {
            // A ball of 10 mm is three voxels of 3 mm.
            if spacing[0] > 2.0 && axes[0] < 10.0 {
                continue;
            }
            let mut volumes = [0.0; 2];
            for place in PLACES {
                let body = |at: [f64; 3]| ellipsoid(at, place, axes) <= 1.0;
                let volume = volume(spacing, |at| if body(at) { 60 } else { FAT });
                let drawn = Region::of_mask(&volume, &mask(&volume, body)).unwrap();
                let region = grown_here(&volume).unwrap();
                // Grown from this tissue, the region is the body, to a few voxels in a hundred.
                let kept = region.count() as f64 / drawn.count() as f64 - 1.0;
                worst[0] = worst[0].max(kept.abs());
                assert!(kept.abs() < 0.06, "{kept} {axes:?} at {place:?} on {spacing:?}");
                let diagonal = spacing[0].hypot(spacing[1]);
                for (which, region) in [&drawn, &region].into_iter().enumerate() {
                    let found = measure(&volume, region);
                    let of = |measure| get(&found, measure);
                    let case = format!("{which} {axes:?} at {place:?} on {spacing:?}: {found:?}");
                    let short = (of(Measure::ShortAxis) - 2.0 * axes[0]).abs();
                    worst[1] = worst[1].max(short / diagonal);
                    assert!(short <= diagonal, "{case}");
                    assert!((of(Measure::LongAxis) - 2.0 * axes[1]).abs() <= diagonal + 0.1, "{case}");
                    volumes[which] += of(Measure::Volume) / volume_of(axes) / PLACES.len() as f64;
                    assert!((of(Measure::MeanHu) - 60.0).abs() <= 1.0, "{case}");
                    let mut sorted = axes;
                    sorted.sort_by(f64::total_cmp);
                    // IBSI takes voxel centres without their extent: five slices of 3 mm tell an axis to a tenth only.
                    let elongation = (of(Measure::Elongation) - sorted[1] / sorted[2]).abs();
                    worst[4] = worst[4].max(if spacing[2] > 2.5 { 0.0 } else { elongation });
                    assert!(elongation <= if spacing[2] > 2.5 { 0.1 } else { 0.05 }, "{case}");
                    assert!((1.0..1.5).contains(&of(Measure::Roughness)), "{case}");
                    assert!(of(Measure::SoftShare) > 0.98, "{case}");
                }
            }
            // Over places: on one, counting voxel centres alone errs by up to a tenth.
            let [drawn, grown] = volumes.map(|volume| (volume - 1.0).abs());
            worst[2] = worst[2].max(drawn);
            worst[3] = worst[3].max(grown);
            assert!(drawn <= 0.03 && grown <= 0.10, "{volumes:?} {axes:?} on {spacing:?}");
        }
    }
    println!(
        "largest errors: grown against drawn {:.3}, short axis {:.2} voxel diagonals, volume {:.3} (mask) {:.3} (grown), elongation {:.3}",
        worst[0], worst[1], worst[2], worst[3], worst[4]
    );
}

#[test]
fn blurred_and_noisy_nodes_keep_their_size() {
    for (noise, deviation) in [(0u64, 0.0), (1, 15.0), (2, 30.0)] {
        let axes = [5.0, 8.0, 6.0];
        let counter = std::cell::Cell::new(noise * 1_000_003);
        // Twelve numbers from 0 to 1 add up to a normal one.
        let normal = || {
            (0..12)
                .map(|_| {
                    counter.set(
                        counter.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407),
                    );
                    (counter.get() >> 33) as f64 / (1u64 << 31) as f64
                })
                .sum::<f64>()
                - 6.0
        };
        let volume = volume([0.8, 0.8, 1.5], |at| {
            // The edge is 2 mm wide.
            let off = (ellipsoid(at, [0.0; 3], axes).sqrt() - 1.0) * 6.0;
            let share = (0.5 - off / 2.0).clamp(0.0, 1.0);
            (f64::from(FAT) + share * 160.0 + deviation * normal()).round() as i16
        });
        let found = measure(&volume, &grown_here(&volume).unwrap());
        let error = get(&found, Measure::Volume) / volume_of(axes) - 1.0;
        println!("noise {deviation}: volume {error:.3}, short axis {:.2}", get(&found, Measure::ShortAxis));
        assert!(error.abs() < 0.1, "{deviation}: {error}");
        assert!((get(&found, Measure::ShortAxis) - 10.0).abs() < 1.2, "{deviation}: {found:?}");
    }
}

/// HU around a node, at an offset from its centre in mm.
type Around = Box<dyn Fn([f64; 3]) -> i16>;

#[test]
fn neighbours_do_not_join_the_node() {
    let node = [5.0, 6.0, 6.0];
    let inside = |at| ellipsoid(at, [0.0; 3], node) <= 1.0;
    let cases: [(&str, Around, f64); 3] = [
        // A vessel that touches, bright with contrast agent, and one of the node's own HU.
        ("bright vessel", Box::new(|at: [f64; 3]| if (at[0] - 14.0).hypot(at[1]) < 9.2 { 260 } else { FAT }), 0.1),
        ("vessel alike", Box::new(|at: [f64; 3]| if (at[0] - 14.0).hypot(at[1]) < 9.2 { 60 } else { FAT }), 0.25),
        (
            "node alike",
            Box::new(|at: [f64; 3]| if ellipsoid(at, [10.5, 0.0, 0.0], [6.0; 3]) < 1.0 { 60 } else { FAT }),
            0.25,
        ),
    ];
    for (name, around, tolerance) in cases {
        let volume = volume([1.0, 1.0, 2.0], |at| if inside(at) { 60 } else { around(at) });
        let options = GrowOptions { blood_hu: Some(260.0), ..GrowOptions::default() };
        let region = grown(&volume, PointMm([0.0; 3]), &options).unwrap();
        let error = measure(&volume, &region).get(Measure::Volume).unwrap() as f64 / volume_of(node) - 1.0;
        println!("{name}: volume {error:.3}");
        assert!(error.abs() < tolerance, "{name}: {error}");
    }
}

#[test]
fn hila_and_calcium_belong_to_their_node() {
    let node = [7.0, 8.0, 8.0];
    for (core, radius, share) in [(-90, 3.5, Measure::FatShare), (700, 2.5, Measure::CalciumShare)] {
        let volume = volume([1.0, 1.0, 2.0], |at| match ellipsoid(at, [0.0; 3], node) {
            _ if ellipsoid(at, [0.0; 3], [radius; 3]) <= 1.0 => core,
            inside if inside <= 1.0 => 50,
            _ => FAT,
        });
        let found = measure(&volume, &grown_here(&volume).unwrap());
        let error = get(&found, Measure::Volume) / volume_of(node) - 1.0;
        assert!(error.abs() < 0.1, "{core}: {error}");
        let expected = volume_of([radius; 3]) / volume_of(node);
        assert!((get(&found, share) - expected).abs() < 0.03, "{core}: {found:?}");
    }
    // A calcification off the middle, on the margin.
    let volume = volume([1.0, 1.0, 2.0], |at| match ellipsoid(at, [0.0; 3], node) {
        _ if ellipsoid(at, [5.0, 0.0, 0.0], [2.0; 3]) <= 1.0 => 500,
        inside if inside <= 1.0 => 50,
        _ => FAT,
    });
    let found = measure(&volume, &grown_here(&volume).unwrap());
    assert!(get(&found, Measure::CalciumShare) > 0.01, "{found:?}");
}

#[test]
fn no_region_grows_where_there_is_no_node() {
    let fat = volume([1.0, 1.0, 2.0], |_| FAT);
    let lung = volume([1.0, 1.0, 2.0], |_| -850);
    let heart = volume([1.0, 1.0, 2.0], |_| 45);
    for volume in [&fat, &lung, &heart] {
        assert_eq!(grown_here(volume), None);
    }
    let beside = volume([1.0, 1.0, 2.0], |at| if ellipsoid(at, [9.0, 0.0, 0.0], [4.0; 3]) < 1.0 { 60 } else { FAT });
    assert_eq!(grown_here(&beside), None, "a point in fat beside a node");
    for center in [[500.0, 0.0, 0.0], [f64::NAN, 0.0, 0.0], [f64::INFINITY, 0.0, 0.0]] {
        assert_eq!(grown(&heart, PointMm(center), &GrowOptions::default()), None);
        assert_eq!(of_point(&heart, PointMm(center), None), Measures::default());
    }
    for limit_mm in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(grown(&beside, PointMm([9.0, 0.0, 0.0]), &GrowOptions { limit_mm, blood_hu: None }), None);
    }
}

#[test]
fn shells_are_means_by_distance_and_need_no_region() {
    let volume = volume([1.0, 1.0, 1.0], |at| match at.iter().map(|x| x * x).sum::<f64>().sqrt() {
        r if r < 3.0 => 10,
        r if r < 5.0 => 20,
        r if r < 8.0 => -900,
        _ => 1000,
    });
    let measures = of_point(&volume, PointMm([0.0; 3]), Some(150.0));
    let found = [Measure::Shell3Hu, Measure::Shell5Hu, Measure::Shell8Hu, Measure::Shell12Hu].map(|m| measures.get(m));
    assert_eq!(found, [Some(10.0), Some(20.0), Some(-200.0), Some(300.0)], "limited to -200 and 300 HU");
    assert_eq!((measures.get(Measure::AortaHu), measures.get(Measure::Volume)), (Some(150.0), None));
}

#[test]
fn the_largest_suv_is_that_of_the_voxels_inside() {
    let ct = volume([1.0, 1.0, 2.0], |at| if ellipsoid(at, [0.0; 3], [8.0; 3]) <= 1.0 { 60 } else { FAT });
    let region = grown_here(&ct).unwrap();
    let pet = |hot: [f64; 3]| {
        let steps = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
        let affine = Affine::new(PointMm([-40.0; 3]), steps).unwrap();
        let at = |n: usize| affine.to_mm(Voxel([n % 21, n / 21 % 21, n / 441].map(|x| x as f64))).0;
        let voxels = (0..21 * 21 * 21).map(|n| if at(n) == hot { 9.5f32 } else { 1.25 }).collect();
        Volume::new(voxels, [21; 3], affine).unwrap()
    };
    let suv = |region: &Region, pet: &Volume<f32>| {
        of_region(&ct, region, PointMm([0.0; 3]), None, Some(pet)).get(Measure::SuvMax)
    };
    assert_eq!(suv(&region, &pet([4.0, -4.0, 0.0])), Some(9.5));
    assert_eq!(suv(&region, &pet([8.0, 8.0, 0.0])), Some(1.25), "a hot voxel outside");
    let small = Region::new(&ct, [[26, 26, 13]]).unwrap();
    assert!(suv(&small, &pet([0.0; 3])).is_some(), "smaller than a voxel of the PET");
    assert_eq!(of_region(&ct, &region, PointMm([0.0; 3]), None, None).get(Measure::SuvMax), None);
}

/// A node with a bright speck, a dark half and a vessel, so that nothing is symmetric.
fn uneven(at: [f64; 3], seed: u64) -> i16 {
    let bits = at.iter().fold(seed, |sum, x| {
        (sum ^ (x * 1024.0).round() as i64 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    });
    let noise = (bits % 21) as i16 - 10;
    let node = ellipsoid(at, [1.0, -0.5, 0.4], [6.0, 8.5, 7.0]) <= 1.0;
    noise
        + match () {
            () if ellipsoid(at, [3.0, 1.0, 0.0], [1.5; 3]) <= 1.0 => 400,
            () if node && at[0] + 0.3 * at[1] > 2.0 => 30,
            () if node => 65,
            () if (at[0] + 12.0).hypot(at[2] - 2.0) < 6.0 => 150,
            () if at[1] > 18.0 => -800,
            () => FAT,
        }
}

/// The same tissue with its axes stored in another order and direction.
fn stored(volume: &Volume, order: [usize; 3], reversed: [bool; 3]) -> Volume {
    let dimensions = order.map(|axis| volume.dimensions()[axis]);
    let source = |place: [usize; 3]| {
        let mut index = [0; 3];
        for n in 0..3 {
            index[order[n]] = if reversed[n] { dimensions[n] - 1 - place[n] } else { place[n] };
        }
        index
    };
    let origin = volume.affine().to_mm(Voxel(source([0; 3]).map(|x| x as f64)));
    let steps = std::array::from_fn(|n| {
        let step = volume.affine().steps()[order[n]];
        if reversed[n] { step.map(|x| -x) } else { step }
    });
    let mut voxels = Vec::new();
    for k in 0..dimensions[2] {
        for j in 0..dimensions[1] {
            for i in 0..dimensions[0] {
                voxels.push(volume.get(source([i, j, k])).unwrap());
            }
        }
    }
    Volume::new(voxels, dimensions, Affine::new(origin, steps).unwrap()).unwrap()
}

fn all_measures(volume: &Volume, center: PointMm) -> Measures {
    let region = grown(volume, center, &GrowOptions::default()).unwrap();
    of_region(volume, &region, center, Some(150.0), None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn how_a_volume_is_stored_and_where_it_lies_changes_no_measure(
        order in Just([0usize, 1, 2]).prop_shuffle(),
        reversed in prop::array::uniform3(any::<bool>()),
        shift in prop::array::uniform3(-40i32..40),
        off in prop::array::uniform3(-2.0..2.0f64),
        seed in any::<u64>(),
    ) {
        let spacing = [0.9, 1.1, 2.3];
        let tissue = volume(spacing, |at| uneven(at, seed));
        let center = PointMm(off);
        let expected = all_measures(&tissue, center);
        prop_assert_eq!(&all_measures(&stored(&tissue, order, reversed), center), &expected);
        // By whole voxels, volume and point.
        let moved = |point: PointMm| PointMm(std::array::from_fn(|axis| point.0[axis] + f64::from(shift[axis]) * spacing[axis]));
        let affine = Affine::new(moved(tissue.affine().origin()), tissue.affine().steps()).unwrap();
        let there = Volume::new(tissue.voxels().to_vec(), tissue.dimensions(), affine).unwrap();
        prop_assert_eq!(&all_measures(&there, moved(center)), &expected);
    }

    #[test]
    fn no_tissue_makes_it_panic(
        values in prop::collection::vec(any::<i16>(), 4 * 3 * 2),
        center in prop::array::uniform3(-3.0..6.0f64),
        angle in -1.0..1.0f64,
        step in 0.2..6.0f64,
    ) {
        let (sin, cos) = angle.sin_cos();
        let affine = Affine::new(PointMm([0.0; 3]), [[cos * step, sin * step, 0.0], [-sin, cos, 0.0], [0.0, 0.2, 1.0]]).unwrap();
        let volume = Volume::new(values, [4, 3, 2], affine).unwrap();
        if let Some(region) = grown(&volume, PointMm(center), &GrowOptions::default()) {
            let measures = of_region(&volume, &region, PointMm(center), None, None);
            prop_assert!(measures.get(Measure::Volume).unwrap() > 0.0);
        }
    }
}
