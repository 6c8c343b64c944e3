//! Inputs of several views: what is drawn for one leaves the others alone, and what was there before views stays as it was.

use std::collections::BTreeSet;

use mtids_domain::taxonomy::{RegionScheme, Zone};
use mtids_patch::{Channel, PatchGeometry, Planes, ViewName};
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_runtime::random::rng_for;
use mtids_shards::Split;
use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::testing::row;
use crate::transform::noise::standard_normal;

const STORED: [usize; 3] = [4, 6, 6];

fn description(names: &[&str]) -> DatasetDescription {
    let geometry = PatchGeometry { size: STORED, planes: Planes::Volume, ..PatchGeometry::default() };
    let view = |name: &&str| View {
        name: ViewName::try_from((*name).to_owned()).unwrap(),
        geometry: PatchGeometry { spacing_mm: [2.0, 1.0, 1.0], ..geometry },
        channels: vec![Channel::Ct],
    };
    DatasetDescription {
        schema_version: mtids_shards::SCHEMA_VERSION.into(),
        taxonomy_version: String::new(),
        regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
        views: names.iter().map(view).collect(),
        config_digest: Digest::of_bytes(b""),
        program: Program::new("test", "1"),
    }
}

fn batch(samples: &[&str], views: usize) -> Batch {
    let voxels = |view: usize| -> Vec<i16> {
        let row = |sample: &&str| {
            let mut random = rng_for(view as u64, sample, &[]);
            (0..STORED.iter().product()).map(|_| random.random_range(-160..240)).collect::<Vec<i16>>()
        };
        samples.iter().flat_map(row).collect()
    };
    let labels = samples.iter().map(|sample| row(sample, Split::Train)).collect();
    Batch::new(0, labels, (0..views).map(|view| voxels(view).into()).collect())
}

