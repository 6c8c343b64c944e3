//! Every digest of a dataset, read again.

use mtids_runtime::digest::Digest;

use crate::description::ShardEntry;
use crate::file::{is_renewed, left_copy};
use crate::reader::{Dataset, check_size};

/// A part of a dataset that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file, relative to the dataset.
    pub path: String,
    /// The row group, where the damage lies in one.
    pub row_group: Option<usize>,
    /// What differs.
    pub detail: String,
}

/// Reads every digest again. An empty list means that every byte is as published. `progress` is called once per file.
pub fn verify(dataset: &Dataset, progress: &dyn Fn()) -> Vec<Damage> {
    let mut found = Vec::new();
    for shard in &dataset.manifest().shards {
        found.extend(verify_shard(dataset, shard));
        progress();
    }
    for entry in &dataset.manifest().files {
        let detail = match dataset.storage().digest(&entry.path) {
            Ok(digest) if digest == entry.digest => None,
            Ok(_) => Some("its digest differs from the manifest".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        found.extend(detail.map(|detail| Damage { path: entry.path.clone(), row_group: None, detail }));
        progress();
    }
    found
}

/// Plain names of files whose copy for people is not that of the manifest, or is of a file that it does not name: a build was killed before it
/// renewed them, or they were edited. No program reads these copies; running the same build again renews them.
pub fn stale_copies(dataset: &Dataset) -> Vec<&str> {
    let (storage, files) = (dataset.storage(), &dataset.manifest().files);
    let differing = files.iter().filter(|entry| !is_renewed(storage, entry)).map(|entry| entry.name.as_str());
    differing.chain(left_copy(storage, files)).collect()
}

fn verify_shard(dataset: &Dataset, shard: &ShardEntry) -> Vec<Damage> {
    let storage = dataset.storage();
    let whole = |detail: String| vec![Damage { path: shard.path.clone(), row_group: None, detail }];
    match check_size(storage, shard) {
        Err(error) => return whole(error.to_string()),
        Ok(Err(detail)) => return whole(detail),
        Ok(Ok(())) => {}
    }
    let digest = |offset, length| storage.get_range(&shard.path, offset, length).map(|bytes| Digest::of_bytes(&bytes));
    let mut found = Vec::new();
    for (row_group, entry) in shard.row_groups.iter().enumerate() {
        let detail = match digest(entry.offset, entry.length) {
            Ok(digest) if digest == entry.digest => continue,
            Ok(_) => "the digest of its bytes differs from the manifest".to_owned(),
            Err(error) => error.to_string(),
        };
        found.push(Damage { path: shard.path.clone(), row_group: Some(row_group), detail });
    }
    if found.is_empty() {
        // The rest of the file: its head and its footer.
        match storage.digest(&shard.path) {
            Ok(digest) if digest == shard.digest => {}
            Ok(_) => return whole("the digest of the file differs from the manifest, outside its row groups".into()),
            Err(error) => return whole(error.to_string()),
        }
    }
    found
}
