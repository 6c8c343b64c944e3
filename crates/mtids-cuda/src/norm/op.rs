//! Batch norm with what follows it as operations of candle with their own gradients.
//!
//! Purpose: one sequence of kernels on either device. Invariants: the moments of a batch are computed first, without a gradient, and the operation
//! that uses them accounts for their dependence on the map; a gradient that nothing tracks is not computed.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Shape, Storage, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};

use super::kernel::{ADD, FOLLOW, Kernel, RECTIFY, Sizes, input};
use super::launch::{self, Real};

/// Means and biased variances `[C]` to normalise with.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Means.
    pub mean: Tensor,
    /// Biased variances.
    pub variance: Tensor,
    /// Whether they are those of the map that is normalised, so that its gradient passes through them too.
    pub follows: bool,
}

/// The moments of every channel of `x` `[B, C, ..]`, over samples and cells. They track no gradient: the norm that uses them does.
///
/// # Errors
/// When the map has fewer than three axes, is empty, or has another type than `f32` and `f64`.
pub fn moments(x: &Tensor) -> candle_core::Result<Moments> {
    let both = Step::run(Task::Moments, 0, (input::FIRST, &x.contiguous()?), Vec::new())?;
    Ok(Moments { mean: both.get(0)?, variance: both.get(1)?, follows: true })
}

/// `weight (x − mean) / √(variance + ε) + bias`, rectified if asked for; `x` is `[B, C, ..]`, weight and bias are `[C]`.
///
/// # Errors
/// As [`moments`]; when shapes do not fit.
pub fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    moments: &Moments,
    relu: bool,
) -> candle_core::Result<Tensor> {
    let op = Norm { moments: moments.clone(), relu, sum: false };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// `batch_norm(x) + base`, rectified behind the addition if asked for.
///
/// # Errors
/// As [`batch_norm`].
pub fn batch_norm_of_sum(
    x: &Tensor,
    affine: [&Tensor; 2],
    moments: &Moments,
    base: &Tensor,
    relu: bool,
) -> candle_core::Result<Tensor> {
    if x.dims() != base.dims() {
        candle_core::bail!("a sum of {:?} and {:?}", x.shape(), base.shape());
    }
    // An operation has three operands at most.
    let affine = Tensor::stack(&affine, 0)?;
    x.contiguous()?.apply_op3(&affine, &base.contiguous()?, Norm { moments: moments.clone(), relu, sum: true })
}

/// What a sequence of kernels computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Moments,
    Normalise,
    GradientSums,
    InputGradient,
    OpenGradient,
}

impl Task {
    /// The kernels; of two, the first leaves sums for the second.
    fn kernels(self) -> (Option<Kernel>, Kernel) {
        match self {
            Self::Moments => (Some(Kernel::MomentsParts), Kernel::MomentsJoin),
            Self::Normalise => (None, Kernel::Normalise),
            Self::GradientSums => (Some(Kernel::GradientParts), Kernel::GradientJoin),
            Self::InputGradient => (None, Kernel::InputGradient),
            Self::OpenGradient => (None, Kernel::OpenGradient),
        }
    }
}

/// The memory of an operand: its storage and layout, at its place in the arguments.
type Operands<'a, S> = Vec<(usize, &'a S, &'a Layout)>;

/// One task on a map.
#[derive(Clone, Copy, Debug)]
struct Job {
    task: Task,
    sizes: Sizes,
    flags: u32,
}

impl Job {
    fn new(task: Task, dims: &[usize], flags: u32) -> candle_core::Result<Self> {
        match Sizes::new(dims) {
            Some(sizes) => Ok(Self { task, sizes, flags }),
            None => candle_core::bail!("batch norm of a map {dims:?}: it is empty, too large, or has no cells"),
        }
    }

    /// Shape of the result; `map` is that of the maps.
    fn shape(&self, map: &Shape) -> Shape {
        match self.task {
            Task::Moments | Task::GradientSums => (2, self.sizes.channels as usize).into(),
            _ => map.clone(),
        }
    }

    fn result(&self) -> usize {
        match self.task {
            Task::Moments | Task::GradientSums => 2 * self.sizes.channels as usize,
            _ => self.sizes.map(),
        }
    }