fn transform(text: &str, names: &[&str]) -> InputTransform {
    let config: TrainConfig = mtids_runtime::config::parse(text).unwrap();
    InputTransform::new(&config, &description(names)).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

const WINDOW: &str = "windows = [{ center_hu = 40.0, width_hu = 400.0 }]\n";
/// Nothing but crop and symmetry, so that inputs can be told apart.
const PLAIN: &str =
    "rotation_degrees = 0.0\nnoise_hu = 0.0\noffset_hu = 0.0\ngain = 0.0\nsize = [2, 4, 4]\nshift = [1, 1, 1]\n";

#[test]
fn what_the_near_view_does_leaves_the_bytes_of_the_wide_one() {
    let batch = batch(&["a", "b", "c"], 2);
    let wide = |near: &str| {
        let transform = transform(&format!("{WINDOW}[inputs.near]\n{near}"), &["near", "wide"]);
        (0..4).map(|epoch| numbers(&transform.training(&batch, epoch, &Device::Cpu).unwrap()[1])).collect::<Vec<_>>()
    };
    let still = wide(
        "symmetries = \"none\"\nrotation_degrees = 0.0\nnoise_hu = 0.0\noffset_hu = 0.0\ngain = 0.0\nshift = [0, 0, 0]",
    );
    for near in ["symmetries = \"all\"", "symmetries = \"flips\"\nscale = 0.2", "size = [2, 2, 2]"] {
        assert!(wide(near) == still, "{near}");
    }
    let evaluated = transform(WINDOW, &["near", "wide"]).evaluation(&batch, &Device::Cpu).unwrap();
    assert_eq!(evaluated.len(), 4);
    let wide: BTreeSet<Vec<u32>> = evaluated.iter().map(|views| numbers(&views[1])).collect();
    let near: BTreeSet<Vec<u32>> = evaluated.iter().map(|views| numbers(&views[0])).collect();
    assert_eq!((wide.len(), near.len()), (1, 4));
}

/// Every shifted crop of one row under one symmetry.
fn crops(voxels: &[i16], symmetry: Symmetry) -> BTreeSet<Vec<u32>> {
    let mut found = BTreeSet::new();
    for d in 0..=2 {
        for h in 0..=2 {
            for w in 0..=2 {
                let crop: Vec<i16> = (0..32)
                    .map(|n| voxels[((d + n / 16) * STORED[1] + h + n / 4 % 4) * STORED[2] + w + n % 4])
                    .collect();
                let mut turned = Vec::new();
                symmetry.append(&crop, [2, 4, 4], &mut turned);
                let scaled = |hu: &i16| ((f32::from(*hu) + 160.0) * (1.0 / 400.0)).clamp(0.0, 1.0).to_bits();
                found.insert(turned.iter().map(scaled).collect());
            }
        }
    }
    found
}

#[test]
fn what_is_drawn_again_in_an_epoch_looks_different_and_the_first_draw_is_what_it_was() {
    let transform = transform(&format!("{WINDOW}[inputs.near]\n{PLAIN}"), &["near"]);
    let input = |copies: Vec<u32>| {
        let batch = Batch { copies, ..batch(&["a", "a", "b"], 1) };
        let tensors = transform.training(&batch, 5, &Device::Cpu).unwrap();
        tensors[0].chunk(3, 0).unwrap().iter().map(numbers).collect::<Vec<_>>()
    };
    let (same, apart) = (input(vec![0, 0, 0]), input(vec![0, 1, 0]));
    assert_eq!(same[0], same[1]);
    assert_ne!(apart[0], apart[1]);
    assert_eq!((&apart[0], &apart[2]), (&same[0], &same[2]));
}

#[test]
fn the_wide_view_never_turns_and_the_near_one_takes_every_symmetry() {
    let text = format!("{WINDOW}[inputs.near]\n{PLAIN}[inputs.wide]\n{PLAIN}");
    let transform = transform(&text, &["near", "wide"]);
    let batch = batch(&["a"], 2);
    let upright = crops(&batch.views[1], Symmetry::default());
    let turned: Vec<BTreeSet<Vec<u32>>> =
        (0..Symmetry::COUNT).map(|n| crops(&batch.views[0], Symmetry::numbered(n))).collect();
    let mut taken = BTreeSet::new();
    for epoch in 0..400 {
        let inputs = transform.training(&batch, epoch, &Device::Cpu).unwrap();
        assert!(upright.contains(&numbers(&inputs[1])), "epoch {epoch}");
        let near = numbers(&inputs[0]);
        taken.insert(turned.iter().position(|crops| crops.contains(&near)).expect("a symmetry of a crop"));
    }
    assert_eq!(taken.len(), Symmetry::COUNT);
}

proptest! {
    #[test]
    fn the_wide_view_of_any_sample_is_a_shifted_crop(seed: u32, epoch in 0..1000_u64, sample in "[a-z0-9]{1,16}") {
        let text = format!("seed = {seed}\n{WINDOW}[inputs.wide]\n{PLAIN}");
        let transform = transform(&text, &["near", "wide"]);
        let batch = batch(&[&sample], 2);
        let inputs = transform.training(&batch, epoch, &Device::Cpu).unwrap();
        prop_assert!(crops(&batch.views[1], Symmetry::default()).contains(&numbers(&inputs[1])));
    }

    #[test]
    fn a_sample_gives_the_same_bytes_whatever_stands_beside_it(epoch in 0..50_u64, place in 0..3_usize) {
        let transform = transform(WINDOW, &["near", "wide"]);
        let samples = ["a", "b", "c"];
        let alone = transform.training(&batch(&[samples[place]], 2), epoch, &Device::Cpu).unwrap();
        let together = transform.training(&batch(&samples, 2), epoch, &Device::Cpu).unwrap();
        for (alone, together) in alone.iter().zip(&together) {
            prop_assert_eq!(numbers(alone), numbers(&together.narrow(0, place, 1).unwrap()));
        }
    }
}

#[test]
fn rows_have_the_same_bits_by_several_threads_and_by_one() {
    let transform = transform("", &["near", "wide"]);
    let samples: Vec<String> = (0..37).map(|n| format!("sample {n}")).collect();
    let samples: Vec<&str> = samples.iter().map(String::as_str).collect();
    let batch = batch(&samples, 2);
    fn drawn(sample: &str, copy: u32) -> Turn<'_> {
        Turn::Drawn(AugmentKey { seed: 3, epoch: 2, sample, copy })
    }
    fn fixed(_sample: &str, _copy: u32) -> Turn<'_> {
        Turn::Fixed(Symmetry::numbered(5))
    }
    let turns: [fn(&str, u32) -> Turn<'_>; 2] = [drawn, fixed];
    for (view, voxels) in transform.views.iter().zip(&batch.views) {
        for turn in turns {
            let [several, one] = [true, false].map(|by_several| rows(view, voxels, &batch, by_several, turn));
            assert_eq!(several.len(), 37 * view.input().shape.iter().product::<usize>());
            assert!(several.iter().map(|x| x.to_bits()).eq(one.iter().map(|x| x.to_bits())));
        }
    }
}

