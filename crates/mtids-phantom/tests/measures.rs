//! Measures of phantoms beside their truth: the blood of the aorta, and regions grown from points.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::Measure;
use mtids_patch::measure::{GrowOptions, Region, aorta, grown, of_region};
use mtids_phantom::{Phase, PhantomConfig, Site, render};

fn cohort(phase: Phase, patients: u32) -> PhantomConfig {
    PhantomConfig {
        seed: 18,
        patients,
        dimensions: [200, 200, 112],
        spacing_mm: [1.1, 1.1, 2.0],
        sites: vec![Site { phase, ..Site::default() }],
        ..Default::default()
    }
}

/// Median HU within 5 mm of a place.
fn median_at(volume: &Volume, place: [f64; 3]) -> f64 {
    let [columns, rows, slices] = volume.dimensions();
    let mut found = Vec::new();
    for k in 0..slices {
        for j in 0..rows {
            for i in 0..columns {
                if volume.affine().to_mm(Voxel([i, j, k].map(|x| x as f64))).distance(PointMm(place)) < 5.0 {
                    found.push(volume.get([i, j, k]).unwrap());
                }
            }
        }
    }
    found.sort_unstable();
    f64::from(found[found.len() / 2])
}

#[test]
fn the_blood_of_the_aorta_is_found_with_and_without_contrast() {
    for phase in [Phase::Native, Phase::Venous, Phase::Arterial] {
        let config = cohort(phase, 8);
        let mut found = 0;
        for patient in 0..config.patients {
            let study = render(&config, patient).unwrap();
            let truth = median_at(&study.volume, study.landmarks.descending_aorta_mm);
            let start = std::time::Instant::now();
            let hu = aorta(&study.volume);
            println!("{phase:?} {patient}: {hu:?} truth {truth} {:?}", start.elapsed());
            if let Some(hu) = hu {
                found += 1;
            }
        }
        println!("{phase:?}: {found}");
    }
}

#[test]
fn grown_regions_beside_masks() {
    let config = cohort(Phase::Venous, 8);
    let (mut errors, mut shorts, mut none, mut all, mut time) = (Vec::new(), Vec::new(), 0, 0, std::time::Duration::ZERO);
    for patient in 0..config.patients {
        let study = render(&config, patient).unwrap();
        let blood_hu = aorta(&study.volume);
        for (node, mask) in study.nodes.iter().zip(&study.masks) {
            let center = PointMm(node.center_mm);
            let Some(drawn) = Region::of_mask(&study.volume, mask) else { continue };
            all += 1;
            let start = std::time::Instant::now();
            let region = grown(&study.volume, center, &GrowOptions { blood_hu, ..GrowOptions::default() });
            let Some(region) = region else { none += 1; println!("none {:?}", node.appearance); continue };
            let measures = of_region(&study.volume, &region, center, blood_hu, None);
            time += start.elapsed();
            let of_mask = of_region(&study.volume, &drawn, center, blood_hu, None);
            let ratio = measures.get(Measure::Volume).unwrap() / of_mask.get(Measure::Volume).unwrap();
            let short = measures.get(Measure::ShortAxis).unwrap() as f64 - node.appearance.short_axis_mm;
            let ms = of_mask.get(Measure::ShortAxis).unwrap() as f64 - node.appearance.short_axis_mm;
            if !(0.6..1.6).contains(&ratio) { println!("{} short {:.1} err {short:.1} (mask {ms:.1}) vol ratio {ratio:.2} {:?}", node.station, node.appearance.short_axis_mm, node.appearance); }
            errors.push(ratio);
            shorts.push(short);
        }
    }
    errors.sort_by(f32::total_cmp);
    shorts.sort_by(f64::total_cmp);
    let q = |v: &[f32]| [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| v[((v.len() - 1) as f64 * p) as usize]);
    let q2 = |v: &[f64]| [0.05, 0.25, 0.5, 0.75, 0.95].map(|p| v[((v.len() - 1) as f64 * p) as usize]);
    println!("{all} nodes, none {none}, volume ratio {:?}, short error {:?}, time {:?} each", q(&errors), q2(&shorts), time / errors.len() as u32);
}
