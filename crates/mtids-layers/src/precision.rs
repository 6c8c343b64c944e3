//! The precision of convolutions and matrix products.
//!
//! Purpose: NVIDIA GPUs from compute capability 8.0 on have units that multiply in bfloat16, and half the bits are half the traffic. With
//! [`Precision::Bf16`] the operands of the backbone's convolutions and of the linear layers of backbone and experts are rounded to bfloat16, products
//! are summed in single precision by the GPU's library, and the result is rounded once more; gradients pass the same way (mixed precision
//! after Micikevicius et al., ICLR 2018, arXiv 1710.03740; bfloat16 has the range of single precision, so losses need no scaling). Everything else keeps the
//! precision of the parameters: the parameters themselves and the optimiser's state, norms and their statistics, activations, pooling, gates,
//! heads, losses and the Gram matrix. Invariant: a layer takes and returns tensors in the type of the parameters, whatever happens inside.
//!
//! On the CPU candle has no convolution in bfloat16. There the same rounding is applied to values that stay in single precision, which shows
//! in tests what a GPU computes, up to the order of sums; it is work on top of the same product, so trainings refuse it.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Precision of the operands of convolutions and matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// That of the parameters: single precision in a training.
    #[default]
    F32,
    /// Single precision whose convolutions may round their operands to TF32, eleven significant bits, on GPUs of compute capability 8.0 and later;
    /// sums in single precision. Everything else, and other devices, compute as with `f32`.
    Tf32,
    /// bfloat16, eight significant bits; sums in single precision.
    Bf16,
}

impl Precision {
    /// Whether tensors are rounded before a product. TF32 is what a GPU makes of tensors in single precision.
    pub(crate) fn rounds(self) -> bool {
        self == Self::Bf16
    }

    /// A product of two operands in this precision; its result has the type of the first operand.
    ///
    /// # Errors
    /// Those of `product`.
    pub fn product(
        self,
        [x, weight]: [&Tensor; 2],
        product: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if !self.rounds() {
            return product(x, weight);
        }
        let dtype = x.dtype();
        let operand = |tensor: &Tensor| -> Result<Tensor> {
            let rounded = tensor.to_dtype(DType::BF16)?;
            Ok(if tensor.device().is_cpu() { rounded.to_dtype(dtype)? } else { rounded })
        };
        Ok(product(&operand(x)?, &operand(weight)?)?.to_dtype(DType::BF16)?.to_dtype(dtype)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::conv::{ConvOptions, conv2d, conv3d};

    /// Half a unit in the last place, relative: what one rounding may change.
    const UNIT: f64 = 1.0 / 256.0 / 2.0;

    fn variable(shape: &[usize], seed: u64) -> Var {
        let count = shape.iter().product::<usize>() as u64;
        let numbers = (0..count).map(|n| ((n * 7919 + seed * 104_729 + 13) as f32 * 0.618_034).fract() - 0.5).collect();
        Var::from_tensor(&Tensor::from_vec::<_, f32>(numbers, shape, &Device::Cpu).unwrap()).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// Result, and gradients of both operands, for the gradient `slope` of the result.
    fn run(
        precision: Precision,
        operands: [&Tensor; 2],
        slope: &Tensor,
        product: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> [Tensor; 3] {
        let [x, weight] = operands.map(|tensor| Var::from_tensor(tensor).unwrap());
        let y = precision.product([&x, &weight], product).unwrap();
        let store = (&y * slope).unwrap().sum_all().unwrap().backward().unwrap();
        [y.detach(), store.get(&x).unwrap().clone(), store.get(&weight).unwrap().clone()]
    }

    #[test]
    fn on_the_cpu_tf32_is_single_precision() {
        let operands = [variable(&[3, 4, 9, 7], 1), variable(&[6, 4, 3, 3], 2)];
        let operands = [operands[0].as_tensor(), operands[1].as_tensor()];
        let convolve: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor> = &|x, w| conv2d(x, w, &ConvOptions::new(2, 1));
        let slope = variable(convolve(operands[0], operands[1]).unwrap().dims(), 3).as_tensor().clone();
        let [exact, other] =
            [Precision::F32, Precision::Tf32].map(|precision| run(precision, operands, &slope, convolve));
        assert!(exact.iter().zip(&other).all(|(a, b)| flat(a) == flat(b)));
    }

    #[test]
    fn results_and_gradients_differ_by_roundings_of_the_operands_and_of_the_sum() {
        type Product = dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;
        let planar: &Product = &|x, w| conv2d(x, w, &ConvOptions::new(2, 1));
        let deep: &Product = &|x, w| conv3d(x, w, &ConvOptions::new(1, 1));
        let linear: &Product = &|x, w| Ok(x.matmul(&w.t()?)?);
        for (x, weight, product) in [
            (&[3, 4, 9, 7][..], &[6, 4, 3, 3][..], planar),
            (&[2, 3, 4, 6, 5], &[5, 3, 3, 3, 3], deep),
            (&[7, 33], &[5, 33], linear),
        ] {
            let (x, weight) = (variable(x, 1), variable(weight, 2));
            let operands = [x.as_tensor(), weight.as_tensor()];
            let shape = product(operands[0], operands[1]).unwrap();
            let slope = variable(shape.dims(), 3).as_tensor().clone();
            let exact = run(Precision::F32, operands, &slope, product);
            let rounded = run(Precision::Bf16, operands, &slope, product);
            // The sums of absolute products bound what rounding each factor can change.
            let [x, weight, slope] = [&x, &weight, &slope].map(|tensor| tensor.abs().unwrap());
            let bounds = run(Precision::F32, [&x, &weight], &slope, product);
            let mut differ = 0;
            for ((exact, rounded), bound) in exact.iter().zip(&rounded).zip(&bounds) {
                assert_eq!(rounded.dtype(), DType::F32);
                for ((a, b), bound) in flat(exact).into_iter().zip(flat(rounded)).zip(flat(bound)) {
                    assert!((a - b).abs() <= 2.01 * UNIT * bound + UNIT * a.abs() * 1.01, "{a} {b}, bound {bound}");
                    differ += usize::from(a != b);
                }
            }
            assert!(differ > 0, "something was rounded");
        }
    }
}