/// The augmentation as it was before there were views: shift, then noise, from one generator.
fn before_views(voxels: &[i16], seed: u64, epoch: u64, sample: &str) -> Vec<u32> {
    let (size, center, shift) = ([2, 4, 4], [1, 1, 1], [0, 1, 1]);
    let mut random = rng_for(seed, &format!("augment {sample}"), &[epoch]);
    let start: [usize; 3] =
        std::array::from_fn(|axis| center[axis] + random.random_range(0..=2 * shift[axis]) - shift[axis]);
    let mut noise = [0.0; 32];
    standard_normal(&mut random, &mut noise);
    let mut noise = noise.into_iter();
    let mut out = Vec::new();
    for d in start[0]..start[0] + size[0] {
        for h in start[1]..start[1] + size[1] {
            for w in start[2]..start[2] + size[2] {
                let hu = f32::from(voxels[(d * STORED[1] + h) * STORED[2] + w]) + noise.next().unwrap() * 12.0;
                let hu = hu.round() as i16;
                out.push(((f32::from(hu) + 160.0) * (1.0 / 400.0)).clamp(0.0, 1.0).to_bits());
            }
        }
    }
    out
}

#[test]
fn a_dataset_of_the_last_layout_is_augmented_as_before() {
    let crop = "[crop]\nsize = [2, 4, 4]\nshift = [0, 1, 1]\nnoise_hu = 12.0\n";
    let transform = transform(&format!("seed = 5\n{WINDOW}{crop}"), &["patch"]);
    let batch = batch(&["a", "b"], 1);
    for epoch in 0..5 {
        let input = numbers(&transform.training(&batch, epoch, &Device::Cpu).unwrap()[0]);
        let rows = batch.views[0].chunks(STORED.iter().product()).zip(["a", "b"]);
        let before: Vec<u32> = rows.flat_map(|(voxels, sample)| before_views(voxels, 5, epoch, sample)).collect();
        assert!(input == before, "epoch {epoch}");
    }
    assert_eq!(transform.evaluation(&batch, &Device::Cpu).unwrap().len(), 1);
}

#[test]
fn the_enlargement_of_a_sample_is_that_of_its_image() {
    let transform = transform(&format!("{WINDOW}[inputs.near]\nscale = 0.25\n"), &["near", "wide"]);
    let factors: Vec<f64> = (0..50).map(|epoch| transform.enlargement(epoch, "a", 0)).collect();
    assert!(factors.iter().all(|factor| (0.8..=1.25).contains(factor)));
    assert!(factors.iter().any(|factor| *factor > 1.1) && factors.iter().any(|factor| *factor < 0.9));
    assert_eq!(self::transform(WINDOW, &["near"]).enlargement(3, "a", 0), 1.0);
}
