//! Each operation by itself: on a card in single precision beside the CPU in double precision.
//!
//! Purpose: a whole network hides a wrong kernel behind its other layers and wide tolerances. Here each operation has its own comparison:
//! ‖difference‖ / ‖reference‖ of every result and gradient is at most [`FAR`]. The tests of a card are started by `make cuda-test` where there is one. On
//! the host the same comparisons run over less, in single precision on the CPU: so tests and tolerance hold without a card.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail like tests, and say how far apart numbers are"
)]

mod convolution;
mod norm;
mod rows;
mod update;

use candle_core::{DType, Device, Tensor};

/// The largest distance of single from double precision, relative to the Euclidean norm.
const FAR: f64 = 1e-5;

/// Where an operation is computed, and in which type.
struct Place {
    device: Device,
    dtype: DType,
}

impl Place {
    /// Numbers in (−1, 1) that single precision holds, a pure function of their place and `seed`.
    fn tensor(&self, dims: &[usize], seed: usize) -> Tensor {
        let count: usize = dims.iter().product();
        let number = |n: usize| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
        let numbers: Vec<f32> = (0..count).map(|n| number(n) as f32).collect();
        let tensor = Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap();
        tensor.to_dtype(self.dtype).unwrap().to_device(&self.device).unwrap()
    }

    /// Such numbers in the memory behind one more row, if `shifted`; the whole and the part.
    fn part_of(&self, dims: &[usize], seed: usize, shifted: bool) -> (candle_core::Var, Tensor) {
        let mut whole = dims.to_vec();
        whole[0] += usize::from(shifted);
        let whole = candle_core::Var::from_tensor(&self.tensor(&whole, seed)).unwrap();
        let part = whole.narrow(0, usize::from(shifted), dims[0]).unwrap();
        (whole, part)
    }
}

/// A result, with its name.
type Named = (&'static str, Tensor);

/// The gradients of `of`, where the gradient of `y` is some numbers.
fn gradients(place: &Place, y: &Tensor, of: &[(&'static str, &candle_core::Var)]) -> Vec<Named> {
    let slope = place.tensor(y.dims(), 77);
    let store = (y * slope).unwrap().sum_all().unwrap().backward().unwrap();
    of.iter().map(|(name, of)| (*name, store.get(of).unwrap().clone())).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let here = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    here.flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares what operations give in single precision on a device with what they give in double precision on the CPU. All are compared before one fails a
/// test: a card is seldom at hand.
struct Comparison {
    device: Device,
    /// The largest distance, and of what.
    worst: (f64, String),
    far: Vec<String>,
}

impl Comparison {
    fn on(device: Device) -> Self {
        Self { device, worst: (0.0, String::new()), far: Vec::new() }
    }

    fn of(&mut self, what: &str, work: impl Fn(&Place) -> Vec<Named>) {
        let found = work(&Place { device: self.device.clone(), dtype: DType::F32 });
        let expected = work(&Place { device: Device::Cpu, dtype: DType::F64 });
        assert_eq!(found.len(), expected.len());
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            assert_eq!(found.dims(), expected.dims(), "{what}, {name}");
            let (found, expected) = (flat(found), flat(expected));
            let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
            let size = norm(&mut expected.iter().copied());
            let apart = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
            if apart.is_nan() || apart > FAR * size {
                self.far.push(format!("{what}, {name}: {apart:e} apart, of {size:e}"));
            } else if apart > self.worst.0 * size {
                self.worst = (apart / size, format!("{what}, {name}"));
            }
        }
    }

    #[track_caller]
    fn end(self) {
        let Self { worst: (distance, what), far, .. } = self;
        println!("the farthest within the tolerance: {distance:e}, {what}");
        assert!(far.is_empty(), "{} are farther apart than {FAR:e}:\n{}", far.len(), far.join("\n"));
    }
}

/// The first card, prepared as for a training.
#[cfg(feature = "cuda")]
fn card() -> Device {
    let device = Device::new_cuda(0).unwrap();
    mtids_cuda::memory::prepare(&device).unwrap();
    device
}
