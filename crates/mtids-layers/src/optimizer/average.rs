//! Exponential moving average of the weights, and of the running statistics beside them: averaged weights give other maps.
//!
//! After update t (from 0) the average becomes a ← d a + (1 − d) p with d = min(decay, (1 + t) / (10 + t)), so that the first
//! weights, which are random, are soon forgotten (Polyak and Juditsky 1992; the rise of d is common practice). On a card one launch moves all
//! averages where they lie; elsewhere each is a new tensor of candle's operations.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use mtids_cuda::update::{Held, Rule};

use super::in_unit_range;
use super::state::{self, Counts};
use crate::device::at_once;
use crate::error::{LayerError, Result};
use crate::parameters::Parameters;

/// Averages that follow a set of parameters.
#[derive(Debug)]
pub struct WeightAverage {
    decay: f64,
    values: BTreeMap<String, [Tensor; 1]>,
    step: u64,
}

const KINDS: [&str; 1] = ["average"];

impl WeightAverage {
    /// Averages that start at the current values. `decay` is the share of the past, as 0.999.
    ///
    /// # Errors
    /// [`LayerError::Config`] for a decay outside `[0, 1)`.
    pub fn new(decay: f64, parameters: &Parameters) -> Result<Self> {
        in_unit_range("average.decay", decay)?;
        let copy = |(name, variable): (String, Var)| Ok((name, [variable.as_detached_tensor().copy()?]));
        let values: Result<BTreeMap<_, _>> = parameters.state().into_iter().map(copy).collect();
        Ok(Self { decay, values: values?, step: 0 })
    }

    /// Share of the past.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Updates taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// Takes in the current values.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] for a parameter that did not exist when the averages began.
    pub fn update(&mut self, parameters: &Parameters) -> Result<()> {
        let step = self.step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        let state = parameters.state();
        if state.iter().all(|(_, variable)| at_once(variable)) {
            self.move_at_once(state, decay)?;
            self.step += 1;
            return Ok(());
        }
        let mut values = BTreeMap::new();
        for (name, variable) in state {
            let [average] = self.average(&name)?;
            let value = variable.as_detached_tensor();
            let moved = (average + ((value - average)? * (1.0 - decay))?)?;
            values.insert(name, [moved]);
        }
        (self.values, self.step) = (values, self.step + 1);
        Ok(())
    }

    /// All averages towards the values, by one launch. Each is in memory of its own, which nothing else reads.
    fn move_at_once(&self, state: Vec<(String, Var)>, decay: f64) -> Result<()> {
        let held = |(name, variable): (String, Var)| {
            let [average] = self.average(&name)?;
            let source = variable.as_detached_tensor();
            Ok(Held { source, values: average.clone(), states: Vec::new(), factor: 1.0 })
        };
        let held: Vec<Held> = state.into_iter().map(held).collect::<Result<_>>()?;
        Ok(mtids_cuda::update::update(Rule::Average { decay }, &held)?)
    }

    /// Exchanges averages and values: once to evaluate with the averages, once more to train on.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] for a parameter that did not exist when the averages began.
    pub fn swap(&mut self, parameters: &Parameters) -> Result<()> {
        let mut values = BTreeMap::new();
        for (name, variable) in parameters.state() {
            self.average(&name)?;
            values.insert(name, [variable.as_detached_tensor().copy()?]);
        }
        for (name, variable) in parameters.state() {
            let [average] = self.average(&name)?;
            variable.set(average)?;
        }
        // What was recorded belongs to the values that were there.
        parameters.discard_statistics();
        self.values = values;
        Ok(())
    }

    fn average(&self, name: &str) -> Result<&[Tensor; 1]> {
        self.values
            .get(name)
            .ok_or_else(|| LayerError::Parameter { name: name.to_owned(), reason: "has no average".into() })
    }

    /// Averages and counter as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        state::to_bytes(&Counts::of_the_run(self.step), KINDS, &self.values)
    }

    /// Restores what [`WeightAverage::to_bytes`] gave, for the same parameters.
    ///
    /// # Errors
    /// [`LayerError::State`] for damaged bytes, [`LayerError::Parameter`] for averages that fit no parameter; then nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        let (counts, values) = state::from_bytes(bytes, KINDS, parameters.state(), parameters.device())?;
        if let Some((name, _)) = parameters.state().into_iter().find(|(name, _)| !values.contains_key(name)) {
            return Err(LayerError::Parameter { name, reason: "has no saved average".into() });
        }
        (self.step, self.values) = (counts.step, values);
        Ok(())
    }
}
