//! Whole training steps of the default backbone: forward, backward, clipping, AdamW; batch 32 of 12 × 44 × 44 patches, f32.
//!
//! Arguments: `slices` or `volume`; `ours` or `candle` (the same network of candle's own operations); how many steps are
//! timed. Prints one line of JSON: milliseconds of each step, processor time of a step over all threads, and the largest resident
//! memory of the process in MiB.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW as CandleAdamW, Module, Optimizer as _, ParamsAdamW};
use mtids_layers::activation::log_softmax;
use mtids_layers::linear::Linear;
use mtids_layers::optimizer::{Gradients, clip, global_norm};
use mtids_layers::{AdamW, AdamWConfig, Parameters};
use mtids_models::backbone::Backbone;
use mtids_models::{BackboneConfig, BackboneKind, BackboneSize, Mode};

const BATCH: usize = 32;
const INPUT: [usize; 4] = [1, 12, 44, 44];
const CLASSES: usize = 8;
const RATE: f64 = 1e-3;
const CLIP: f64 = 5.0;
/// Steps that warm caches and the thread pool.
const WARM_UP: usize = 3;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = match arguments.next().as_deref() {
        Some("volume") => BackboneKind::Volume,
        _ => BackboneKind::Slices,
    };
    let candle = arguments.next().as_deref() == Some("candle");
    let steps: usize = arguments.next().map_or(Ok(10), |argument| argument.parse())?;
    let [channels, depth, height, width] = INPUT;
    let x = Tensor::randn(0_f32, 1.0, (BATCH, channels, depth, height, width), &Device::Cpu)?;
    let labels: Vec<u32> = (0..BATCH).map(|sample| (sample % CLASSES) as u32).collect();
    let labels = Tensor::from_vec(labels, (BATCH, 1), &Device::Cpu)?;
    let mut step = if candle { plain(kind)? } else { ours(kind)? };
    let (mut times, mut processor) = (Vec::new(), 0.0);
    for round in 0..WARM_UP + steps {
        if round == WARM_UP {
            processor = processor_time()?;
        }
        let start = Instant::now();
        let loss = step(&x, &labels)?;
        anyhow::ensure!(loss.is_finite(), "the loss is not finite");
        if round >= WARM_UP {
            times.push(format!("{:.2}", start.elapsed().as_secs_f64() * 1e3));
        }
    }
    let processor = (processor_time()? - processor) / steps as f64;
    let (times, memory) = (times.join(", "), peak_memory()?);
    println!(r#"{{"milliseconds": [{times}], "processor_ms": {processor:.2}, "memory_mib": {memory}}}"#);
    Ok(())
}

type Step = Box<dyn FnMut(&Tensor, &Tensor) -> Result<f32>>;

/// Largest resident memory in MiB, as Linux counts it.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

/// Milliseconds that all threads have spent on processors, as Linux counts them: unlike wall time it does not include
/// waiting for a processor that others use.
fn processor_time() -> Result<f64> {
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let counts = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += counts.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e6)
}

fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(log_softmax(logits)?.gather(labels, D::Minus1)?.mean_all()?.neg()?)
}

fn ours(kind: BackboneKind) -> Result<Step> {
    let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
    let backbone = Backbone::new("trunk", &BackboneConfig::sized(kind, BackboneSize::Small), INPUT, &parameters)?;
    let head = Linear::new("head", 64, CLASSES, 1.0, &parameters)?;
    let mut optimizer = AdamW::new(&AdamWConfig::default())?;
    Ok(Box::new(move |x, labels| {
        let loss = cross_entropy(&head.forward(&backbone.forward(x, Mode::Train { seed: 1, step: 0 })?)?, labels)?;
        let store = loss.backward()?;
        let mut gradients: Gradients = parameters
            .variables()
            .into_iter()
            .filter_map(|(name, variable)| Some((name, store.get(&variable)?.clone())))
            .collect();
        let norm = global_norm(&gradients)?;
        clip(&mut gradients, norm, CLIP)?;
        optimizer.step(&parameters, &gradients, RATE)?;
        Ok(loss.to_scalar()?)
    }))
}

/// Makes variables and keeps them for the optimiser.
struct Maker(Vec<Var>);

impl Maker {
    fn normal(&mut self, shape: &[usize], deviation: f32) -> Result<Tensor> {
        let variable = Var::randn(0_f32, deviation, shape, &Device::Cpu)?;
        self.0.push(variable.clone());
        Ok(variable.as_tensor().clone())
    }

    fn constant(&mut self, size: usize, value: f32) -> Result<Tensor> {
        let variable = Var::from_tensor(&Tensor::full(value, size, &Device::Cpu)?)?;
        self.0.push(variable.clone());
        Ok(variable.as_tensor().clone())
    }
}

/// Convolution, group norm and rectifier of candle's own operations.
struct PlainUnit {
    weight: Tensor,
    norm: candle_nn::GroupNorm,
    stride: [usize; 3],
    rectify: bool,
}

