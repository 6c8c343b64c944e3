//! The transform of one dataset under one configuration: a batch of stored views becomes one tensor per view.
//!
//! Invariant: a row is prepared by itself, so it has the same bits whichever thread prepares it. For a GPU the rows of a batch are prepared on all
//! processors, which have nothing else to do there; for the CPU one after the other, since the current step computes on them.

use std::collections::BTreeMap;

use mtids_layers::{Device, Tensor};
use mtids_models::{ModelError, ViewInput};
use mtids_onnx::StoredView;
use mtids_patch::{SUV_STEPS, View, ViewName};
use mtids_shards::DatasetDescription;
use mtids_stream::{Batch, Voxels};
use rayon::prelude::*;

use super::crop::CropConfig;
use super::key::AugmentKey;
use super::settings::{InputConfig, has_own_defaults};
use super::symmetry::Symmetry;
use super::view::{Scratch, Turn, ViewTransform};
use crate::config::TrainConfig;
use crate::error::TrainError;

/// How the rows of one dataset become input under one configuration.
#[derive(Clone, Debug)]
pub(crate) struct InputTransform {
    views: Vec<ViewTransform>,
    seed: u64,
    /// Symmetries over which an evaluation averages.
    averaged: Vec<Symmetry>,
}

impl InputTransform {
    /// The transform of a configuration for a dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a view that the dataset does not have, and settings that its views do not allow.
    pub(crate) fn new(config: &TrainConfig, description: &DatasetDescription) -> Result<Self, TrainError> {
        let stored: &[View] = &description.views;
        let names: Vec<&str> = stored.iter().map(|view| view.name.as_str()).collect();
        if let Some(unknown) = config.inputs.keys().find(|name| !names.contains(&name.as_str())) {
            let reason = format!("the views of this dataset are {}", names.join(", "));
            return Err(TrainError::setting(format!("inputs.{unknown}"), reason));
        }
        if config.crop != CropConfig::default() && stored.iter().all(|view| has_own_defaults(&view.name)) {
            let reason = format!(
                "of no effect on the views {}; set [inputs.{}]",
                names.join(", "),
                names.join("] and [inputs.")
            );
            return Err(TrainError::setting("crop", reason));
        }
        let silent = InputConfig::default();
        let pet_full = config.pet.then_some(config.pet_full_suv * SUV_STEPS as f32);
        let transform = |view: &View| {
            let settings = config.inputs.get(&view.name).unwrap_or(&silent);
            ViewTransform::new(settings, view, &config.crop, &config.windows, pet_full)
        };
        let views = stored.iter().map(transform).collect::<Result<Vec<_>, _>>()?;
        let most = views.iter().map(ViewTransform::symmetries).max().unwrap_or(1);
        let averaged = config.test_symmetries.unwrap_or(if most > 1 { 4 } else { 1 });
        if averaged > most {
            let reason = format!("at most {most}: so many symmetries the views of this dataset take in training");
            return Err(TrainError::setting("test_symmetries", reason));
        }
        Ok(Self { views, seed: config.seed, averaged: Symmetry::averaged(averaged) })
    }

    /// Name and shape of the input of each view, in the order of the dataset.
    pub(crate) fn inputs(&self) -> Vec<ViewInput> {
        self.views.iter().map(ViewTransform::input).collect()
    }

    /// The settings of the views whose defaults depend on their names, with nothing left open.
    pub(crate) fn written_out(&self) -> BTreeMap<ViewName, InputConfig> {
        self.views.iter().filter_map(ViewTransform::written_out).collect()
    }

    /// Number of symmetries over which an evaluation averages.
    pub(crate) fn averaged(&self) -> usize {
        self.averaged.len()
    }

    /// What an evaluation does with the stored voxels of each view before the network.
    pub(crate) fn stored_views(&self) -> Vec<StoredView> {
        self.views.iter().map(ViewTransform::stored_view).collect()
    }

    /// The symmetries over which an evaluation averages, the identity first.
    pub(crate) fn turns(&self) -> Vec<mtids_onnx::Turn> {
        let turn = |&Symmetry { flips, transposes }: &Symmetry| mtids_onnx::Turn { flips, transposes };
        self.averaged.iter().map(turn).collect()
    }

