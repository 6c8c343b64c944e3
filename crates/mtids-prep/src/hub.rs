//! The head of the dataset card by which the Hugging Face hub, and its library `datasets`, find the shards of each split.
//!
//! Invariants: shards are named one by one, because a folder may still hold those of an older build, which a pattern would take in; a pure function of
//! the manifest.

use std::fmt::Write as _;

use mtids_shards::{ShardEntry, Split};

/// The head in YAML, between two lines of dashes.
pub(crate) fn header(shards: &[ShardEntry], rows: u64) -> String {
    let mut text = String::from(
        "---\npretty_name: Mediastinal lymph nodes in chest CT\nlicense: unknown\ntask_categories:\n- image-classification\ntags:\n- medical\n- \
         radiology\n- chest-ct\n- lymph-nodes\nsize_categories:\n",
    );
    // Writing into a string cannot fail, so the results are dropped.
    let _ = writeln!(text, "- {}", size_category(rows));
    if !shards.is_empty() {
        text.push_str("configs:\n- config_name: default\n  data_files:\n");
    }
    for split in Split::ALL {
        let mut paths = shards.iter().filter(|shard| shard.split == split).map(|shard| &shard.path).peekable();
        if paths.peek().is_some() {
            let _ = writeln!(text, "  - split: {}\n    path:", split.name());
            // A string of JSON is one of YAML.
            for path in paths {
                let _ = writeln!(text, "    - {}", serde_json::Value::from(path.as_str()));
            }
        }
    }
    text.push_str("---\n\n");
    text
}

/// The hub's words for a number of rows.
fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "10M<n<100M",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::digest::Digest;

    fn shard(path: &str, split: Split) -> ShardEntry {
        let digest = Digest::of_bytes(b"");
        ShardEntry {
            path: path.into(),
            split,
            rows: 1,
            bytes: 1,
            digest,
            footer_digest: digest,
            row_groups: Vec::new(),
        }
    }

    #[test]
    fn each_split_names_its_shards() {
        let shards = [shard("shards/test/a.parquet", Split::Test), shard("shards/train/b.parquet", Split::Train)];
        let text = header(&shards, 12_345);
        assert!(text.starts_with("---\n") && text.ends_with("\n---\n\n"), "{text}");
        assert!(text.contains(
            "\n- 10K<n<100K\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path:\n"
        ));
        assert!(text.contains(
            "    - \"shards/train/b.parquet\"\n  - split: test\n    path:\n    - \"shards/test/a.parquet\"\n---"
        ));
        assert!(!text.contains("validation"));
        assert!(!header(&[], 0).contains("configs"));
    }
}
