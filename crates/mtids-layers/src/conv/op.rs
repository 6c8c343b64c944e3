//! One convolution on plain maps as an operation of candle with its own gradient.
//!
//! Purpose: interleaves, lets the engine run, and comes back. What the engine does not serve never gets here.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use crate::geometry::{ConvOptions, Geometry};
use crate::interleaved::convolution;
use crate::interleaved::layout::{bundles, deinterleave, interleave};
use crate::kernels::Real;
use crate::storage::{entries, with_entries};

/// Convolution of `[B, C, (D,) H, W]` with `[O, C, (kd,) kh, kw]` on the CPU.
pub(super) struct ConvOp {
    pub(super) options: ConvOptions<3>,
}

/// The same convolution of bundles.
fn bundled(g: &Geometry) -> Geometry {
    Geometry { batch: bundles(g.batch), ..*g }
}

/// `[B, O, cells]`.
fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    // Within the pool, so that the parts do not wake it one by one.
    rayon::scope(|_| deinterleave(&convolution::forward(&bundled(g), &interleave(x, g.batch), weight), g.batch))
}

/// Gradients of the input, where it is wanted, and of the weight.
fn backward<T: Real>(g: &Geometry, [x, weight, gradient]: [&[T]; 3], wanted: bool) -> (Option<Vec<T>>, Vec<T>) {
    let bundles = bundled(g);
    rayon::scope(|_| {
        let gradient = interleave(gradient, g.batch);
        let mut by_weight = vec![T::zero(); weight.len()];
        convolution::backward_weight(&bundles, &interleave(x, g.batch), &gradient, &mut by_weight);
        let input = wanted.then(|| {
            let mut input = convolution::input(&bundles);
            convolution::backward_input(&bundles, weight, &gradient, &mut input, false);
            deinterleave(&input, g.batch)
        });
        (input, by_weight)
    })
}

impl ConvOp {
    fn geometry(&self, x: &Layout, weight: &Layout) -> candle_core::Result<Geometry> {
        let geometry = Geometry::new(&self.options, x, weight)?;
        if !convolution::serves(&geometry) {
            candle_core::bail!("the engine has no convolution in {} groups", geometry.groups);
        }
        Ok(geometry)
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        "mtids-convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let geometry = self.geometry(x_layout, weight_layout)?;
        macro_rules! typed {
            ($variant:ident) => {
                CpuStorage::$variant(forward(&geometry, entries(x, x_layout)?, entries(weight, weight_layout)?))
            };
        }
        let result = match x.dtype() {
            DType::F32 => typed!(F32),
            DType::F64 => typed!(F64),
            other => candle_core::bail!("a convolution needs f32 or f64, not {other:?}"),
        };
        Ok((result, geometry.shape(x_layout.dims().len())))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        fn typed<T: Real>(
            geometry: &Geometry,
            tensors: [&Tensor; 3],
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
            let [x, weight, _] = tensors;
            let (input, by_weight) =
                with_entries::<T, 3, _>(tensors, |entries| backward(geometry, entries, x.track_op()))?;
            let input = input.map(|input| Tensor::from_vec(input, x.shape(), x.device())).transpose()?;
            Ok((input, Some(Tensor::from_vec(by_weight, weight.shape(), weight.device())?)))
        }
        let geometry = self.geometry(x.layout(), weight.layout())?;
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => typed::<f64>(&geometry, [x, weight, &gradient]),
            _ => typed::<f32>(&geometry, [x, weight, &gradient]),
        }
    }
}
