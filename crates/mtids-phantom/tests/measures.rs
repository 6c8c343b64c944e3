//! Measures of phantoms beside their truth: the blood of the aorta, and regions grown from points.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::Measure;
use mtids_patch::measure::{GrowOptions, Region, aorta, grown, of_region};
use mtids_phantom::{PhantomConfig, Phase, Site, render};

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
        let config = cohort(phase, 3);
        for patient in 0..config.patients {
            let study = render(&config, patient).unwrap();
            let truth = median_at(&study.volume, study.landmarks.descending_aorta_mm);
            let found = aorta(&study.volume).map(f64::from);
            assert!(
                found.is_some_and(|hu| (hu - truth).abs() <= 3.0),
                "{phase:?}, patient {patient}: {found:?}, {truth}"
            );
        }
    }
}

#[test]
fn no_aorta_is_found_where_none_is() {
    let study = render(&cohort(Phase::Native, 1), 0).unwrap();
    let volume = study.volume;
    // Left and right exchanged: the spine lies on the wrong side of the aorta, and the aorta on the wrong side of the body.
    let [columns, ..] = volume.dimensions();
    let mirrored = volume.voxels().chunks_exact(columns).flat_map(|row| row.iter().rev().copied()).collect();
    let mirrored = Volume::new(mirrored, volume.dimensions(), *volume.affine()).unwrap();
    assert_eq!(aorta(&mirrored), None);
    // Two and a half centimetres are too short.
    let [.., slices] = volume.dimensions();
    let few = volume.voxels()[..volume.voxels().len() / slices * 12].to_vec();
    let [columns, rows, _] = volume.dimensions();
    assert_eq!(aorta(&Volume::new(few, [columns, rows, 12], *volume.affine()).unwrap()), None);
    let air = Volume::new(vec![-1000; volume.voxels().len()], volume.dimensions(), *volume.affine()).unwrap();
    assert_eq!(aorta(&air), None);
}

#[test]
fn regions_grown_in_a_chest_are_about_as_large_as_their_nodes() {
    let (mut ratios, mut errors, mut all) = (Vec::new(), Vec::new(), 0);
    for phase in [Phase::Native, Phase::Venous] {
        let config = cohort(phase, 4);
        for patient in 0..config.patients {
            let study = render(&config, patient).unwrap();
            let blood_hu = aorta(&study.volume);
            let options = GrowOptions { blood_hu, ..GrowOptions::default() };
            for (node, mask) in study.nodes.iter().zip(&study.masks) {
                let center = PointMm(node.center_mm);
                let Some(drawn) = Region::of_mask(&study.volume, mask) else { continue };
                all += 1;
                let Some(region) = grown(&study.volume, center, &options) else { continue };
                let measure = |region: &Region, measure| {
                    let measures = of_region(&study.volume, region, center, blood_hu, study.pet.as_ref());
                    f64::from(measures.get(measure).unwrap())
                };
                ratios.push(measure(&region, Measure::Volume) / measure(&drawn, Measure::Volume));
                errors.push(measure(&region, Measure::ShortAxis) - node.appearance.short_axis_mm);
            }
        }
    }
    let quantile = |values: &mut Vec<f64>, share: f64| {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share) as usize]
    };
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| quantile(&mut ratios, share));
    let [thin, mean, thick] = [0.1, 0.5, 0.9].map(|share| quantile(&mut errors, share));
    println!(
        "{} of {all} nodes; volume by that of the mask {low:.2}, {middle:.2}, {high:.2}; short axis off by {thin:.1}, {mean:.1}, {thick:.1} mm (10 %, median, 90 %)",
        ratios.len()
    );
    assert!(ratios.len() * 20 >= all * 19, "{} of {all}", ratios.len());
    assert!(low > 0.4 && (0.85..1.1).contains(&middle) && high < 2.0, "{low} {middle} {high}");
    assert!(thin > -2.0 && mean.abs() < 0.6 && thick < 3.0, "{thin} {mean} {thick}");
}