impl PlainUnit {
    fn new(
        maker: &mut Maker,
        from: usize,
        to: usize,
        kernel: [usize; 3],
        stride: [usize; 3],
        rectify: bool,
    ) -> Result<Self> {
        let [kd, kh, kw] = kernel;
        let deviation = (2.0 / (from * kd * kh * kw) as f32).sqrt();
        let weight = maker.normal(&[to, from, kd, kh, kw], deviation)?;
        let norm = candle_nn::GroupNorm::new(maker.constant(to, 1.0)?, maker.constant(to, 0.0)?, to, 8, 1e-5)?;
        Ok(Self { weight, norm, stride, rectify })
    }

    /// `[B, C, D, H, W]`; in 2.5 dimensions D = 1. Along depth a sum of planar convolutions, candle having no other way.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let taps = self.weight.dim(2)?;
        let (batch, channels, depth, height, width) = x.dims5()?;
        let (padding, stride) = (self.weight.dim(3)? / 2, self.stride[1]);
        let planar = |x: &Tensor, tap: usize| -> Result<Tensor> {
            let weight = self.weight.narrow(2, tap, 1)?.squeeze(2)?.contiguous()?;
            Ok(x.conv2d(&weight, padding, stride, 1, 1)?)
        };
        let y = if depth == 1 && taps == 1 {
            planar(&x.squeeze(2)?, 0)?.unsqueeze(2)?
        } else {
            let slices = (depth + 2 * (taps / 2) - taps) / self.stride[0] + 1;
            let padded = x.pad_with_zeros(2, taps / 2, taps / 2)?;
            let mut sum: Option<Tensor> = None;
            for tap in 0..taps {
                let met: Vec<u32> = (0..slices).map(|slice| (slice * self.stride[0] + tap) as u32).collect();
                let met = padded.index_select(&Tensor::from_vec(met, slices, x.device())?, 2)?;
                let folded = met.transpose(1, 2)?.contiguous()?.reshape((batch * slices, channels, height, width))?;
                let y = planar(&folded, tap)?;
                sum = Some(sum.map_or_else(|| Ok(y.clone()), |sum| sum + &y)?);
            }
            let sum = sum.context("a kernel without taps")?;
            let (_, outputs, height, width) = sum.dims4()?;
            sum.reshape((batch, slices, outputs, height, width))?.transpose(1, 2)?.contiguous()?
        };
        let y = self.norm.forward(&y)?;
        Ok(if self.rectify { y.relu()? } else { y })
    }
}

fn plain(kind: BackboneKind) -> Result<Step> {
    let mut maker = Maker(Vec::new());
    let volume = kind == BackboneKind::Volume;
    let [_, slices, height, width] = INPUT;
    let (from, mut size) = if volume { (1, [slices, height, width]) } else { (slices, [1, height, width]) };
    let kernel = |side: usize| [if volume { side } else { 1 }, side, side];
    let mut shrink = |stride: usize| {
        let stride = [if volume && size[0] >= 4 { stride } else { 1 }, stride, stride];
        for (size, stride) in size.iter_mut().zip(stride) {
            *size = (*size - 1) / stride + 1;
        }
        stride
    };
    let stem = PlainUnit::new(&mut maker, from, 24, kernel(3), shrink(2), true)?;
    let mut blocks = Vec::new();
    for (stage, (from, to)) in [(24, 24), (24, 48), (48, 96)].into_iter().enumerate() {
        let stride = if stage > 0 { shrink(2) } else { [1; 3] };
        let first = PlainUnit::new(&mut maker, from, to, kernel(3), stride, true)?;
        let second = PlainUnit::new(&mut maker, to, to, kernel(3), [1; 3], true)?;
        let shortcut =
            if stage > 0 { Some(PlainUnit::new(&mut maker, from, to, kernel(1), stride, false)?) } else { None };
        blocks.push((first, second, shortcut));
    }
    let cells = if volume { 27 } else { 9 };
    let matrix = mtids_layers::pool::GridPool::new(
        if volume { &size } else { &size[1..] },
        3,
        mtids_layers::pool::GridPooling::Average,
        DType::F32,
        &Device::Cpu,
    )?;
    let features = candle_nn::Linear::new(maker.normal(&[64, 96 * cells], 0.03)?, Some(maker.constant(64, 0.0)?));
    let head = candle_nn::Linear::new(maker.normal(&[CLASSES, 64], 0.1)?, Some(maker.constant(CLASSES, 0.0)?));
    let mut optimizer = CandleAdamW::new(maker.0.clone(), ParamsAdamW { lr: RATE, ..ParamsAdamW::default() })?;
    Ok(Box::new(move |x, labels| {
        let x = if volume { x.clone() } else { x.reshape((BATCH, slices, 1, height, width))? };
        let mut map = stem.forward(&x)?;
        for (first, second, shortcut) in &blocks {
            let long = second.forward(&first.forward(&map)?)?;
            map = match shortcut {
                Some(shortcut) => (shortcut.forward(&map)? + long)?,
                None => (map + long)?,
            };
        }
        let map = if volume { map } else { map.squeeze(2)? };
        let z = features.forward(&matrix.forward(&map)?.flatten_from(1)?)?;
        let loss = cross_entropy(&head.forward(&z)?, labels)?;
        optimizer.backward_step(&loss)?;
        Ok(loss.to_scalar()?)
    }))
}
