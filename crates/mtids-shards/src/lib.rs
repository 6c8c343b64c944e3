//! The data contract on disk: Arrow schema, shard writer, manifest, verified reader.
