//! Convolutions over the shapes of the fixtures: the three passes, whole operands and parts of larger memory.

use mtids_cuda::conv::{Algorithms, Computation, ConvSettings, convolve};

use super::{Comparison, Device, Named, Place, gradients};

/// A shape that PyTorch answered for, see `src/conv/fixtures`.
#[derive(serde::Deserialize)]
struct Fixture {
    input: Vec<usize>,
    filter: Vec<usize>,
    stride: Vec<usize>,
    padding: Vec<usize>,
    dilation: Vec<usize>,
    groups: usize,
    output: Option<Vec<usize>>,
}

impl Fixture {
    /// Products of a pass, where the shapes are those of a convolution.
    fn products(&self) -> Option<usize> {
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        self.output.as_ref().map(|output| product(output) * product(&self.filter[1..]))
    }

    fn run<const N: usize>(&self, place: &Place, algorithms: Algorithms, shifted: bool) -> Vec<Named> {
        let axes = |values: &[usize]| <[usize; N]>::try_from(values).unwrap();
        let settings = ConvSettings {
            stride: axes(&self.stride),
            padding: axes(&self.padding),
            dilation: axes(&self.dilation),
            groups: self.groups,
        };
        let (x, input) = place.part_of(&self.input, 1, shifted);
        let (weight, filter) = place.part_of(&self.filter, 2, shifted);
        let y = convolve(&input, &filter, &settings, Computation { algorithms, ..Computation::default() }).unwrap();
        let gradients = gradients(place, &y, &[("data gradient", &x), ("filter gradient", &weight)]);
        std::iter::once(("forward", y)).chain(gradients).collect()
    }
}

/// Compares each `every`-th fixture that takes at most `most` products; how many there were in two and in three dimensions.
fn fixtures(device: Device, algorithms: Algorithms, most: usize, every: usize) -> [usize; 2] {
    let all: Vec<Fixture> = serde_json::from_str(include_str!("../../src/conv/fixtures/shapes.json")).unwrap();
    let (mut comparison, mut done) = (Comparison::on(device), [0; 2]);
    for fixture in all.iter().filter(|one| one.products().is_some_and(|products| products <= most)).step_by(every) {
        for shifted in [false, true] {
            let Fixture { input, filter, stride, padding, dilation, groups, .. } = fixture;
            let what = format!(
                "{input:?} {filter:?} stride {stride:?} padding {padding:?} dilation {dilation:?} groups {groups} shifted {shifted} {algorithms:?}"
            );
            comparison.of(&what, |place| match stride.len() {
                2 => fixture.run::<2>(place, algorithms, shifted),
                _ => fixture.run::<3>(place, algorithms, shifted),
            });
        }
        done[fixture.stride.len() - 2] += 1;
    }
    comparison.end();
    done
}

#[test]
fn comparisons_hold_on_the_host() {
    let done = fixtures(Device::Cpu, Algorithms::Reproducible, 200_000, 5);
    assert!(done.iter().all(|&count| count >= 5), "{done:?}");
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn reproducible_algorithms_give_the_numbers_of_the_cpu() {
    let done = fixtures(super::card(), Algorithms::Reproducible, 30_000_000, 1);
    assert!(done.iter().all(|&count| count >= 40), "{done:?}");
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_quickest_algorithms_give_the_numbers_of_the_cpu() {
    // A trial of each shape takes its time.
    fixtures(super::card(), Algorithms::QuickestNotReproducible, 30_000_000, 6);
}
