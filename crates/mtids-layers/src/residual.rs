//! Stem and stages of a residual network along two or three axes.
//!
//! Purpose: the layers and their order. On the CPU a whole run of them is one operation on interleaved maps; elsewhere, and in
//! another precision, the same function is composed of the layers (`conv` has the diagram). Invariant: on the CPU a sample's
//! map has the same bits in a batch of any size.

use candle_core::Tensor;

use crate::conv::{Conv, ConvOptions};
use crate::error::{LayerError, Result, config_error};
use crate::geometry::{Geometry, deep, output_size};
use crate::interleaved::{self, ConvBlockPlan, Part, ResidualBlockPlan};
use crate::norm::GroupNorm;
use crate::parameters::Parameters;
use crate::precision::Precision;

/// An axis shorter than this is not halved any more in three dimensions, where depths are often small.
const HALVED_FROM: usize = 4;

/// A convolution, group norm and, if asked for, a rectifier.
#[derive(Clone, Debug)]
struct ConvBlock<const N: usize> {
    conv: Conv<N>,
    norm: GroupNorm,
}

impl<const N: usize> ConvBlock<N> {
    fn new(
        name: &str,
        [from, to]: [usize; 2],
        kernel: usize,
        stride: [usize; N],
        (groups, relu): (usize, bool),
        parameters: &Parameters,
    ) -> Result<Self> {
        let options = ConvOptions { stride, ..ConvOptions::new(1, kernel / 2) };
        Ok(Self {
            conv: Conv::new(&format!("{name}.conv"), from, to, [kernel; N], options, parameters)?,
            norm: GroupNorm::new(&format!("{name}.norm"), to, groups, relu, parameters)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x)?)
    }

    /// The conv block on maps of `size`, and its parameters at the end of the list.
    fn plan(&self, bundles: usize, size: [usize; 3], list: &mut List) -> Result<ConvBlockPlan> {
        let (weight, (groups, relu)) = (self.conv.weight(), self.norm.settings());
        let geometry = Geometry::of_sizes(&self.conv.options(), bundles, size, weight.dims())?;
        let start = list.entries;
        for parameter in [weight].into_iter().chain(self.norm.parameters()) {
            list.entries += parameter.elem_count();
            list.tensors.push(parameter.clone());
        }
        Ok(ConvBlockPlan { geometry, groups, relu, start })
    }
}

/// The parameters of a run.
#[derive(Default)]
struct List {
    tensors: Vec<Tensor>,
    entries: usize,
}

/// `shortcut(x) + relu(norm(conv(relu(norm(conv x)))))`.
#[derive(Clone, Debug)]
struct ResidualBlock<const N: usize> {
    first: ConvBlock<N>,
    second: ConvBlock<N>,
    shortcut: Option<ConvBlock<N>>,
}

impl<const N: usize> ResidualBlock<N> {
    fn new(name: &str, channels: [usize; 2], stride: [usize; N], groups: usize, p: &Parameters) -> Result<Self> {
        let [from, to] = channels;
        let conv_block = |part: &str, channels, kernel, stride, relu| {
            ConvBlock::new(&format!("{name}.{part}"), channels, kernel, stride, (groups, relu), p)
        };
        let changes = from != to || stride != [1; N];
        Ok(Self {
            first: conv_block("first", channels, 3, stride, true)?,
            second: conv_block("second", [to, to], 3, [1; N], true)?,
            shortcut: changes.then(|| conv_block("shortcut", channels, 1, stride, false)).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let long = self.second.forward(&self.first.forward(x)?)?;
        Ok(match &self.shortcut {
            Some(shortcut) => (shortcut.forward(x)? + long)?,
            None => (x + long)?,
        })
    }
}

/// Sizes of stem and stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidualConfig {
    /// Channels of each stage; every stage after the first halves the map.
    pub widths: Vec<usize>,
    /// Residual blocks of each stage; as many entries as `widths`.
    pub blocks: Vec<usize>,
    /// Stride of the first convolution.
    pub stem_stride: usize,
    /// Groups of the group norm; must divide every width.
    pub groups: usize,
}

/// Stem and stages on maps `[B, C, H, W]` (`N` = 2) or `[B, C, D, H, W]` (`N` = 3).
#[derive(Clone, Debug)]
pub struct Residual<const N: usize> {
    stem: ConvBlock<N>,
    stages: Vec<Vec<ResidualBlock<N>>>,
    size: [usize; N],
}

impl<const N: usize> Residual<N> {
    /// For maps of `channels` channels and this size; parameters are `<prefix>.stem.*`, `<prefix>.stage<s>.block<b>.*`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(
        prefix: &str,
        config: &ResidualConfig,
        channels: usize,
        mut size: [usize; N],
        parameters: &Parameters,
    ) -> Result<Self> {
        // The stride along each axis, and the size of the map behind it.
        let mut shrink = |stride: usize| -> [usize; N] {
            std::array::from_fn(|axis| {
                let stride = if N == 3 && size[axis] < HALVED_FROM { 1 } else { stride };
                size[axis] = output_size(size[axis], 3, stride, 1, 1);
                stride
            })
        };
        let width = config.widths.first().copied().unwrap_or(0);
        let stride = shrink(config.stem_stride);
        let stem =
            ConvBlock::new(&format!("{prefix}.stem"), [channels, width], 3, stride, (config.groups, true), parameters)?;
        let mut stages = Vec::new();
        let mut from = width;
        for (stage, (&to, &count)) in config.widths.iter().zip(&config.blocks).enumerate() {
            let mut blocks = Vec::new();
            for block in 0..count {
                let stride = shrink(if stage > 0 && block == 0 { 2 } else { 1 });
                let name = format!("{prefix}.stage{stage}.block{block}");
                blocks.push(ResidualBlock::new(&name, [from, to], stride, config.groups, parameters)?);
                from = to;
            }
            stages.push(blocks);
        }
        Ok(Self { stem, stages, size })
    }

