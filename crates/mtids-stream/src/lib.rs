//! Shards become an ordered stream of batches through bounded crossbeam channels.
