//! Streams over the folds of a cross-validation.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_shards::{CrossValidation, Dataset, Split};
use mtids_stream::{Balance, BatchStream, Filter, SampleTable, SamplingConfig, StreamError};
use support::{Shape, dataset, labels, number};

const SHAPE: Shape = Shape { shards: 4, rows_per_shard: 15, rows_per_group: 4, near: [1, 2, 2] };

fn in_fold(folds: u32, fold: u32) -> Arc<Dataset> {
    let fold = CrossValidation { folds, fold, ..CrossValidation::default() };
    Arc::new(Dataset::clone(&dataset(SHAPE, labels)).in_fold(fold).unwrap())
}

fn rows(stream: BatchStream) -> Vec<(usize, String, Split)> {
    let labels = stream.flat_map(|batch| batch.unwrap().labels);
    labels.map(|row| (number(&row), row.patient_key.to_string(), row.split)).collect()
}

#[test]
fn each_row_comes_once_in_the_split_of_its_fold() {
    let mut tested = BTreeMap::new();
    for fold in 0..5 {
        let dataset = in_fold(5, fold);
        let index: BTreeMap<usize, Split> =
            dataset.index().unwrap().iter().map(|row| (number(row), row.split)).collect();
        let mut seen = BTreeSet::new();
        let mut patients = BTreeSet::new();
        for split in Split::ALL {
            let found =
                rows(BatchStream::builder(Arc::clone(&dataset), split).batch_size(7).shuffle(1, 0).start().unwrap());
            assert!(found.iter().all(|(row, _, of_row)| *of_row == split && index[row] == split));
            assert!(found.iter().all(|(row, _, _)| seen.insert(*row)), "a row twice");
            let own: BTreeSet<String> = found.iter().map(|(_, patient, _)| patient.clone()).collect();
            assert!(own.is_disjoint(&patients), "a patient in two splits");
            patients.extend(own);
            if split == Split::Test {
                found.iter().for_each(|(row, _, _)| *tested.entry(*row).or_insert(0) += 1);
            }
            let mut unshuffled = rows(BatchStream::builder(Arc::clone(&dataset), split).batch_size(7).start().unwrap());
            assert!(unshuffled.is_sorted(), "without shuffling rows come in the order of the dataset");
            unshuffled.retain(|row| !found.contains(row));
            assert!(unshuffled.is_empty());
        }
        assert_eq!(seen.len(), SHAPE.rows());
    }
    assert_eq!((tested.len(), tested.values().max()), (SHAPE.rows(), Some(&1)), "each row is tested in one fold");
}

#[test]
fn a_fold_is_resumed_sampled_and_filtered_like_a_split() {
    let dataset = in_fold(3, 1);
    let sampling = SamplingConfig {
        balance: Balance::Patient,
        filter: Filter { metastasis_known: true, ..Default::default() },
        ..Default::default()
    };
    let builder = || {
        BatchStream::builder(Arc::clone(&dataset), Split::Train).sampling(sampling.clone()).batch_size(4).shuffle(5, 2)
    };
    let whole = rows(builder().start().unwrap());
    assert!(whole.iter().all(|(row, _, split)| *split == Split::Train && row.is_multiple_of(2)));
    for batch in 0..whole.len() / 4 {
        assert_eq!(rows(builder().start_batch(batch as u64).start().unwrap()), whole[4 * batch..]);
    }
    let other = in_fold(3, 2);
    let digest = |dataset: &Arc<Dataset>| SampleTable::every_row(Arc::clone(dataset), Split::Train).unwrap().digest();
    assert_ne!(digest(&dataset), digest(&other), "a position in one fold is none in another");
}

#[test]
fn a_fold_without_patients_says_so() {
    // Twenty patients in thirty folds: some hold nobody.
    let empty = (0..30).map(|fold| in_fold(30, fold)).find(|dataset| dataset.shards(Split::Test).next().is_none());
    let error = BatchStream::builder(empty.unwrap(), Split::Test).start().map(|_| ()).unwrap_err();
    assert!(matches!(error, StreamError::NoRows { .. }), "{error}");
}
