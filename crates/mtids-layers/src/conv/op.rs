//! The convolution as an operation of candle with its own gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};

use super::geometry::{ConvOptions, Geometry};
use super::{columns, depthwise, winograd};
use crate::kernels::Real;
use crate::storage::{entries, with_entries};

/// Convolution of `[B, C, (D,) H, W]` with `[O, C / groups, (kd,) kh, kw]` on the CPU.
pub(crate) struct ConvOp {
    pub options: ConvOptions<3>,
}

enum Algorithm {
    Depthwise,
    Winograd,
    Columns,
}

impl Geometry {
    fn algorithm(&self) -> Algorithm {
        if self.members() == 1 && self.groups > 1 {
            Algorithm::Depthwise
        } else if winograd::suits(self) {
            Algorithm::Winograd
        } else {
            Algorithm::Columns
        }
    }

    /// `[B, O, cells]`.
    pub(crate) fn forward<T: Real>(&self, x: &[T], weight: &[T]) -> Vec<T> {
        match self.algorithm() {
            Algorithm::Depthwise => depthwise::forward(self, x, weight),
            Algorithm::Winograd => winograd::forward(self, x, weight),
            Algorithm::Columns => columns::forward(self, x, weight),
        }
    }

    /// Gradients of the input (empty unless asked for) and of the weight.
    pub(crate) fn backward<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        gradient: &[T],
        want_input: bool,
    ) -> (Vec<T>, Vec<T>) {
        match self.algorithm() {
            Algorithm::Depthwise => depthwise::backward(self, x, weight, gradient, want_input),
            Algorithm::Winograd => winograd::backward(self, x, weight, gradient, want_input),
            Algorithm::Columns => columns::backward(self, x, weight, gradient, want_input),
        }
    }

    fn shape(&self, rank: usize) -> Shape {
        let mut dims = vec![self.batch, self.outputs];
        dims.extend(&self.out[5 - rank..]);
        dims.into()
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
        let geometry = Geometry::new(&self.options, x_layout, weight_layout)?;
        macro_rules! typed {
            ($variant:ident) => {
                CpuStorage::$variant(geometry.forward(entries(x, x_layout)?, entries(weight, weight_layout)?))
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
            let (input, weights) = with_entries::<T, 3, _>(tensors, |[x_entries, w_entries, gradient]| {
                geometry.backward(x_entries, w_entries, gradient, x.track_op())
            })?;
            let input = if x.track_op() { Some(Tensor::from_vec(input, x.shape(), x.device())?) } else { None };
            Ok((input, Some(Tensor::from_vec(weights, weight.shape(), weight.device())?)))
        }
        let geometry = Geometry::new(&self.options, x.layout(), weight.layout())?;
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => typed::<f64>(&geometry, [x, weight, &gradient]),
            _ => typed::<f32>(&geometry, [x, weight, &gradient]),
        }
    }
}