    /// Size of the last map.
    pub fn size(&self) -> &[usize] {
        &self.size
    }

    /// The stem: `[B, channels, ..]` to `[B, widths[0], ..]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn stem(&self, x: &Tensor) -> Result<Tensor> {
        self.run(true, &[], x)
    }

    /// One stage: from the map of the stage before (stage 0: of the stem) to its own.
    ///
    /// # Errors
    /// [`LayerError::Config`] for a stage that does not exist; when the shape does not fit.
    pub fn stage(&self, stage: usize, map: &Tensor) -> Result<Tensor> {
        let missing = || config_error("backbone.widths", format!("there is no stage {stage}"));
        self.run(false, std::slice::from_ref(self.stages.get(stage).ok_or_else(missing)?), map)
    }

    /// Stem and all stages.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(true, &self.stages, x)
    }

    /// The stem, if asked for, and some stages.
    fn run(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor) -> Result<Tensor> {
        // The roundings of other precisions lie at each convolution.
        let plain = self.stem.conv.precision() == Precision::F32;
        if x.device().is_cpu() && plain { self.interleaved(stem, stages, x) } else { self.composed(stem, stages, x) }
    }

    fn composed(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor) -> Result<Tensor> {
        let mut map = if stem { self.stem.forward(x)? } else { x.clone() };
        for block in stages.iter().flatten() {
            map = block.forward(&map)?;
        }
        Ok(map)
    }

    fn interleaved(&self, stem: bool, stages: &[Vec<ResidualBlock<N>>], x: &Tensor) -> Result<Tensor> {
        let other_shape = || LayerError::Shape {
            what: "feature map",
            found: x.dims().to_vec(),
            expected: format!("a batch, the channels of the first layer and {N} axes"),
        };
        let size: [usize; N] = x.dims().get(2..).and_then(|axes| axes.try_into().ok()).ok_or_else(other_shape)?;
        let (bundles, mut size, mut list) = (interleaved::layout::bundles(x.dim(0)?), deep(size, 1), List::default());
        let mut parts = Vec::new();
        if stem {
            let conv_block = self.stem.plan(bundles, size, &mut list)?;
            size = conv_block.geometry.out;
            parts.push(Part::ConvBlock(conv_block));
        }
        for block in stages.iter().flatten() {
            let first = block.first.plan(bundles, size, &mut list)?;
            let second = block.second.plan(bundles, first.geometry.out, &mut list)?;
            let shortcut =
                block.shortcut.as_ref().map(|conv_block| conv_block.plan(bundles, size, &mut list)).transpose()?;
            size = second.geometry.out;
            parts.push(Part::ResidualBlock(Box::new(ResidualBlockPlan { first, second, shortcut })));
        }
        let first = parts.iter().map(Part::inputs).next();
        if first.is_some_and(|channels| x.dims().get(1) != Some(&channels)) {
            return Err(other_shape());
        }
        interleaved::run(parts, &list.tensors, x)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn tensor(shape: &[usize], seed: u64) -> Tensor {
        let count = shape.iter().product::<usize>() as u64;
        let value = |n: u64| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
        Tensor::from_vec((0..count).map(value).collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    fn close(found: &[f64], expected: &[f64], precision: f64, what: &str) {
        let scale = expected.iter().fold(1e-3, |scale: f64, value| scale.max(value.abs()));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (index, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= precision * scale, "{what}, entry {index}: {a}, {b}");
        }
    }

    fn tiny(stem_stride: usize, widths: &[usize]) -> ResidualConfig {
        ResidualConfig { widths: widths.to_vec(), blocks: vec![1; widths.len()], stem_stride, groups: 8 }
    }

    /// Output and all gradients of both paths, in a precision.
    fn compare<const N: usize>(config: &ResidualConfig, shape: &[usize], dtype: DType, precision: f64) {
        let parameters = Parameters::new(5, dtype, &Device::Cpu);
        let size: [usize; N] = shape[2..].try_into().unwrap();
        let body = Residual::<N>::new("body", config, shape[1], size, &parameters).unwrap();
        for (seed, (name, variable)) in (20..).zip(parameters.variables()) {
            if name.contains("norm") {
                let moved =
                    (variable.as_detached_tensor() + tensor(variable.dims(), seed).to_dtype(dtype).unwrap()).unwrap();
                variable.set(&moved).unwrap();
            }
        }
        let x = Var::from_tensor(&tensor(shape, 1).to_dtype(dtype).unwrap()).unwrap();
        let run = |interleaved: bool| {
            let y = if interleaved {
                body.interleaved(true, &body.stages, &x).unwrap()
            } else {
                body.composed(true, &body.stages, &x).unwrap()
            };
            let mask = tensor(y.dims(), 3).to_dtype(dtype).unwrap();
            let store = (&y * mask).unwrap().sum_all().unwrap().backward().unwrap();
            let gradients: Vec<(String, Vec<f64>)> = parameters
                .variables()
                .into_iter()
                .map(|(name, variable)| (name, flat(store.get(&variable).unwrap())))
                .chain([("x".to_owned(), flat(store.get(&x).unwrap()))])
                .collect();
            (flat(&y), gradients)
        };
        let ((y, gradients), (expected, others)) = (run(true), run(false));
        close(&y, &expected, precision, "output");
        for ((name, found), (_, expected)) in gradients.iter().zip(&others) {
            close(found, expected, precision, &format!("{shape:?} {name}"));
        }
    }

    #[test]
    fn interleaved_runs_are_the_composed_function() {
        for (dtype, precision) in [(DType::F64, 1e-9), (DType::F32, 2e-3)] {
            compare::<2>(&tiny(2, &[8, 16, 24]), &[2, 3, 23, 18], dtype, precision);
            compare::<2>(&tiny(1, &[16, 8]), &[17, 2, 7, 12], dtype, precision);
            compare::<2>(&tiny(2, &[24]), &[33, 5, 9, 5], dtype, precision);
            compare::<3>(&tiny(2, &[8, 16]), &[3, 2, 9, 12, 14], dtype, precision);
            compare::<3>(&tiny(1, &[8, 8]), &[18, 1, 3, 8, 5], dtype, precision);
        }
    }

    #[test]
    fn interleaved_runs_do_not_depend_on_the_number_of_threads() {
        let config = tiny(2, &[8, 16]);
        let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
        let body = Residual::<3>::new("body", &config, 2, [6, 20, 18], &parameters).unwrap();
        let x = Var::from_tensor(&tensor(&[35, 2, 6, 20, 18], 1).to_dtype(DType::F32).unwrap()).unwrap();
        let on = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let y = body.interleaved(true, &body.stages, &x).unwrap();
                let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                let mut results = vec![flat(&y), flat(store.get(&x).unwrap())];
                results.extend(parameters.variables().iter().map(|(_, variable)| flat(store.get(variable).unwrap())));
                results
            })
        };
        assert_eq!(on(1), on(5));
    }

    #[test]
    fn a_sample_is_the_same_in_a_batch_of_any_size() {
        let parameters = Parameters::new(5, DType::F32, &Device::Cpu);
        let body = Residual::<2>::new("body", &tiny(2, &[8, 16]), 3, [23, 18], &parameters).unwrap();
        let x = tensor(&[19, 3, 23, 18], 1).to_dtype(DType::F32).unwrap();
        let whole = body.forward(&x).unwrap();
        for (first, count) in [(0, 1), (3, 7), (4, 8), (17, 2)] {
            let part = body.forward(&x.narrow(0, first, count).unwrap()).unwrap();
            assert_eq!(flat(&part), flat(&whole.narrow(0, first, count).unwrap()), "{count} from {first}");
        }
    }

    #[test]
    fn one_graph_can_be_walked_twice_and_other_shapes_are_refused() {
        let config = tiny(2, &[8, 16]);
        let parameters = Parameters::new(5, DType::F64, &Device::Cpu);
        let body = Residual::<2>::new("body", &config, 3, [9, 9], &parameters).unwrap();
        let x = Var::from_tensor(&tensor(&[9, 3, 9, 9], 1)).unwrap();
        let y = body.forward(&x).unwrap();
        let walk = || flat(y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap());
        assert_eq!(walk(), walk());
        assert!(body.forward(&tensor(&[9, 4, 9, 9], 1)).is_err());
        assert!(body.forward(&tensor(&[9, 3, 9], 1)).is_err());
        assert!(body.stage(0, &tensor(&[9, 3, 9, 9], 1)).is_err());
    }

    #[test]
    fn roundings_of_another_precision_are_not_passed_over() {
        let plain = Parameters::new(5, DType::F32, &Device::Cpu);
        let config = tiny(2, &[8, 16]);
        let body = |parameters: &Parameters| Residual::<2>::new("body", &config, 2, [12, 12], parameters).unwrap();
        let (exact, rounded) = (body(&plain), body(&plain.with_precision(Precision::Bf16)));
        let x = tensor(&[8, 2, 12, 12], 1).to_dtype(DType::F32).unwrap();
        let rounded = [rounded.forward(&x).unwrap(), rounded.composed(true, &rounded.stages, &x).unwrap()];
        assert_eq!(flat(&rounded[0]), flat(&rounded[1]));
        assert_ne!(flat(&rounded[0]), flat(&exact.composed(true, &exact.stages, &x).unwrap()));
    }
}
