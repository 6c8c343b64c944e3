//! Drawn findings that are read as they stand, and that a person should look at.
//!
//! Purpose: slips of drawing give rows that look like any other: stray voxels, which become findings of their own; a node drawn on every
//! second slice, or with one slice left out, which falls apart; a tumour or an organ, which becomes a node where no rule ignores its name. Invariant: nothing is
//! changed or left out here; what is doubted is counted and told. Units: mm³.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_domain::annotation::{Annotation, Extent, Mask};

use crate::mask_file::mask_stem;
use crate::measure::axial_axes;
use crate::other_structures::{is_station, other_word, seems_other, words};
use crate::plausible::{HUGE_MM, is_drawn_huge};
use crate::statuses_in_names::is_status_word;
use crate::voc::BoxDoubts;

/// Smaller than any drawn node, mm³: a ball of 2.1 mm.
const LEAST_MM3: f64 = 5.0;

/// What is doubted, by the name of the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskDoubts {
    stray: BTreeMap<String, u64>,
    apart: BTreeMap<String, u64>,
    renamed: BTreeMap<String, u64>,
    others: BTreeMap<String, u64>,
    huge: BTreeMap<String, u64>,
}

impl MaskDoubts {
    /// Looks at the findings of one series, each with the number of its source.
    pub(crate) fn look_at(&mut self, findings: &[(usize, Annotation)]) {
        // Findings of one label of one source, as far as they are drawn.
        let mut drawn: BTreeMap<(usize, &str), Vec<&Mask>> = BTreeMap::new();
        for (source, finding) in findings {
            if let Extent::Mask(mask) = &finding.extent {
                drawn.entry((*source, &finding.finding)).or_default().push(mask);
            }
            let is_drawn = matches!(finding.extent, Extent::Mask(_) | Extent::Box { .. });
            let is_unlabelled = finding.station.is_none() && finding.metastasis.is_none();
            if is_drawn_huge(&finding.extent) {
                *self.huge.entry(finding.finding.clone()).or_default() += 1;
            }
            if is_drawn
                && is_unlabelled
                && let Some(name) = seems_other(&finding.finding, &finding.codes)
            {
                *self.others.entry(name).or_default() += 1;
            }
        }
        for ((_, name), masks) in drawn {
            let (stray, whole): (Vec<&Mask>, Vec<&Mask>) = masks.into_iter().partition(|mask| is_stray(mask));
            if !stray.is_empty() {
                *self.stray.entry(name.to_owned()).or_default() += stray.len() as u64;
            }
            let apart = drawn_apart(&whole);
            if apart > 0 {
                *self.apart.entry(name.to_owned()).or_default() += apart;
            }
        }
    }

    /// Adds what is doubted of boxes on slices.
    pub(crate) fn add_boxes(&mut self, boxes: BoxDoubts) {
        for (all, found) in [(&mut self.apart, boxes.apart), (&mut self.renamed, boxes.renamed)] {
            for (name, count) in found {
                *all.entry(name).or_default() += count;
            }
        }
    }

    /// A sentence for each kind of doubt.
    pub fn sentences(&self) -> Vec<String> {
        let told = |names: &BTreeMap<String, u64>, tell: &dyn Fn(u64, String) -> String| {
            let list: Vec<String> = names.iter().map(|(name, count)| format!("`{name}` ({count})")).collect();
            (!names.is_empty()).then(|| tell(names.values().sum(), list.join(", ")))
        };
        let stray = told(&self.stray, &|count, names| {
            let has = if count == 1 { "drawn finding has" } else { "drawn findings have" };
            format!(
                "{count} {has} less than {LEAST_MM3} mm³, as stray voxels have: {names}; each is a finding of its own; erase them in the mask"
            )
        });
        // There are at least two.
        let apart = told(&self.apart, &|count, names| {
            format!(
                "{count} drawn findings lie above one another with one empty slice between them: {names}; was a node drawn on every second slice, or a \
                 slice left out? Fill the slices between, or each piece is a finding of its own"
            )
        });
        let renamed = told(&self.renamed, &|count, names| {
            let pairs = if count == 1 { "1 pair".to_owned() } else { format!("{count} pairs") };
            format!(
                "{pairs} of overlapping boxes of neighbouring slices with two names: {names}; each name is a finding of its own: is it one node?"
            )
        });
        let others = told(&self.others, &|count, names| {
            let has = if count == 1 { "finding without label has" } else { "findings without label have" };
            format!(
                "{count} {has} the name or code of a tumour, a vessel, an organ or a target volume: {names}; each is read as a lymph node; write a class \
                 rule that ignores them, or name those that are nodes as such"
            )
        });
        let huge = told(&self.huge, &|count, names| {
            let is = if count == 1 { "drawn finding is" } else { "drawn findings are" };
            let [short, long] = HUGE_MM;
            format!(
                "{count} {is} larger than lymph nodes are ({short} mm in short axis, or {long} mm long): {names}; is it another organ, several nodes drawn \
                 as one, or a box around the whole slice?"
            )
        });
        [stray, apart, renamed, others, huge].into_iter().flatten().collect()
    }
}

