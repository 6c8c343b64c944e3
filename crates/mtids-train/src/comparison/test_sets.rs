//! The test patients of a comparison: of the datasets that are at hand, or as records tell them.
//!
//! Invariants: where results are made of records alone, nothing on record is replaced; settings are chosen on no test patient of a reported dataset.

use std::collections::BTreeMap;

use mtids_report::format::counted;
use mtids_runtime::digest::Digest;
use mtids_shards::Dataset;

use super::cells;
use super::dataset::RecordedDataset;
use super::grid::Grid;
use super::nodes::{KeyedNodes, Nodes};
use super::overlap;
use super::places::Places;
use super::record::Records;
use crate::error::TrainError;
use crate::folds::in_fold;

/// Test nodes and digests, by name.
#[derive(Debug, Default)]
pub(super) struct TestSets {
    /// Digests by which records name the datasets, as far as datasets or nodes on record tell them.
    pub(super) digests: BTreeMap<String, Digest>,
    /// Digests of the datasets that are at hand, as runs on them have noted them.
    pub(super) at_hand: BTreeMap<String, Digest>,
    /// Test nodes by set.
    pub(super) nodes: BTreeMap<String, Nodes>,
    /// Keys of the samples of each set whose dataset is at hand.
    pub(super) keys: BTreeMap<String, Vec<String>>,
}

impl TestSets {
    /// Reads datasets and records, and writes the nodes of datasets that are not on record, unless results are of records only.
    ///
    /// # Errors
    /// [`TrainError::Argument`] for a dataset that is missing, of another comparison, or chosen on; those of datasets and records.
    pub(super) fn open(
        grid: &Grid,
        places: &Places,
        records: &Records,
        records_only: bool,
    ) -> Result<Self, TrainError> {
        let (mut sets, mut datasets, mut new) = (Self::default(), BTreeMap::new(), Vec::new());
        let is_tuned_apart = cells::is_tuned(grid) && grid.folds.is_none();
        let tuning = grid.tuning.iter().filter(|_| is_tuned_apart).map(|tuning| &tuning.dataset);
        for name in grid.datasets.iter().chain(tuning) {
            let is_reported = grid.datasets.contains(name);
            match places.datasets.get(name) {
                Some(path) => {
                    let dataset = mtids_store::open_dataset(path)?;
                    let known = records.datasets(name)?;
                    let found = RecordedDataset::of(dataset.manifest(), &known);
                    sets.digests.insert(name.clone(), found.dataset_digest);
                    sets.at_hand.insert(name.clone(), dataset.manifest().digest());
                    if !records_only && !known.contains(&found) {
                        new.push((name, [known, vec![found]].concat()));
                    }
                    datasets.insert(name, dataset.clone());
                    if is_reported {
                        sets.read(grid, name, &dataset, places, records, records_only)?;
                    }
                }
                None if records_only && is_reported => sets.recall(grid, name, records)?,
                None if records_only => {}
                None => {
                    let reason = format!("where is `{name}`? give --dataset {name}=DIR");
                    return Err(TrainError::argument("--dataset", reason));
                }
            }
        }
        let twin = grid.tuning.iter().filter(|_| is_tuned_apart).find_map(|tuning| {
            let digest = sets.digests.get(&tuning.dataset)?;
            grid.datasets.iter().find(|name| sets.digests.get(*name) == Some(digest))
        });
        if let Some(name) = twin {
            let reason = format!("it is the dataset that is reported as `{name}`; choose settings on other patients");
            return Err(TrainError::argument("--dataset", reason));
        }
        let chosen_on = grid.tuning.iter().filter(|_| is_tuned_apart).find_map(|tuning| datasets.get(&tuning.dataset));
        for name in &grid.datasets {
            let (Some(reported), Some(tuning)) = (datasets.get(name), chosen_on) else { continue };
            let shared = overlap::patients(reported, tuning)?;
            if shared > 0 {
                let patients = counted(shared as u64, "test patient", "test patients");
                let reason =
                    format!("settings would be chosen on {patients} of `{name}`; choose them on other patients");
                return Err(TrainError::argument("--dataset", reason));
            }
        }
        let is_known =
            |name: &String| sets.digests.contains_key(name) || grid.tuning.iter().any(|tuning| tuning.dataset == *name);
        if let Some(stranger) = places.datasets.keys().find(|name| !is_known(name)) {
            return Err(TrainError::argument("--dataset", format!("`{stranger}` is no dataset of the grid")));
        }
        new.iter().try_for_each(|(name, datasets)| records.put_datasets(name, datasets))?;
        Ok(sets)
    }

    /// The test nodes of a dataset that is at hand.
    fn read(
        &mut self,
        grid: &Grid,
        name: &str,
        dataset: &Dataset,
        places: &Places,
        records: &Records,
        records_only: bool,
    ) -> Result<(), TrainError> {
        let path = &places.datasets[name];
        let digest = self.digests[name];
        for (set, fold) in cells::test_sets(grid, name) {
            let keyed = KeyedNodes::of(in_fold(dataset.clone(), fold)?.as_ref(), digest, fold, path)?;
            let known = records.nodes(&set)?;
            let digests = |nodes: &Nodes| (nodes.dataset_digest, nodes.nodes_digest);
            let is_other = known.as_ref().is_some_and(|known| digests(known) != digests(&keyed.nodes));
            if is_other && records_only {
                // Results are made of what is on record, so nothing there is replaced for them.
                let (path, records) = (path.display(), places.records.display());
                let reason = format!("{path} is not the dataset whose records are in {records}");
                return Err(TrainError::argument("--dataset", reason));
            }
            if is_other {
                tracing::warn!("the records of `{set}` are of another dataset; they are not used");
            }
            if !records_only && known.as_ref() != Some(&keyed.nodes) {
                records.put_nodes(&set, &keyed.nodes)?;
            }
            self.nodes.insert(set.clone(), keyed.nodes);
            self.keys.insert(set, keyed.keys);
        }
        Ok(())
    }

    /// The test nodes of a dataset as records tell them.
    fn recall(&mut self, grid: &Grid, name: &str, records: &Records) -> Result<(), TrainError> {
        for (set, fold) in cells::test_sets(grid, name) {
            let Some(known) = records.nodes(&set)? else { continue };
            // Records of an earlier version do not say of how many folds they are.
            if known.cross_validation.is_some() && known.cross_validation != fold {
                let reason = "its patients were dealt to other folds; give --folds and --repeats as before";
                return Err(TrainError::argument("--folds", format!("records of `{set}`: {reason}")));
            }
            self.digests.insert(name.to_owned(), known.dataset_digest);
            self.nodes.insert(set, known);
        }
        Ok(())
    }

    /// Whether a dataset may be the one that trials were trained on: not one that is reported.
    pub(super) fn may_tune(&self, grid: &Grid, digest: Digest) -> bool {
        let reported = |name: &String| self.digests.get(name) == Some(&digest);
        grid.folds.is_some() || !grid.datasets.iter().any(reported)
    }
}
