//! The head of the dataset card by which the Hugging Face hub, and its library `datasets`, find the shards of each split.
//!
//! Invariants: shards are named one by one, because a folder may still hold those of an older build, which a pattern would take in; a pure function of
//! the manifest.

use std::fmt::Write as _;

use mtids_shards::{ShardEntry, Split};
use serde_json::Value;

use crate::publication::Publication;
use crate::synthetic::Synthetic;

/// The head in YAML, between two lines of dashes.
pub(crate) fn header(shards: &[ShardEntry], rows: u64, publication: &Publication, synthetic: Synthetic) -> String {
    let mut text = String::from("---\n");
    let name = publication.name.as_deref().map_or_else(|| "Mediastinal lymph nodes in chest CT".into(), yaml);
    // Writing into a string cannot fail, so the results are dropped.
    let _ = writeln!(text, "pretty_name: {name}\nlicense: {}", licence(publication));
    text.push_str(
        "task_categories:\n- image-classification\ntags:\n- medical\n- \
         radiology\n- chest-ct\n- lymph-nodes\n",
    );
    if synthetic == Synthetic::All {
        text.push_str("- synthetic\n");
    }
    text.push_str("size_categories:\n");
    let _ = writeln!(text, "- {}", size_category(rows));
    if !shards.is_empty() {
        text.push_str("configs:\n- config_name: default\n  data_files:\n");
    }
    for split in Split::ALL {
        let mut paths = shards.iter().filter(|shard| shard.split == split).map(|shard| &shard.path).peekable();
        if paths.peek().is_some() {
            let _ = writeln!(text, "  - split: {}\n    path:", split.name());
            for path in paths {
                let _ = writeln!(text, "    - {}", yaml(path));
            }
        }
    }
    text.push_str("---\n\n");
    text
}

/// The hub's word for a licence: its own id, which is the SPDX one in small letters, or `other` with the address.
fn licence(publication: &Publication) -> String {
    match publication.license.as_deref() {
        None => "unknown".into(),
        Some(url) if url.contains("://") => format!("other\nlicense_link: {}", yaml(url)),
        Some(id) => yaml(&id.to_lowercase()),
    }
}

/// A string of JSON is one of YAML.
fn yaml(text: &str) -> String {
    Value::from(text).to_string()
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
        let text = header(&shards, 12_345, &Publication::default(), Synthetic::None);
        assert!(text.starts_with("---\n") && text.ends_with("\n---\n\n"), "{text}");
        assert!(text.contains(
            "\n- 10K<n<100K\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path:\n"
        ));
        assert!(text.contains(
            "    - \"shards/train/b.parquet\"\n  - split: test\n    path:\n    - \"shards/test/a.parquet\"\n---"
        ));
        assert!(!text.contains("validation"));
        assert!(!header(&[], 0, &Publication::default(), Synthetic::None).contains("configs"));
    }

    #[test]
    fn phantoms_have_the_tag_of_the_hub() {
        let tags = |synthetic| header(&[], 0, &Publication::default(), synthetic);
        assert!(tags(Synthetic::All).contains("\n- lymph-nodes\n- synthetic\nsize_categories:\n"));
        for synthetic in [Synthetic::None, Synthetic::Some { rows: 1, of: 2 }] {
            assert!(tags(synthetic).contains("\n- lymph-nodes\nsize_categories:\n"));
        }
    }

    #[test]
    fn the_licence_is_in_the_words_of_the_hub() {
        let text = |license: &str| {
            header(&[], 0, &Publication { license: Some(license.into()), ..Publication::default() }, Synthetic::None)
        };
        assert!(text("CC-BY-4.0").contains("\nlicense: \"cc-by-4.0\"\n"));
        assert!(text("https://example.org/l").contains("\nlicense: other\nlicense_link: \"https://example.org/l\"\n"));
        assert!(header(&[], 0, &Publication::default(), Synthetic::None).contains("\nlicense: unknown\n"));
    }
}