fn is_stray(mask: &Mask) -> bool {
    (mask.voxels.len() as f64) * mask.affine.voxel_volume() < LEAST_MM3
}

/// What the name of a mask file says of labels without name, for which it counts nothing: a status, a station, or that they are no nodes.
pub(crate) fn doubts_of_file_name(path: &Path) -> Vec<String> {
    let stem = mask_stem(path);
    let other = other_word(&stem).map(|word| {
        format!(
            "its file name has the word `{word}`, and each finding in it is read as a lymph node; if it shows something else, leave it out of \
             --annotations"
        )
    });
    let parts = words(&stem);
    let telling: Vec<String> =
        parts.iter().filter(|word| is_status_word(word) || is_station(word)).map(|word| format!("`{word}`")).collect();
    let lost = (!telling.is_empty()).then(|| {
        format!(
            "its file name seems to tell a station or a status ({}), and file names give no label; write them in a table with the places of the \
             nodes, or as names of the labels of a .seg.nrrd file with class rules",
            telling.join(", ")
        )
    });
    [other, lost].into_iter().flatten().collect()
}

/// A rectangle on a slice: the first and the last index along its two axes.
type Rectangle = [[u32; 2]; 2];

/// Rectangles that share this part of what both cover lie above one another as the slices of one node do.
pub(crate) const SAME_PLACE: f64 = 0.5;

/// A mask along an axis of its grid: its first and last slice, each with the rectangle around its voxels there.
struct Ends {
    first: (u32, Rectangle),
    last: (u32, Rectangle),
}

impl Ends {
    fn of(mask: &Mask, axis: usize) -> Option<Self> {
        let others = [(axis + 1) % 3, (axis + 2) % 3];
        let slices = || mask.voxels.iter().map(|voxel| voxel[axis]);
        let at = |slice: u32| -> Option<(u32, Rectangle)> {
            let along = |axis_of_slice: usize| {
                let here = || mask.voxels.iter().filter(|voxel| voxel[axis] == slice).map(|voxel| voxel[axis_of_slice]);
                Some([here().min()?, here().max()?])
            };
            Some((slice, [along(others[0])?, along(others[1])?]))
        };
        Some(Self { first: at(slices().min()?)?, last: at(slices().max()?)? })
    }

    fn is_flat(&self) -> bool {
        self.first.0 == self.last.0
    }

    /// Whether another mask begins two slices behind the end of this one, above it.
    fn goes_on_in(&self, other: &Self) -> bool {
        let is_beside = self.last.0.checked_add(2) == Some(other.first.0);
        let (a, b) = (self.last.1, other.first.1);
        // Two slices alone need but meet.
        let needed = if self.is_flat() && other.is_flat() { 0.0 } else { SAME_PLACE };
        is_beside && shared(&a, &b).is_some_and(|part| part >= needed)
    }
}

