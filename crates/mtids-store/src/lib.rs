//! A dataset's place by its path or URL.
//!
//! # Purpose
//! [`open`] turns what a user names into a [`Storage`]: a folder, an `s3://` bucket, or a web server that is only read. [`open_dataset`] opens
//! the dataset there, checks what comes over the network, and keeps it in a local [`Cache`] where one is set. The rest of the programs does
//! not know where a dataset lies.
//!
//! # Invariants
//! * Blocking on the outside; the asynchronous library and its threads stay in this crate.
//! * A request that may work the next time is made again, within a stated limit ([`Patience`]).
//! * A manifest in a bucket is replaced on a condition. A server that ignores conditions is found out and refused before.
//! * Credentials come from the environment. No message and no log line has them, nor what a server answers beyond its error code.
//! * Bytes from the cache or the network that do not have the digest of the manifest are never taken for those that do.
//!
//! # Units
//! Bytes; seconds for waits.

mod cache;
mod checked;
mod condition;
mod error;
mod fault;
mod patience;
mod place;
mod remote;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod stub;
mod transport;

use std::path::Path;
use std::sync::Arc;

use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::Dataset;

pub use cache::Cache;
pub use error::StoreError;
pub use patience::Patience;

use checked::Checked;
use place::Place;
use remote::Remote;

/// Whether `place` is the URL of a bucket, into which a dataset can be published.
pub fn is_bucket(place: &Path) -> bool {
    matches!(Place::parse(place), Ok(Place::Bucket { .. }))
}

/// Whether `place` is the URL of a server, not a folder.
pub fn is_remote(place: &Path) -> bool {
    matches!(Place::parse(place), Ok(Place::Bucket { .. } | Place::Web(_)))
}

/// The storage at a path or URL: a folder (also as `file://`), `s3://bucket/prefix`, or `http(s)://host/path`, which is only read.
///
/// # Errors
/// [`StoreError::Place`] for a URL that is none of these; [`StoreError::Client`] for settings that the library refuses. No request is made.
pub fn open(place: &Path) -> Result<Arc<dyn Storage>, StoreError> {
    Ok(match Place::parse(place)? {
        Place::Folder(path) => Arc::new(Folder::new(path)),
        remote => Arc::new(Remote::connect(&remote, Patience::default())?),
    })
}

/// The dataset at a path or URL, by its manifest. From a server it is read through the cache of the environment ([`Cache::from_environment`]).
///
/// # Errors
/// As [`open`] and [`Dataset::open_in`]; [`StoreError::Setting`] for a cache that cannot be used.
pub fn open_dataset(place: &Path) -> Result<Dataset, StoreError> {
    let dataset = Dataset::open_in(open(place)?)?;
    if !is_remote(place) {
        return Ok(dataset);
    }
    let cache = Cache::from_environment()?;
    Ok(dataset.through(|storage, manifest| Arc::new(Checked::new(storage, manifest, cache))))
}
