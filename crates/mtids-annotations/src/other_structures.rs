//! Names and codes of what is drawn beside lymph nodes: tumours, vessels, organs, target volumes.
//!
//! Purpose: whatever is drawn becomes a lymph node where no rule ignores it, so a name that speaks against a node is told. Invariants: a name that
//! also speaks of a node or a station tells nothing; nothing is changed or left out here.

use mtids_domain::annotation::Code;
use mtids_domain::taxonomy::Station;

/// Words of such names, in lower case, without the number behind them. Organs are those of thoracic contours and of automatic segmentations.
const OTHERS: [&str; 140] = [
    "abscess",
    "adenocarcinoma",
    "adrenal",
    "airway",
    "airways",
    "aorta",
    "appendage",
    "arteries",
    "artery",
    "atelectasis",
    "atria",
    "atrial",
    "atrium",
    "autochthon",
    "azygos",
    "bladder",
    "body",
    "bone",
    "bones",
    "bowel",
    "brachiocephalic",
    "brain",
    "breast",
    "bronchi",
    "bronchus",
    "carcinoma",
    "carina",
    "carotid",
    "cartilage",
    "cartilages",
    "catheter",
    "cava",
    "cavity",
    "clavicle",
    "clavicula",
    "colon",
    "consolidation",
    "cord",
    "coronary",
    "costal",
    "couch",
    "ctv",
    "cyst",
    "cysts",
    "diaphragm",
    "duodenum",
    "effusion",
    "esophagus",
    "external",
    "fat",
    "femur",
    "gallbladder",
    "gefäß",
    "gtv",
    "gtvp",
    "gtvt",
    "heart",
    "hernia",
    "herz",
    "humerus",
    "itv",
    "karzinom",
    "kidney",
    "kidneys",
    "larynx",
    "leber",
    "lesion",
    "lesions",
    "liver",
    "lobe",
    "lung",
    "lunge",
    "lungs",
    "läsion",
    "mass",
    "masses",
    "muscle",
    "muscles",
    "myocardium",
    "necrosis",
    "necrotic",
    "neoplasm",
    "neoplasms",
    "nerve",
    "niere",
    "nodule",
    "nodules",
    "oesophagus",
    "pacemaker",
    "pancreas",
    "pericardial",
    "pericardium",
    "pharynx",
    "pleura",
    "pleural",
    "plexus",
    "pneumonia",
    "ptv",
    "raumforderung",
    "rib",
    "ribs",
    "rippe",
    "sarcoma",
    "scapula",
    "skeleton",
    "skin",
    "spinal",
    "spinalcord",
    "spine",
    "spleen",
    "sternum",
    "stomach",
    "subclavian",
    "svc",
    "thrombus",
    "thymoma",
    "thymus",
    "thyroid",
    "trachea",
    "trunk",
    "tumeur",
    "tumor",
    "tumoren",
    "tumors",
    "tumour",
    "tumours",
    "vein",
    "veins",
    "vena",
    "ventricle",
    "ventricles",
    "vertebra",
    "vertebrae",
    "vertebral",
    "vessel",
    "vessels",
    "wirbel",
    "wirbelsäule",
    "épanchement",
    "ösophagus",
];

/// Words that make a name one of nodes, whatever else it says.
pub(crate) const NODES: [&str; 10] =
    ["gtvn", "ganglion", "ln", "lns", "lymph", "lymphnode", "lymphnodes", "node", "nodes", "station"];

/// Others that do so beside [`NODES`].
const MORE_NODES: [&str; 9] =
    ["adenopathy", "ctvn", "ganglio", "ganglions", "lk", "nodal", "ptvn", "stations", "lymphadenopathy"];

/// Beginnings of words of nodes.
const NODE_BEGINNINGS: [&str; 5] = ["lymph", "linf", "lymfe", "węz", "лимф"];

/// Codes of SNOMED CT that are no lymph node, by their values: of segments whose names say nothing.
const OTHER_CODES: [(&str, &str); 24] = [
    ("10200004", "Liver"),
    ("108369006", "Neoplasm"),
    ("15825003", "Aorta"),
    ("27925004", "Nodule"),
    ("2748008", "Spinal cord"),
    ("32849002", "Esophagus"),
    ("33626005", "Left atrial appendage"),
    ("39607008", "Lung"),
    ("4147007", "Mass"),
    ("44567001", "Trachea"),
    ("44714003", "Left upper lobe of lung"),
    ("45653009", "Upper lobe of lung"),
    ("48345005", "Superior vena cava"),
    ("52988006", "Lesion"),
    ("56401006", "T5 vertebra"),
    ("64033007", "Kidney"),
    ("69748006", "Thyroid"),
    ("72107004", "Azygos vein"),
    ("78961009", "Spleen"),
    ("80891009", "Heart"),
    ("81040000", "Pulmonary artery"),
    ("86049000", "Neoplasm, primary"),
    ("9875009", "Thymus"),
    ("122972007", "Pulmonary vein"),
];

/// Why a finding of this name and these codes seems to be no node: the name, with what its first code means where the name tells nothing.
pub(crate) fn seems_other(name: &str, codes: &[Code]) -> Option<String> {
    let parts = words(name);
    if parts.iter().any(|word| is_of_node(word)) {
        return None;
    }
    if parts.iter().any(|word| is_other(word)) {
        return Some(name.to_owned());
    }
    // The type comes first; a code behind it is that of the place.
    let first = codes.first().filter(|code| code.scheme == "SCT")?;
    let (_, meaning) = OTHER_CODES.iter().find(|(value, _)| *value == first.value)?;
    Some(format!("{name}, coded as {meaning}"))
}

