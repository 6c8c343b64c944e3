//! The backbone: a compact residual network from a patch to features, in 2.5 or in three dimensions.
//!
//! Purpose: `[B, C, D, H, W]` to features `[B, d]`. Layout: stem convolution, then one stage per width (the first without, the
//! others with halving) of two-convolution blocks (`mtids_layers::residual`), pooling on a coarse grid, and one of three ends
//! ([`Finish`]). In 2.5 dimensions windows and slices become channels, so that each convolution sees the
//! whole depth at once; in three, windows are channels. Invariant: samples of a batch influence each other only through batch
//! norm in training.

mod config;
mod keys;

use candle_core::Tensor;

pub use config::{BackboneConfig, BackboneKind, BackboneSize, Finish, NormKind};
pub use keys::BackboneKeys;

use crate::error::{ModelError, Result, config_error};
use crate::types::Mode;
use mtids_layers::linear::Linear;
use mtids_layers::norm::LayerNorm;
use mtids_layers::parameters::Parameters;
use mtids_layers::pool::GridPool;
use mtids_layers::residual::Residual;

#[derive(Clone, Debug)]
enum Body {
    Slices(Residual<2>),
    Volume(Residual<3>),
}

/// A backbone: stem, stages, and the way from the last map to features. The parts are also callable one by one, so that
/// methods with shared and task-specific stages can mix maps between them. Maps are `[B, C, H, W]` in 2.5 dimensions and
/// `[B, C, D, H, W]` in three.
#[derive(Clone, Debug)]
pub struct Backbone {
    input: [usize; 4],
    body: Body,
    channels: Vec<usize>,
    pool: GridPool,
    end: End,
}

/// What is done with the pooled map.
#[derive(Clone, Debug)]
enum End {
    Normalised(Linear, LayerNorm),
    Rectified(Linear),
    Pooled,
}

impl Backbone {
    /// Builds a backbone for inputs of shape `[C, D, H, W]`, any number of channels; parameters are named `<prefix>.*`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for bad settings or an input too small for them.
    pub fn new(prefix: &str, config: &BackboneConfig, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        config.validate("backbone")?;
        if input.contains(&0) {
            return Err(config_error("backbone", format!("input shape {input:?} has an empty axis")));
        }
        let [windows, depth, height, width] = input;
        let stages = config.stages();
        let body = match config.kind {
            BackboneKind::Slices => {
                Body::Slices(Residual::new(prefix, &stages, windows * depth, [height, width], parameters)?)
            }
            BackboneKind::Volume => {
                Body::Volume(Residual::new(prefix, &stages, windows, [depth, height, width], parameters)?)
            }
        };
        let size = match &body {
            Body::Slices(body) => body.size(),
            Body::Volume(body) => body.size(),
        };
        let grid = config.pool_grid;
        if size.iter().any(|length| *length < grid) {
            let reason = format!("the final map is {size:?}, smaller than {grid} cells per side");
            return Err(config_error("backbone.pool_grid", reason));
        }
        let pool = GridPool::new(size, grid, config.pooling, parameters.dtype(), parameters.device())?;
        let linear = |gain| -> Result<Linear> {
            Ok(Linear::new(&format!("{prefix}.features"), config.pooled(), config.features, gain, parameters)?)
        };
        let end = match config.finish {
            Finish::Normalised => {
                let norm = LayerNorm::new(&format!("{prefix}.features.norm"), config.features, parameters)?;
                End::Normalised(linear(1.0)?, norm)
            }
            Finish::Rectified => End::Rectified(linear(std::f64::consts::SQRT_2)?),
            Finish::None => End::Pooled,
        };
        Ok(Self { input, body, channels: config.widths.clone(), pool, end })
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.channels.len()
    }

    /// Channels of the map behind a stage; 0 for a stage that does not exist.
    pub fn stage_channels(&self, stage: usize) -> usize {
        self.channels.get(stage).copied().unwrap_or(0)
    }

    /// `[B, C, D, H, W]` to the map before the first stage.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the input is not of the shape the backbone was built for.
    pub fn stem(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let batch = self.batch(x)?;
        Ok(match &self.body {
            Body::Slices(body) => body.stem(&self.slices_as_channels(x, batch)?, mode.phase())?,
            Body::Volume(body) => body.stem(x, mode.phase())?,
        })
    }

    /// Samples of an input of the right shape.
    fn batch(&self, x: &Tensor) -> Result<usize> {
        let [windows, depth, height, width] = self.input;
        match x.dims() {
            [batch, rest @ ..] if rest == self.input && *batch > 0 => Ok(*batch),
            other => Err(ModelError::Shape {
                what: "input",
                found: other.to_vec(),
                expected: format!("[B, {windows}, {depth}, {height}, {width}]"),
            }),
        }
    }

    fn slices_as_channels(&self, x: &Tensor, batch: usize) -> Result<Tensor> {
        let [windows, depth, height, width] = self.input;
        Ok(x.reshape((batch, windows * depth, height, width))?)
    }

    /// One stage: from the map of the stage before (stage 0: of the stem) to its own.
    ///
    /// # Errors
    /// [`mtids_layers::LayerError::Config`] for a stage that does not exist; when the shape does not fit.
    pub fn stage(&self, stage: usize, map: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(match &self.body {
            Body::Slices(body) => body.stage(stage, map, mode.phase())?,
            Body::Volume(body) => body.stage(stage, map, mode.phase())?,
        })
    }

