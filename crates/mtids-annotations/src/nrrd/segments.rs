//! What `SegmentN_…` lines of a `.seg.nrrd` say: the name of each label value in each layer.
//!
//! Invariant: a label value of a layer has one name, or the file is refused. Files of old (before 3D Slicer 4.11) have a layer of value 1 for
//! each segment and say neither value nor layer.

use std::collections::BTreeMap;

use mtids_domain::annotation::Code;

use super::header::Header;

/// A segment of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) codes: Vec<Code>,
}

/// Segments by layer and label value.
pub(super) fn names(header: &Header, has_layers: bool) -> Result<BTreeMap<(u32, u32), Segment>, String> {
    let mut lines: BTreeMap<u32, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, value) in &header.pairs {
        let Some((number, field)) = key.strip_prefix("Segment").and_then(|rest| rest.split_once('_')) else { continue };
        if let Ok(number) = number.parse() {
            lines.entry(number).or_default().insert(field, value);
        }
    }
    let mut segments = BTreeMap::new();
    let single = lines.len() == 1;
    for (number, fields) in lines {
        let Some(name) = fields.get("Name").or_else(|| fields.get("ID")) else { continue };
        let whole = |field: &str| match fields.get(field) {
            Some(text) => text.trim().parse().map(Some).map_err(|_| format!("Segment{number}_{field} `{text}`")),
            None => Ok(None),
        };
        let layer = whole("Layer")?.unwrap_or(if has_layers { number } else { 0 });
        let value = match whole("LabelValue")? {
            Some(value) => value,
            None if has_layers || single => 1,
            None => {
                return Err(format!("Segment{number}_LabelValue is missing, so the voxels of `{name}` are not known"));
            }
        };
        let codes = fields.get("Tags").map_or_else(Vec::new, |tags| codes(tags));
        let segment = Segment { name: name.trim().to_owned(), codes };
        if let Some(other) = segments.insert((layer, value), segment) {
            return Err(format!("`{}` and `{name}` both have label value {value} of layer {layer}", other.name));
        }
    }
    Ok(segments)
}

/// The type and the anatomic region of a segment, as `TerminologyEntry:context~category~type~modifier~context~region~…` of its tags, each
/// code as `scheme^value^meaning`.
fn codes(tags: &str) -> Vec<Code> {
    let entry = tags.split('|').find_map(|tag| tag.trim().strip_prefix("TerminologyEntry:"));
    let parts: Vec<&str> = entry.unwrap_or_default().split('~').collect();
    let code = |part: &&str| {
        let mut fields = part.split('^').map(str::trim);
        let (scheme, value) = (fields.next()?, fields.next()?);
        let is_given = !scheme.is_empty() && !value.is_empty();
        is_given.then(|| Code { scheme: scheme.to_owned(), value: value.to_owned() })
    };
    [2, 5].iter().filter_map(|&n| parts.get(n).and_then(code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(lines: &str, has_layers: bool) -> Result<BTreeMap<(u32, u32), Segment>, String> {
        names(&Header::read(&mut format!("NRRD0004\n{lines}\n\n").as_bytes()).unwrap(), has_layers)
    }

    #[test]
    fn segments_are_known_by_layer_and_value() {
        let tags = "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category~SCT^123037004^Anatomical \
            Structure~SCT^59441001^Lymph node~^^~Anatomic codes~SCT^62683002^Mediastinal lymph node~^^|";
        let lines = format!(
            "Segment0_Name:=LN 4R\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment0_Tags:={tags}\n\
            Segment1_Name:=LN 7\nSegment1_LabelValue:=1\nSegment1_Layer:=1\nSegmentation_MasterRepresentation:=Binary labelmap"
        );
        let found = names_of(&lines, true).unwrap();
        assert_eq!((&*found[&(0, 1)].name, &*found[&(1, 1)].name), ("LN 4R", "LN 7"));
        let codes: Vec<String> = found[&(0, 1)].codes.iter().map(ToString::to_string).collect();
        assert_eq!(codes, ["SCT:59441001", "SCT:62683002"]);
        // Files of old: one layer each.
        let old = names_of("Segment0_Name:=a\nSegment1_Name:=b", true).unwrap();
        assert_eq!(old.keys().copied().collect::<Vec<_>>(), [(0, 1), (1, 1)]);
        assert_eq!(names_of("Segment0_Name:=a", false).unwrap().keys().next(), Some(&(0, 1)));
    }

    #[test]
    fn what_leaves_the_name_open_is_refused() {
        let twice = "Segment0_Name:=a\nSegment0_LabelValue:=2\nSegment1_Name:=b\nSegment1_LabelValue:=2";
        assert!(names_of(twice, false).unwrap_err().contains("both have label value 2"));
        assert!(
            names_of("Segment0_Name:=a\nSegment0_LabelValue:=one", false).unwrap_err().contains("Segment0_LabelValue")
        );
        assert!(names_of("Segment0_Name:=a\nSegment1_Name:=b", false).unwrap_err().contains("missing"));
    }
}