/// The word of the name of a file, without its ending, that seems to be that of no node. A lung with a number is an id (`LUNG1-001`).
pub(crate) fn other_word(stem: &str) -> Option<String> {
    let parts = words(stem);
    if parts.iter().any(|word| is_of_node(word)) {
        return None;
    }
    let is_number = |word: &str| word.ends_with(|letter: char| letter.is_ascii_digit());
    let is_id = |n: usize| {
        without_number(&parts[n]).starts_with("lung")
            && (is_number(&parts[n]) || parts.get(n + 1).is_some_and(|next| is_number(next)))
    };
    (0..parts.len()).find(|n| is_other(&parts[*n]) && !is_id(*n)).map(|n| parts[n].clone())
}

/// The words of a name in lower case: whole ones, and behind each that has capitals inside (`SpinalCord`) its parts.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for whole in name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        found.push(whole.to_lowercase());
        let mut parts: Vec<String> = vec![String::new()];
        let mut last_is_lower = false;
        for letter in whole.chars() {
            if last_is_lower && letter.is_uppercase() {
                parts.push(String::new());
            }
            last_is_lower = letter.is_lowercase();
            if let Some(part) = parts.last_mut() {
                part.push(letter);
            }
        }
        if parts.len() > 1 {
            found.extend(parts.iter().map(|part| part.to_lowercase()));
        }
    }
    found
}

fn without_number(word: &str) -> &str {
    word.trim_end_matches(|letter: char| letter.is_ascii_digit())
}

fn is_other(word: &str) -> bool {
    OTHERS.contains(&without_number(word))
}

fn is_of_node(word: &str) -> bool {
    let bare = without_number(word);
    // As in LN4R.
    let behind_ln = word.strip_prefix("ln").unwrap_or(word);
    NODES.contains(&bare)
        || MORE_NODES.contains(&bare)
        || NODE_BEGINNINGS.iter().any(|beginning| bare.starts_with(beginning))
        || is_station(behind_ln)
}

/// Whether a word is a station with its side or part, as in `4R`, `2r4r` or `11s`; a number alone counts structures.
pub(crate) fn is_station(word: &str) -> bool {
    let digits = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
    let marks = match word[..digits].parse::<u32>() {
        Ok(3) => "aprl",
        Ok(11) => "rlsi",
        Ok(1..=14) => "rl",
        _ => return false,
    };
    let has_marks = word[digits..].chars().all(|letter| letter.is_ascii_digit() || marks.contains(letter));
    digits < word.len() && (has_marks || word.parse::<Station>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tumours_vessels_and_organs_are_known_and_those_of_nodes_are_not() {
        for name in [
            "Neoplasm, Primary",
            "Nodule 1",
            "Superior vena cava",
            "pulmonary_artery",
            "Azygos-vein",
            "T5 vertebra",
            "vertebrae_T5",
            "Left atrial appendage",
            "Spinal-Cord",
            "SpinalCord",
            "Tumor1",
            "lung_tumour",
            "Adenocarcinoma",
            "Lesion",
            "Mass",
            "GTV-1",
            "rib_left_4",
            "Läsion 2",
        ] {
            assert_eq!(seems_other(name, &[]).as_deref(), Some(name));
        }
        for name in [
            "lymph node lesion",
            "LymphNode_aorta",
            "nodal mass",
            "LN4R vein",
            "4R lesion",
            "GTVn tumour",
            "Lymphknoten Raumforderung",
            "lesión ganglionar 4R",
            "node 3",
            "hearty",
            "label 3",
            "",
        ] {
            assert_eq!(seems_other(name, &[]), None, "{name}");
        }
    }

    #[test]
    fn a_code_tells_where_the_name_says_nothing() {
        let code = |value: &str| Code { scheme: "SCT".into(), value: value.into() };
        let told = seems_other("Segment 1", &[code("108369006"), code("39607008")]);
        assert_eq!(told.as_deref(), Some("Segment 1, coded as Neoplasm"));
        assert_eq!(seems_other("Segment 1", &[code("59441001"), code("39607008")]), None, "the place of a node");
        assert_eq!(seems_other("node 1", &[code("108369006")]), None);
    }

    #[test]
    fn words_of_file_names_tell_and_ids_do_not() {
        for (stem, word) in [
            ("1.2.840.1_tumor", Some("tumor")),
            ("1.2.840.1-Heart", Some("heart")),
            ("lung_upper_lobe_left", Some("lung")),
            ("LUNG1-001_mask", None),
            ("lung_001", None),
            ("1.2.840.1_4R_tumor", None),
            ("1.2.840.1_lymph_node_mass", None),
            ("1.2.840.1", None),
        ] {
            assert_eq!(other_word(stem).as_deref(), word, "{stem}");
        }
    }

    #[test]
    fn stations_are_told_from_other_words_with_a_number() {
        for (word, is) in
            [("4r", true), ("11rs", true), ("3a", true), ("2r4r", true), ("3d", false), ("1a", false), ("7", false)]
        {
            assert_eq!(is_station(word), is, "{word}");
        }
        assert!(!is_station("2a7f") && !is_station("99r") && !is_station("t5") && !is_station(""));
    }
}