    /// Inputs of a batch in an epoch of a training: `[B, C, d, h, w]` per view.
    ///
    /// # Errors
    /// [`TrainError::Network`] where a device has no room.
    pub(crate) fn training(&self, batch: &Batch, epoch: u64, device: &Device) -> Result<Vec<Tensor>, TrainError> {
        self.tensors(batch, device, |sample, copy| Turn::Drawn(AugmentKey { seed: self.seed, epoch, sample, copy }))
    }

    /// Inputs of a batch in an evaluation, once per symmetry that is averaged over. A view that keeps its orientation is the same tensor in all.
    ///
    /// # Errors
    /// As [`InputTransform::training`].
    pub(crate) fn evaluation(&self, batch: &Batch, device: &Device) -> Result<Vec<Vec<Tensor>>, TrainError> {
        let identity = self.tensors(batch, device, |_, _| Turn::Fixed(Symmetry::default()))?;
        let turned = |&symmetry: &Symmetry| {
            let views = self.views.iter().zip(&batch.views).zip(&identity);
            let one = |((view, voxels), same): ((&ViewTransform, &Voxels), &Tensor)| match view.symmetries() {
                1 => Ok(same.clone()),
                _ => self.tensor(view, voxels, batch, device, |_, _| Turn::Fixed(symmetry)),
            };
            views.map(one).collect::<Result<Vec<_>, _>>()
        };
        let others = self.averaged.iter().skip(1).map(turned).collect::<Result<Vec<_>, _>>()?;
        Ok(std::iter::once(identity).chain(others).collect())
    }

    /// By how much the image of a sample, drawn for the `copy`-th time, is larger than the stored one while training.
    pub(crate) fn enlargement(&self, epoch: u64, sample: &str, copy: u32) -> f64 {
        let key = AugmentKey { seed: self.seed, epoch, sample, copy };
        // One view at most is enlarged.
        self.views.iter().map(|view| view.enlargement(&key)).product()
    }

    fn tensors<'b>(
        &self,
        batch: &'b Batch,
        device: &Device,
        turn: impl Fn(&'b str, u32) -> Turn<'b> + Sync,
    ) -> Result<Vec<Tensor>, TrainError> {
        let views = self.views.iter().zip(&batch.views);
        views.map(|(view, voxels)| self.tensor(view, voxels, batch, device, &turn)).collect()
    }

    fn tensor<'b>(
        &self,
        view: &ViewTransform,
        voxels: &[i16],
        batch: &'b Batch,
        device: &Device,
        turn: impl Fn(&'b str, u32) -> Turn<'b> + Sync,
    ) -> Result<Tensor, TrainError> {
        let [channels, d, h, w] = view.input().shape;
        let input = rows(view, voxels, batch, device.is_cuda(), turn);
        Ok(Tensor::from_vec(input, (batch.labels.len(), channels, d, h, w), device).map_err(ModelError::from)?)
    }
}

/// The inputs of all rows of a batch, one behind the other; prepared by several threads, or by this one.
fn rows<'b>(
    view: &ViewTransform,
    voxels: &[i16],
    batch: &'b Batch,
    by_several: bool,
    turn: impl Fn(&'b str, u32) -> Turn<'b> + Sync,
) -> Vec<f32> {
    let entries: usize = view.input().shape.iter().product();
    let rows = batch.labels.len();
    let stored = view.row_len().max(1);
    // A batch that is not whole has no place for each row; the tensor is refused behind it.
    if by_several && voxels.len() == rows * stored && batch.copies.len() == rows {
        let mut input = vec![0.0; rows * entries];
        let places = input.par_chunks_exact_mut(entries.max(1)).zip(voxels.par_chunks_exact(stored));
        let drawn = batch.labels.par_iter().zip(&batch.copies);
        // A row is appended to a list of the thread, and has its place in the input by its number.
        let own = || (Scratch::default(), Vec::with_capacity(entries));
        places.zip(drawn).for_each_init(own, |(scratch, row), ((place, voxels), (labels, &copy))| {
            row.clear();
            view.append(voxels, turn(&labels.sample_key, copy), scratch, row);
            place.copy_from_slice(row);
        });
        return input;
    }
    let mut input = Vec::with_capacity(rows * entries);
    let mut scratch = Scratch::default();
    for ((labels, &copy), voxels) in batch.labels.iter().zip(&batch.copies).zip(voxels.chunks_exact(stored)) {
        view.append(voxels, turn(&labels.sample_key, copy), &mut scratch, &mut input);
    }
    input
}

#[cfg(test)]
mod tests;