    /// The last stage's map to features `[B, d]`: pooling, then the backbone's end.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn finish(&self, map: &Tensor) -> Result<Tensor> {
        let pooled = self.pool.forward(map)?.flatten_from(1)?;
        Ok(match &self.end {
            End::Normalised(linear, norm) => norm.forward(&linear.forward(&pooled)?)?,
            End::Rectified(linear) => linear.forward(&pooled)?.relu()?,
            End::Pooled => pooled,
        })
    }

    /// All parts in order: `[B, C, D, H, W]` to `[B, d]`.
    ///
    /// # Errors
    /// As [`Backbone::stem`].
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let batch = self.batch(x)?;
        let map = match &self.body {
            Body::Slices(body) => body.forward(&self.slices_as_channels(x, batch)?, mode.phase())?,
            Body::Volume(body) => body.forward(x, mode.phase())?,
        };
        self.finish(&map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn input(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|n| ((n * 7919 + 5) as f64 * 0.618_033_988_75).fract() - 0.5).collect::<Vec<_>>();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
        tensor.to_vec2().unwrap()
    }

    #[test]
    fn parts_in_order_are_the_whole_and_names_carry_the_prefix() {
        for (kind, shape, grid) in
            [(BackboneKind::Slices, [1, 2, 16, 16], 2), (BackboneKind::Volume, [3, 5, 16, 12], 2)]
        {
            let parameters = Parameters::new(3, DType::F64, &Device::Cpu);
            let tiny = BackboneConfig::sized(kind, BackboneSize::Tiny);
            let config = BackboneConfig { pool_grid: grid, features: 5, ..tiny };
            let backbone = Backbone::new("twig", &config, shape, &parameters).unwrap();
            assert!(parameters.variables().iter().all(|(name, _)| name.starts_with("twig.")));
            let x = input(&[&[2][..], &shape].concat());
            let mut map = backbone.stem(&x, Mode::Evaluate).unwrap();
            for stage in 0..backbone.stages() {
                map = backbone.stage(stage, &map, Mode::Evaluate).unwrap();
                assert_eq!(map.dim(1).unwrap(), backbone.stage_channels(stage));
            }
            let whole = rows(&backbone.forward(&x, Mode::Evaluate).unwrap());
            assert_eq!(rows(&backbone.finish(&map).unwrap()), whole);
            assert!(backbone.stage(2, &map, Mode::Evaluate).is_err());
            // Samples do not influence each other.
            let alone = rows(&backbone.forward(&x.narrow(0, 1, 1).unwrap(), Mode::Evaluate).unwrap());
            assert!(alone[0].iter().zip(&whole[1]).all(|(a, b)| (a - b).abs() < 1e-10));
        }
    }

    #[test]
    fn every_parameter_of_every_kind_and_size_is_reached_by_a_gradient() {
        use BackboneSize::{Resnet18, Small, Tiny};
        for (kind, size, shape) in [
            (BackboneKind::Slices, Small, [2, 3, 48, 48]),
            (BackboneKind::Slices, Resnet18, [1, 3, 32, 32]),
            (BackboneKind::Volume, Tiny, [1, 4, 16, 16]),
            (BackboneKind::Volume, Small, [2, 24, 24, 24]),
        ] {
            let parameters = Parameters::new(3, DType::F32, &Device::Cpu);
            let backbone = Backbone::new("trunk", &BackboneConfig::sized(kind, size), shape, &parameters).unwrap();
            let x = input(&[&[1][..], &shape].concat()).to_dtype(DType::F32).unwrap();
            let z = backbone.forward(&x, Mode::Evaluate).unwrap();
            let target = input(z.dims()).to_dtype(DType::F32).unwrap();
            let store = (z - target).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (name, variable) in parameters.variables() {
                let gradient = store.get(&variable).unwrap_or_else(|| panic!("{name} has no gradient"));
                let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(largest > 0.0 && largest.is_finite(), "{kind:?} {size:?} {name}: {largest}");
            }
        }
    }

    #[test]
    fn an_input_too_small_is_refused_by_name() {
        let parameters = Parameters::new(3, DType::F32, &Device::Cpu);
        let error = Backbone::new("trunk", &BackboneConfig::default(), [1, 3, 16, 16], &parameters).unwrap_err();
        assert!(error.to_string().contains("backbone.pool_grid"), "{error}");
    }

    #[test]
    fn names_of_parameters_are_those_of_saved_checkpoints() {
        let parameters = Parameters::new(3, DType::F32, &Device::Cpu);
        let config = BackboneConfig { widths: vec![8, 16], pool_grid: 1, ..BackboneConfig::default() };
        Backbone::new("trunk", &config, [1, 3, 16, 16], &parameters).unwrap();
        let names: Vec<String> = parameters.variables().into_iter().map(|(name, _)| name).collect();
        let mut expected = vec!["trunk.features.bias".to_owned(), "trunk.features.weight".into()];
        let norms = |unit: &str| ["scale", "shift"].map(|part| format!("trunk.{unit}.norm.{part}"));
        expected.extend(norms("features"));
        for unit in ["stem", "stage0.block0.first", "stage0.block0.second", "stage1.block0.first"] {
            expected.push(format!("trunk.{unit}.conv.weight"));
            expected.extend(norms(unit));
        }
        for unit in ["stage1.block0.second", "stage1.block0.shortcut"] {
            expected.push(format!("trunk.{unit}.conv.weight"));
            expected.extend(norms(unit));
        }
        expected.sort();
        assert_eq!(names, expected);
    }
}
