//! Names of segments and structures: kept where they are made of known words.
//!
//! Purpose: a build gives classes by these names, and people write patients into them. Invariant: only words of [`WORDS`], numbers of at most three
//! digits with at most two letters behind them (stations), and marks between them are kept; any other name becomes one of the key, the same for the
//! same name.

use mtids_domain::pseudonym::PseudonymSecret;

/// Words of anatomy and of findings.
const WORDS: &[&str] = &[
    "abnormal",
    "adenopathy",
    "airway",
    "anterior",
    "aorta",
    "aortic",
    "ap",
    "artery",
    "azygos",
    "benign",
    "biopsy",
    "body",
    "bronchus",
    "cancer",
    "carcinoma",
    "carina",
    "chest",
    "ct",
    "ctv",
    "enlarged",
    "esophagus",
    "finding",
    "gtv",
    "heart",
    "hilar",
    "hilum",
    "inferior",
    "interlobar",
    "involved",
    "l",
    "left",
    "lesion",
    "level",
    "ligament",
    "ln",
    "lobar",
    "lobe",
    "lower",
    "lung",
    "lungs",
    "lymph",
    "lymphnode",
    "malignant",
    "mass",
    "mediastinal",
    "mediastinum",
    "metastases",
    "metastasis",
    "metastatic",
    "middle",
    "n",
    "necrotic",
    "negative",
    "no",
    "node",
    "nodes",
    "nodule",
    "normal",
    "nos",
    "oesophagus",
    "of",
    "paraaortic",
    "paraesophageal",
    "paratracheal",
    "pathologic",
    "pathological",
    "pet",
    "positive",
    "posterior",
    "prevascular",
    "primary",
    "pulmonary",
    "r",
    "reactive",
    "region",
    "retrotracheal",
    "right",
    "roi",
    "segment",
    "segmental",
    "station",
    "structure",
    "subaortic",
    "subcarinal",
    "subsegmental",
    "superior",
    "suspicious",
    "target",
    "thorax",
    "trachea",
    "tumor",
    "tumour",
    "uncertain",
    "unclear",
    "unknown",
    "upper",
    "vein",
    "zone",
];

/// The name that stands in place of one.
pub(super) fn label(secret: &PseudonymSecret, text: &str) -> String {
    if is_known(text) {
        return text.to_owned();
    }
    format!("label-{}", &secret.other("deidentified-label", text)[..16])
}

fn is_known(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-.,:/()#+".contains(&byte))
        && text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).all(is_known_part)
        && text.bytes().filter(u8::is_ascii_digit).count() <= 6
}

fn is_known_part(part: &str) -> bool {
    let letters_at = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    let is_station = (1..=3).contains(&letters_at) && part.len() - letters_at <= 2;
    let without_number = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let has_short_number = part.len() - without_number.len() <= 3;
    (is_station && part[letters_at..].bytes().all(|byte| byte.is_ascii_alphabetic()))
        || (has_short_number && WORDS.contains(&without_number.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_stay_and_others_become_one_of_the_key() {
        let secret = PseudonymSecret::from_bytes(b"sixteen bytes ok").unwrap();
        for text in ["Lymph node 4R", "LN-station 10L (benign)", "node_1", "lesion-1", "7", "GTV1", "Lymph node 3"] {
            assert_eq!(label(&secret, text), text);
        }
        for text in
            ["Doe 4R", "node of J. Doe", "19610423", "1961 04 23", "4RDOE", "node\\Doe", "Knöten", "node 12 34 567"]
        {
            let other = label(&secret, text);
            assert!(other.starts_with("label-") && other.len() == 22, "{text}: {other}");
            assert_eq!(other, label(&secret, text));
        }
        assert_ne!(label(&secret, "Doe"), label(&secret, "Roe"));
    }

    #[test]
    fn words_are_in_order_and_small() {
        assert!(WORDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(WORDS.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