    fn host<T: Real>(&self, operands: Vec<(usize, &[T])>) -> candle_core::Result<Vec<T>> {
        let mut inputs: [&[T]; input::COUNT] = [&[]; input::COUNT];
        for (place, entries) in operands {
            inputs[place] = entries;
        }
        let mut result = vec![T::default(); self.result()];
        let mut parts = vec![0.0; self.sizes.parts()];
        let (before, last) = self.task.kernels();
        for kernel in before.into_iter().chain([last]) {
            launch::on_host(kernel, (self.sizes, self.flags), inputs, &mut result, &mut parts)?;
        }
        Ok(result)
    }

    fn on_cpu(&self, operands: &Operands<'_, CpuStorage>) -> candle_core::Result<CpuStorage> {
        macro_rules! typed {
            ($variant:ident) => {{
                let slices =
                    operands.iter().map(|(place, storage, layout)| match (storage, layout.contiguous_offsets()) {
                        (CpuStorage::$variant(entries), Some((start, end))) => Ok((*place, &entries[start..end])),
                        _ => candle_core::bail!("batch norm needs contiguous tensors of one type"),
                    });
                CpuStorage::$variant(self.host(slices.collect::<candle_core::Result<_>>()?)?)
            }};
        }
        Ok(match operands.first() {
            Some((_, CpuStorage::F32(_), _)) => typed!(F32),
            Some((_, CpuStorage::F64(_), _)) => typed!(F64),
            _ => candle_core::bail!("batch norm needs f32 or f64"),
        })
    }

    #[cfg(feature = "cuda")]
    fn on_card(&self, operands: &Operands<'_, CudaStorage>) -> candle_core::Result<CudaStorage> {
        use candle_core::cuda_backend::CudaStorageSlice;
        use cudarc::driver::{CudaSlice, CudaView};

        let Some((_, first, _)) = operands.first() else { candle_core::bail!("batch norm of nothing") };
        let device = first.device();
        macro_rules! typed {
            ($variant:ident, $type:ident) => {{
                let views: candle_core::Result<Vec<(usize, CudaView<'_, $type>)>> = operands
                    .iter()
                    .map(|(place, storage, layout)| match (&storage.slice, layout.contiguous_offsets()) {
                        (CudaStorageSlice::$variant(slice), Some((start, end))) => {
                            Ok((*place, slice.slice(start..end)))
                        }
                        _ => candle_core::bail!("batch norm needs contiguous tensors of one type"),
                    })
                    .collect();
                let views = views?;
                // A kernel touches no argument that its task does not name; there the first stands in.
                let inputs: [CudaView<'_, $type>; input::COUNT] = std::array::from_fn(|which| {
                    let named = views.iter().find(|(place, _)| *place == which);
                    named.unwrap_or(&views[0]).1.slice(..)
                });
                let mut result: CudaSlice<$type> = launch::alloc(device, self.result())?;
                let (before, last) = self.task.kernels();
                let mut parts = launch::alloc(device, if before.is_some() { self.sizes.parts() } else { 1 })?;
                for kernel in before.into_iter().chain([last]) {
                    launch::on_card(device, kernel, (self.sizes, self.flags), &inputs, &mut result, &mut parts)?;
                }
                CudaStorageSlice::$variant(result)
            }};
        }
        let slice = match &first.slice {
            CudaStorageSlice::F32(_) => typed!(F32, f32),
            CudaStorageSlice::F64(_) => typed!(F64, f64),
            _ => candle_core::bail!("batch norm needs f32 or f64"),
        };
        Ok(CudaStorage { slice, device: device.clone() })
    }
}

/// A task without a gradient.
struct Step {
    job: Job,
    /// Place of the operand that it is applied to.
    place: usize,
    /// The other operands.
    others: Vec<(usize, Tensor)>,
}

impl Step {
    /// The task on a map and other operands, each with its place in the arguments.
    fn run(
        task: Task,
        flags: u32,
        (place, map): (usize, &Tensor),
        others: Vec<(usize, Tensor)>,
    ) -> candle_core::Result<Tensor> {
        map.apply_op1_no_bwd(&Self { job: Job::new(task, map.dims(), flags)?, place, others })
    }
}

/// Adds the memory of tensors that an operation holds to its operands.
macro_rules! hold {
    ($operands:ident, $guards:ident, $variant:ident) => {
        for (place, (storage, layout)) in &$guards {
            match &**storage {
                Storage::$variant(storage) => $operands.push((*place, storage, layout)),
                _ => candle_core::bail!("batch norm needs its tensors on one device"),
            }
        }
    };
}

