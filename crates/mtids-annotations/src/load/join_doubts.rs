//! What an operator is told of findings that were joined, or were not.
//!
//! Invariant: a sentence for each kind, with how many there are and where the first lies. Units: LPS mm.

use std::collections::BTreeMap;

use mtids_domain::geometry::PointMm;

use crate::assign::SeriesIndex;
use crate::join::{Finding, Joined};
use crate::surface::BESIDE_MM;

/// What was joined in all series, and what was not, as far as somebody should look at it.
#[derive(Debug, Default)]
pub(super) struct JoinDoubts {
    crowded: u64,
    beside: Vec<PointMm>,
    apart: Vec<PointMm>,
    in_regions: Vec<PointMm>,
    lengths: Vec<[f64; 2]>,
}

impl JoinDoubts {
    /// Adds what was joined in one series.
    pub(super) fn add(&mut self, joined: &Joined) {
        self.crowded += joined.crowded;
        self.beside.extend(&joined.beside);
        self.apart.extend(&joined.apart);
        self.in_regions.extend(&joined.in_regions);
        self.lengths.extend(&joined.contradicting_lengths);
    }

    /// A sentence for each kind.
    pub(super) fn sentences(&self) -> Vec<String> {
        let crowded = (self.crowded > 0).then(|| {
            let lie = if self.crowded == 1 { "annotation lies" } else { "annotations lie" };
            format!(
                "{} {lie} in a mask or box that a nearer one of its source was joined to; each is a finding of its own: were two nodes drawn as one?",
                self.crowded
            )
        });
        let beside = first_of(&self.beside).map(|at| {
            let lie = if self.beside.len() == 1 { "annotation lies" } else { "annotations lie" };
            format!(
                "{} {lie} outside a drawn node, at most {BESIDE_MM} mm from its surface, and is joined to it, since no other is so near; the first at \
                 {at}: make sure that it is the same node",
                self.beside.len()
            )
        });
        let apart = first_of(&self.apart).map(|at| {
            let (lie, share) = match self.apart.len() {
                1 => ("drawn finding lies", "shares"),
                _ => ("drawn findings lie", "share"),
            };
            format!(
                "{} {lie} as near as one node to one of another source, and {share} too little with it to be the same; each is a finding of its own; the \
                 first at {at}: is one of both no node, or a part of one? A class rule leaves it out",
                self.apart.len()
            )
        });
        let in_regions = first_of(&self.in_regions).map(|at| {
            let (lie, keep) = if self.in_regions.len() == 1 { ("row lies", "keeps") } else { ("rows lie", "keep") };
            format!(
                "{} {lie} in a drawn region too wide to be a node, far from its centre, and {keep} the given place; the region is a finding too; the first \
                 at {at}: leave the region out by a class rule, or give the size of the node in the row",
                self.in_regions.len()
            )
        });
        let lengths = self.lengths.first().map(|[least, most]| {
            let have = if self.lengths.len() == 1 { "finding has" } else { "findings have" };
            format!(
                "{} {have} short axes that contradict each other, the first {least:.1} and {most:.1} mm: two nodes joined, or another unit? A table \
                 goes before a report, and both before a mask",
                self.lengths.len()
            )
        });
        [crowded, beside, apart, in_regions, lengths].into_iter().flatten().collect()
    }
}

/// A sentence where a node is labelled in one series, and drawn in another one of its frame of reference: it is two rows, and neither is whole.
pub(super) fn halves_of_nodes(findings: &[Vec<Finding>], index: &SeriesIndex<'_>, tolerance_mm: f64) -> Option<String> {
    let mut by_frame: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for n in (0..findings.len()).filter(|&n| !findings[n].is_empty()) {
        let series = index.series(n);
        if let Some(frame) = series.frame_of_reference_uid {
            by_frame.entry((series.patient_id, frame)).or_default().push(n);
        }
    }
    let is_drawn = |one: &&Finding| one.mask.is_some() && one.station.is_none() && one.metastasis.is_none();
    let is_labelled = |one: &&Finding| one.mask.is_none() && (one.station.is_some() || one.metastasis.is_some());
    let (mut halves, mut first) = (0_u64, None);
    for of_frame in by_frame.values().filter(|of_frame| of_frame.len() > 1) {
        let all = || of_frame.iter().flat_map(|&n| findings[n].iter().map(move |one| (n, one)));
        let drawn: Vec<(usize, PointMm)> =
            all().filter(|(_, one)| is_drawn(one)).map(|(n, one)| (n, one.center)).collect();
        for (n, one) in all().filter(|(_, one)| is_labelled(one)) {
            let other = drawn.iter().find(|(other, at)| *other != n && at.distance(one.center) <= tolerance_mm);
            if let Some((other, _)) = other {
                halves += 1;
                first.get_or_insert((index.series(n).series_uid, index.series(*other).series_uid));
            }
        }
    }
    let (labelled, drawn) = first?;
    let are = if halves == 1 { "node is" } else { "nodes are" };
    Some(format!(
        "{halves} {are} labelled in one series and drawn in another one of the same frame of reference, and so two findings each, one without mask and \
         one without label; the first in series {labelled} and {drawn}: name one of them in both"
    ))
}

fn first_of(places: &[PointMm]) -> Option<String> {
    places.first().map(|PointMm([x, y, z])| format!("{x:.1}, {y:.1}, {z:.1}"))
}