/// The part of what two rectangles cover that both cover; `None` where they do not meet.
fn shared(a: &Rectangle, b: &Rectangle) -> Option<f64> {
    let sides = [0, 1].map(|axis| (a[axis][0].max(b[axis][0]), a[axis][1].min(b[axis][1])));
    let count = |[first, last]: [u32; 2]| f64::from(last - first) + 1.0;
    let area = |one: &Rectangle| one.iter().map(|side| count(*side)).product::<f64>();
    let meet = sides.iter().all(|(first, last)| first <= last);
    let common = || sides.iter().map(|(first, last)| count([*first, *last])).product::<f64>();
    meet.then(|| common() / (area(a) + area(b) - common()))
}

/// How many of these masks lie above another one with one empty slice between them.
fn drawn_apart(masks: &[&Mask]) -> u64 {
    // Slices of the grid lie along any of its axes; pieces of several slices are told along the body alone, where nodes side by side are not.
    let of_axis = |axis: usize| {
        let is_upright = |mask: &Mask| axial_axes(&mask.affine)[2] == axis;
        let ends = masks.iter().enumerate().filter_map(|(n, mask)| {
            Some((n, Ends::of(mask, axis)?)).filter(|(_, ends)| ends.is_flat() || is_upright(mask))
        });
        let ends: Vec<(usize, Ends)> = ends.collect();
        let mut by_first: BTreeMap<u32, Vec<&(usize, Ends)>> = BTreeMap::new();
        for one in &ends {
            by_first.entry(one.1.first.0).or_default().push(one);
        }
        let mut found = BTreeSet::new();
        for (n, one) in &ends {
            let Some(next) = one.last.0.checked_add(2).and_then(|next| by_first.get(&next)) else { continue };
            for (m, _) in next.iter().filter(|(_, other)| one.goes_on_in(other)) {
                found.extend([*n, *m]);
            }
        }
        found.len() as u64
    };
    (0..3).map(of_axis).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mtids_domain::annotation::{AnnotationSource, AnnotationTarget};
    use mtids_domain::geometry::{Affine, PointMm};
    use mtids_domain::label::{Evidence, LabelLevel, Metastasis};

    use super::*;

    /// A drawn finding on a grid of 1 × 1 × 2 mm.
    fn drawn(name: &str, voxels: Vec<[u32; 3]>) -> (usize, Annotation) {
        let affine = Affine::new(PointMm([0.0; 3]), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).unwrap();
        let finding = Annotation {
            target: AnnotationTarget::default(),
            center: PointMm([0.0; 3]),
            finding: name.to_owned(),
            codes: Vec::new(),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm: None,
            source: AnnotationSource::Segmentation,
            extent: Extent::Mask(Arc::new(Mask { affine, voxels })),
        };
        (0, finding)
    }

    /// A square of 4 × 4 voxels on a slice.
    fn square(from: u32, slice: u32) -> Vec<[u32; 3]> {
        (0..16).map(|n| [from + n % 4, 5 + n / 4, slice]).collect()
    }

    fn doubts(findings: &[(usize, Annotation)]) -> Vec<String> {
        let mut doubts = MaskDoubts::default();
        doubts.look_at(findings);
        doubts.sentences()
    }

    #[test]
    fn stray_voxels_are_told_and_small_nodes_are_not() {
        let told = doubts(&[drawn("node", square(1, 1)), drawn("node", vec![[20, 20, 3], [21, 20, 3]])]);
        assert!(told.len() == 1 && told[0].starts_with("1 drawn finding has less than 5 mm³"), "{told:?}");
        assert_eq!(doubts(&[drawn("node", vec![[20, 20, 3], [21, 20, 3], [22, 20, 3]])]), Vec::<String>::new());
    }

    #[test]
    fn slices_with_an_empty_one_between_them_are_told() {
        let apart = [drawn("node", square(1, 1)), drawn("node", square(2, 3)), drawn("node", square(2, 5))];
        let told = doubts(&apart);
        assert!(told.len() == 1 && told[0].contains("3 drawn findings lie above") && told[0].contains("`node` (3)"));
        // One slice of a node was left out.
        let [low, high] = [[square(1, 1), square(1, 2)].concat(), [square(1, 4), square(2, 5)].concat()];
        assert!(doubts(&[drawn("node", low.clone()), drawn("node", high)])[0].contains("`node` (2)"));
        // Beside one another, farther apart, of another label, or a node of several slices that lies elsewhere.
        let beside = [square(4, 3), square(4, 4)].concat();
        assert_eq!(
            doubts(&[drawn("node", low.clone()), drawn("node", [square(3, 4), square(3, 5)].concat())]),
            Vec::<String>::new()
        );
        let aside: Vec<[u32; 3]> = low.iter().map(|[i, j, k]| [i + 5, *j, *k]).collect();
        assert_eq!(
            doubts(&[drawn("node", low), drawn("node", aside)]),
            Vec::<String>::new(),
            "one column between them"
        );
        for other in [square(9, 3), square(1, 4), beside] {
            assert_eq!(doubts(&[drawn("node", square(1, 1)), drawn("node", other)]), Vec::<String>::new());
        }
        assert_eq!(doubts(&[drawn("node", square(1, 1)), drawn("other", square(1, 3))]), Vec::<String>::new());
    }

    #[test]
    fn what_is_larger_than_a_node_is_told() {
        // Voxels of 1 × 1 mm on three slices.
        let flat = |columns: u32, rows: u32| {
            (0..columns).flat_map(|i| (0..rows).flat_map(move |j| (5..8).map(move |k| [i, j, k]))).collect()
        };
        for (columns, rows) in [(80, 80), (8, 160)] {
            let told = doubts(&[drawn("LN 7", flat(columns, rows))]);
            assert!(
                told.len() == 1 && told[0].contains("1 drawn finding is larger") && told[0].contains("`LN 7` (1)"),
                "{told:?}"
            );
        }
        for (columns, rows) in [(70, 70), (60, 140)] {
            assert_eq!(doubts(&[drawn("LN 7", flat(columns, rows))]), Vec::<String>::new(), "{columns} x {rows}");
        }
        let boxed = |side: f64| {
            let (number, one) = drawn("LN 7", Vec::new());
            let extent = Extent::Box { minimum: PointMm([0.0; 3]), maximum: PointMm([side, side, 3.0]) };
            doubts(&[(number, Annotation { extent, ..one })]).len()
        };
        assert_eq!((boxed(118.0), boxed(60.0)), (1, 0));
    }

    #[test]
    fn organs_without_label_are_told_by_their_names() {
        for name in ["Heart", "lung_upper_lobe_left", "GTV-1", "Aorta (thoracic)", "PTV"] {
            let told = doubts(&[drawn(name, square(1, 1))]);
            assert!(told.len() == 1 && told[0].contains("1 finding without label has the name"), "{name}: {told:?}");
        }
        for name in ["node at the aorta", "GTVn 4R", "LN heart", "4R trachea", "hearty", "label 3", ""] {
            assert_eq!(doubts(&[drawn(name, square(1, 1))]), Vec::<String>::new(), "{name}");
        }
        let told = doubts(&[drawn("Lesion 1", square(1, 1)), drawn("pulmonary_vein", square(20, 1))]);
        assert!(told[0].contains("2 findings without label have the name or code of a tumour"), "{told:?}");
        let (source, finding) = drawn("Heart", square(1, 1));
        let labelled = Annotation { metastasis: Some(Metastasis::Benign), ..finding };
        assert_eq!(doubts(&[(source, labelled)]), Vec::<String>::new());
    }

    #[test]
    fn what_the_name_of_a_mask_file_says_of_nameless_labels_is_told() {
        let told = |name: &str| doubts_of_file_name(Path::new(name));
        let tumor = told("/data/lymph nodes/1.2.840_tumor.nii.gz");
        assert!(tumor.len() == 1 && tumor[0].contains("`tumor`") && tumor[0].contains("--annotations"), "{tumor:?}");
        let labelled = told("1.2.840_4R_malignant.nii.gz");
        assert!(labelled.len() == 1 && labelled[0].contains("(`4r`, `malignant`)"), "{labelled:?}");
        for name in ["1.2.840.nii.gz", "LUNG1-001_mask.nrrd", "P7_nodes.nii", "1.2.840_label_1.nii.gz"] {
            assert_eq!(told(name), Vec::<String>::new(), "{name}");
        }
    }
}