impl CustomOp1 for Step {
    fn name(&self) -> &'static str {
        "batch-norm-step"
    }

    fn cpu_fwd(&self, map: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let guards: Vec<_> = self.others.iter().map(|(place, held)| (*place, held.storage_and_layout())).collect();
        let mut operands: Operands<'_, CpuStorage> = vec![(self.place, map, layout)];
        hold!(operands, guards, Cpu);
        Ok((self.job.on_cpu(&operands)?, self.job.shape(layout.shape())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, map: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let guards: Vec<_> = self.others.iter().map(|(place, held)| (*place, held.storage_and_layout())).collect();
        let mut operands: Operands<'_, CudaStorage> = vec![(self.place, map, layout)];
        hold!(operands, guards, Cuda);
        Ok((self.job.on_card(&operands)?, self.job.shape(layout.shape())))
    }
}

/// The norm of a map with weight and bias `[C]`; or, if `sum`, with both in one tensor `[2, C]`, plus another map.
struct Norm {
    moments: Moments,
    relu: bool,
    sum: bool,
}

impl Norm {
    fn rectify(&self) -> u32 {
        if self.relu { RECTIFY } else { 0 }
    }

    fn job(&self, map: &Layout) -> candle_core::Result<Job> {
        Job::new(Task::Normalise, map.dims(), self.rectify() | if self.sum { ADD } else { 0 })
    }

    fn held(&self) -> [(usize, &Tensor); 2] {
        [(input::MEAN, &self.moments.mean), (input::VARIANCE, &self.moments.variance)]
    }

    /// Layouts of weight and bias, and their places among the operands behind the map.
    fn affine(&self, second: &Layout, third: &Layout) -> candle_core::Result<[Layout; 2]> {
        if self.sum {
            Ok([second.narrow(0, 0, 1)?, second.narrow(0, 1, 1)?])
        } else {
            Ok([second.clone(), third.clone()])
        }
    }
}

macro_rules! forward {
    ($self:ident, $variant:ident, $run:ident, $x:ident, $x_layout:ident, $second:ident, $second_layout:ident, $third:ident, $third_layout:ident) => {{
        let job = $self.job($x_layout)?;
        let [weight, bias] = $self.affine($second_layout, $third_layout)?;
        let guards = $self.held().map(|(place, held)| (place, held.storage_and_layout()));
        let of_bias = if $self.sum { $second } else { $third };
        let mut operands =
            vec![(input::FIRST, $x, $x_layout), (input::WEIGHT, $second, &weight), (input::BIAS, of_bias, &bias)];
        if $self.sum {
            operands.push((input::SECOND, $third, $third_layout));
        }
        hold!(operands, guards, $variant);
        Ok((job.$run(&operands)?, job.shape($x_layout.shape())))
    }};
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
        third: &CpuStorage,
        third_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        forward!(self, Cpu, on_cpu, x, x_layout, second, second_layout, third, third_layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        second: &CudaStorage,
        second_layout: &Layout,
        third: &CudaStorage,
        third_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        forward!(self, Cuda, on_card, x, x_layout, second, second_layout, third, third_layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        second: &Tensor,
        third: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut gradient = gradient.contiguous()?;
        let mut rectify = self.rectify();
        if self.sum && self.relu && third.track_op() {
            // What was added needs the open gradient by itself; then the others read it and not the result.
            let others = vec![(input::SECOND, result.clone())];
            gradient = Step::run(Task::OpenGradient, rectify, (input::THIRD, &gradient), others)?;
            rectify = 0;
        }
        let held = |others: &[(usize, &Tensor)]| {
            let mut all: Vec<_> = others.iter().map(|(place, held)| (*place, (*held).clone())).collect();
            all.push((input::THIRD, gradient.clone()));
            if rectify != 0 {
                all.push((input::SECOND, result.clone()));
            }
            all
        };
        let [mean, variance] = self.held();
        let map = (input::FIRST, x);
        let sums = Step::run(Task::GradientSums, rectify, map, held(&[mean, variance]))?;
        let by_x = if x.track_op() {
            let weight = if self.sum { second.get(0)? } else { second.clone() };
            let follow = if self.moments.follows { FOLLOW } else { 0 };
            let others = held(&[mean, variance, (input::WEIGHT, &weight), (input::SUMS, &sums)]);
            Some(Step::run(Task::InputGradient, rectify | follow, map, others)?)
        } else {
            None
        };
        if self.sum {
            let by_base = third.track_op().then_some(gradient);
            return Ok((by_x, second.track_op().then_some(sums), by_base));
        }
        let row = |which: usize, of: &Tensor| of.track_op().then(|| sums.get(which)).transpose();
        Ok((by_x, row(0, second)?, row(1, third)?))
    }
}
