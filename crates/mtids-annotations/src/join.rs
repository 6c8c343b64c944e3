//! Annotations of all sources meet in one series, and those that speak of the same node become one finding.
//!
//! Units: LPS mm. Invariants: two annotations of one source are joined only where they are the same node (centres within 1 mm, or masks that
//! share most voxels), and masks of two sources where they share much of the smaller; a row is not joined to a region that it merely lies in; a label
//! that two annotations contradict becomes unknown and is counted; geometry comes from a mask where there is one, labels from a table; no two
//! findings have the same place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_domain::annotation::{Annotation, Extent, Mask};
use mtids_domain::geometry::PointMm;

use crate::measure::short_axis_mm;
pub use crate::merge::{Finding, MOST_MASK_VOXELS};
use crate::merge::{contradicting_lengths, may_be_one, merge};
use crate::overlap::{are_one_node, is_set, shared_voxels, volume_mm3};
use crate::surface::distance_beside;

/// What joining gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// Findings, each at a place of its own.
    pub findings: Vec<Finding>,
    /// For each finding the centres of all annotations that it is of.
    pub centers: Vec<Vec<PointMm>>,
    /// Annotations that repeat the place of another one of the same source, and were merged with it.
    pub duplicates: u64,
    /// Annotations outside a mask that were joined to it, because they lie beside its surface, and beside no other: their
    /// centres.
    pub beside: Vec<PointMm>,
    /// Annotations inside a mask or box that a nearer one of their source was joined to.
    pub crowded: u64,
    /// Drawn annotations that lie within the tolerance of one of another source and share too little with it to be the same node: their centres.
    pub apart: Vec<PointMm>,
    /// Rows in a drawn region too wide to be their node, far from its centre, which were not joined to it: their centres.
    pub in_regions: Vec<PointMm>,
    /// The least and the greatest short axis of findings whose sources contradict each other about it, mm.
    pub contradicting_lengths: Vec<[f64; 2]>,
}

/// A place as it tells findings apart: to a ten-thousandth of a millimetre, as the keys of rows write it.
pub(crate) fn place_key(point: PointMm) -> String {
    let coordinate = |x: f64| {
        let text = format!("{x:.4}");
        if text == "-0.0000" { "0.0000".to_owned() } else { text }
    };
    point.0.map(coordinate).join(",")
}

/// Annotations that speak of one node, each with the number of its source.
struct Cluster {
    members: Vec<(usize, Annotation)>,
}

impl Cluster {
    /// The place of its first member, which has the best geometry; a cluster has at least one.
    fn center(&self) -> PointMm {
        self.members.first().map_or(PointMm([0.0; 3]), |(_, member)| member.center)
    }

    /// Whether another cluster is the same node: at the same place, or a mask that shares most voxels (Dice of at least a half).
    fn is_same_node(&self, other: &Self) -> bool {
        let apart = self.center().distance(other.center());
        if apart <= SAME_NODE_MM {
            return true;
        }
        let (Some(a), Some(b)) = (self.mask(), other.mask()) else { return false };
        apart <= COMPARED_WITHIN_MM
            && a.affine == b.affine
            && 4 * shared_voxels(a, b) >= a.voxels.len() + b.voxels.len()
    }

    /// The mask that gives its geometry.
    fn mask(&self) -> Option<&Arc<Mask>> {
        match &self.members.first()?.1.extent {
            Extent::Mask(mask) => Some(mask),
            _ => None,
        }
    }

    /// Takes the members of another cluster of the same node. Of two masks the much larger one gives the geometry: the other is a part of the node, as its
    /// necrosis.
    fn absorb(&mut self, other: Self) {
        let is_part = |a: &Arc<Mask>, b: &Arc<Mask>| volume_mm3(b) > PART_OF_NODE * volume_mm3(a);
        let at = match self.mask().zip(other.mask()).is_some_and(|(own, its)| is_part(own, its)) {
            true => 0,
            false => self.members.len(),
        };
        self.members.splice(at..at, other.members);
    }

    /// Whether what is drawn here is a region that a row lies in, as a station or a mass: wider than nodes are, with the row far from its centre, and no
    /// length of the row that says otherwise.
    fn is_region_around(&self, one: &Self, tolerance_mm: f64) -> bool {
        let Some((_, row)) = one.members.first() else { return false };
        let is_far = |member: &Annotation| member.center.distance(row.center) > tolerance_mm;
        let is_row = matches!(row.extent, Extent::Point | Extent::Sphere { .. });
        let width =
            self.members.iter().find(|(_, member)| is_far(member)).and_then(|(_, member)| width_of(&member.extent));
        is_row
            && width.is_some_and(|width| {
                width > WIDEST_NODE_MM && row.short_axis_mm.is_none_or(|mm| mm < width / 2.0 || mm > 2.0 * width)
            })
    }

    /// Whether a source speaks in both.
    fn shares_source(&self, other: &Self) -> bool {
        self.members.iter().any(|(source, _)| other.members.iter().any(|(another, _)| another == source))
    }

    /// Distance of a point or ball to the surface of this node's mask, mm, where it lies beside it.
    fn beside(&self, one: &Self) -> Option<f64> {
        let (_, first) = one.members.first()?;
        let is_point = matches!(first.extent, Extent::Point | Extent::Sphere { .. });
        let distances = self.members.iter().filter_map(|(_, member)| distance_beside(&member.extent, first.center));
        distances.min_by(f64::total_cmp).filter(|mm| is_point && *mm > 0.0)
    }

    /// Distance of a point to this node: 0 inside a mask or box, else to the nearest centre.
    fn distance(&self, point: PointMm) -> f64 {
        self.members
            .iter()
            .map(|(_, member)| match &member.extent {
                Extent::Mask(mask) if is_set(mask, mask.affine.to_voxel(point)) => 0.0,
                Extent::Box { minimum, maximum } => {
                    let inside = (0..3).all(|axis| (minimum.0[axis]..=maximum.0[axis]).contains(&point.0[axis]));
                    if inside { 0.0 } else { member.center.distance(point) }
                }
                _ => member.center.distance(point),
            })
            .fold(f64::INFINITY, f64::min)
    }
}

/// Joins the annotations of one series; each comes with the number of its source. Those of different sources are one finding where they lie
/// within `tolerance_mm` (or in the mask or box of the other) and may be the same node, the nearest pair first; then points that lie beside the surface
/// of one mask alone.
pub fn join(mut annotations: Vec<(usize, Annotation)>, tolerance_mm: f64) -> Joined {
    // Masks first, so that points find them; then a fixed order, whatever the order of the input.
    let is_point = |annotation: &Annotation| !matches!(annotation.extent, Extent::Mask(_));
    annotations.sort_by(|a, b| {
        let place = |annotation: &Annotation| annotation.center.0.map(|x| (x * 1e3).round() as i64);
        (is_point(&a.1), a.0, place(&a.1)).cmp(&(is_point(&b.1), b.0, place(&b.1)))
    });
    let (mut duplicates, mut crowded) = (0, 0);
    let (mut apart, mut in_regions) = (Vec::new(), Vec::new());
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut rest = annotations.into_iter().peekable();
    while let Some(first) = rest.next() {
        // All of one source and kind at once: the nearest pair is joined first, so that the order of places does not matter.
        let kind = (is_point(&first.1), first.0);
        let mut group = vec![Cluster { members: vec![first] }];
        while let Some(next) = rest.next_if(|next| (is_point(&next.1), next.0) == kind) {
            group.push(Cluster { members: vec![next] });
        }
        let mut group: Vec<Option<Cluster>> = one_for_each_node(group, &mut duplicates).into_iter().map(Some).collect();
        let source = kind.1;
        let mut pairs: Vec<([f64; 2], usize, usize)> = Vec::new();
        // Pairs of masks that share too little, and rows in regions.
        let (mut too_little, mut regions) = (Vec::new(), BTreeSet::new());
        for (n, one) in group.iter().flatten().enumerate() {
            for (at, cluster) in clusters.iter().enumerate() {
                let taken = cluster.members.iter().any(|(member, _)| *member == source);
                let distance = cluster.distance(one.center());
                if taken || distance > tolerance_mm {
                    continue;
                }
                let of_centers = cluster.center().distance(one.center());
                let masks = cluster.mask().zip(one.mask());
                if masks.is_some_and(|(a, b)| of_centers > SAME_NODE_MM && !are_one_node(a, b)) {
                    too_little.push((at, n));
                } else if cluster.is_region_around(one, tolerance_mm) {
                    regions.insert(n);
                } else {
                    // Of several points inside a mask the one nearest its centre is meant.
                    pairs.push(([distance, of_centers], at, n));
                }
            }
        }
        let order = |[a, b]: [f64; 2], [c, d]: [f64; 2]| a.total_cmp(&c).then(b.total_cmp(&d));
        pairs.sort_by(|a, b| order(a.0, b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut taken = BTreeSet::new();
        let inside: Vec<(usize, usize)> =
            pairs.iter().filter(|pair| pair.0[0] == 0.0).map(|pair| (pair.1, pair.2)).collect();
        for (_, at, n) in pairs {
            if !taken.contains(&at)
                && let Some(one) = group[n].take()
            {
                clusters[at].members.extend(one.members);
                taken.insert(at);
            }
        }
        let left: BTreeSet<usize> = inside.iter().filter(|(_, n)| group[*n].is_some()).map(|(_, n)| *n).collect();
        crowded += left.len() as u64;
        // Where either was joined to another one, a source has drawn two nodes there.
        let alone = too_little.into_iter().filter(|(at, n)| group[*n].is_some() && !taken.contains(at));
        let alone: BTreeSet<usize> = alone.map(|(_, n)| n).collect();
        apart.extend(alone.into_iter().filter_map(|n| Some(group[n].as_ref()?.center())));
        in_regions.extend(regions.into_iter().filter_map(|n| Some(group[n].as_ref()?.center())));
        clusters.extend(group.into_iter().flatten());
    }
    let (clusters, beside) = join_beside(clusters, tolerance_mm);
    // A row in the middle of a mask that another row was joined to lies at the place of that finding.
    let clusters = one_for_each_node(clusters, &mut duplicates);
    let contradicting_lengths = clusters.iter().filter_map(|cluster| contradicting_lengths(&cluster.members)).collect();
    let with_centers = |cluster: Cluster| {
        let centers: Vec<PointMm> = cluster.members.iter().map(|(_, member)| member.center).collect();
        merge(&cluster.members).map(|finding| (finding, centers))
    };
    let (findings, centers) = clusters.into_iter().filter_map(with_centers).unzip();
    Joined { findings, centers, duplicates, beside, crowded, apart, in_regions, contradicting_lengths }
}

/// Joins points to the node whose surface they lie beside: one that is drawn by other sources and that no row lies in, and no other near. It comes last,
/// when all rows have found the masks that they lie in. Returns the centres of the points too.
fn join_beside(clusters: Vec<Cluster>, tolerance_mm: f64) -> (Vec<Cluster>, Vec<PointMm>) {
    let is_mask = |(_, member): &(usize, Annotation)| matches!(member.extent, Extent::Mask(_));
    let mut near: Vec<(f64, usize, usize)> = Vec::new();
    for (n, one) in clusters.iter().enumerate().filter(|(_, one)| !one.members.iter().any(is_mask)) {
        let distances = clusters.iter().enumerate().filter_map(|(at, cluster)| Some((cluster.beside(one)?, at)));
        // A point between two masks may be of either, or of neither.
        if let [(distance, at)] = distances.collect::<Vec<_>>()[..]
            && distance <= tolerance_mm
            && clusters[at].members.iter().all(is_mask)
            && !clusters[at].shares_source(one)
            && may_be_one(&clusters[at].members, &one.members)
            && !clusters[at].is_region_around(one, tolerance_mm)
        {
            near.push((distance, at, n));
        }
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut clusters: Vec<Option<Cluster>> = clusters.into_iter().map(Some).collect();
    let (mut taken, mut beside) = (BTreeSet::new(), Vec::new());
    for (_, at, n) in near {
        if taken.insert(at)
            && let Some(one) = clusters[n].take()
            && let Some(node) = &mut clusters[at]
        {
            beside.extend(one.members.first().map(|(_, member)| member.center));
            node.members.extend(one.members);
        }
    }
    (clusters.into_iter().flatten().collect(), beside)
}

/// Two centres nearer than this are those of one node, mm: no node is so small.
pub(crate) const SAME_NODE_MM: f64 = 1.0;

/// Of two masks of one node the one that is this many times as large is the node, and the other a part of it.
const PART_OF_NODE: f64 = 2.0;

/// What is drawn wider than this is a region, unless a row says otherwise, mm: nodes of 30 mm and more are few.
const WIDEST_NODE_MM: f64 = 30.0;

/// The lesser width of what is drawn in a plane, mm.
fn width_of(extent: &Extent) -> Option<f64> {
    match extent {
        Extent::Mask(mask) => short_axis_mm(mask),
        Extent::Box { minimum, maximum } => {
            let side = |axis: usize| maximum.0[axis] - minimum.0[axis];
            Some(side(0).min(side(1)))
        }
        Extent::Point | Extent::Sphere { .. } => None,
    }
}

/// Masks whose centres lie farther apart than this are not compared voxel by voxel, mm: an overlap of half needs large nodes then.
const COMPARED_WITHIN_MM: f64 = 10.0;

/// Merges clusters of one node, in their order, and counts those that were merged into another: one node may be drawn under two names.
fn one_for_each_node(clusters: Vec<Cluster>, duplicates: &mut u64) -> Vec<Cluster> {
    // Cells of the larger distance, so that only neighbours are compared.
    let cell_of = |point: PointMm| point.0.map(|x| (x / COMPARED_WITHIN_MM).floor() as i64);
    let mut cells: BTreeMap<[i64; 3], Vec<usize>> = BTreeMap::new();
    let mut unique: Vec<Cluster> = Vec::with_capacity(clusters.len());
    for cluster in clusters {
        let [i, j, k] = cell_of(cluster.center());
        let around = (-1..=1).flat_map(|a| (-1..=1).flat_map(move |b| (-1..=1).map(move |c| [i + a, j + b, k + c])));
        let near = around.filter_map(|cell| cells.get(&cell)).flatten().copied();
        match near.filter(|&n| unique[n].is_same_node(&cluster)).min() {
            Some(known) => {
                *duplicates += 1;
                unique[known].absorb(cluster);
            }
            None => {
                cells.entry([i, j, k]).or_default().push(unique.len());
                unique.push(cluster);
            }
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::AnnotationSource;
    use mtids_domain::annotation::{AnnotationTarget, Mask};
    use mtids_domain::geometry::Affine;
    use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
    use mtids_domain::taxonomy::Location;
    use mtids_domain::taxonomy::Station;

    fn annotation(x: f64, metastasis: Option<Metastasis>) -> Annotation {
        Annotation {
            target: AnnotationTarget::default(),
            center: PointMm::new(x, 0.0, 0.0),
            extent: Extent::Point,
            finding: String::new(),
            codes: Vec::new(),
            station: None,
            metastasis,
            evidence: Evidence::B,
            level: LabelLevel::Node,
            short_axis_mm: None,
            source: AnnotationSource::Table,
        }
    }

    fn mask(x: f64) -> Annotation {
        let affine =
            Affine::new(PointMm::new(x, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
        Annotation {
            extent: Extent::Mask(Arc::new(Mask { affine, voxels: vec![[0, 0, 0]] })),
            source: AnnotationSource::Segmentation,
            evidence: Evidence::U,
            ..annotation(x, None)
        }
    }

    #[test]
    fn a_mask_takes_its_labels_from_the_nearest_row() {
        let rows = [(1, annotation(4.0, Some(Metastasis::Benign))), (1, annotation(1.0, Some(Metastasis::Metastatic)))];
        let found = join([vec![(0, mask(0.0))], rows.to_vec()].concat(), 5.0).findings;
        assert_eq!(found.len(), 2, "two rows of one table stay two findings");
        assert_eq!(found[0].source, AnnotationSource::SegmentationWithTable);
        assert_eq!((found[0].metastasis, found[0].evidence), (Some(Metastasis::Metastatic), Evidence::B));
        assert_eq!(found[0].center, PointMm::new(0.0, 0.0, 0.0));
        assert!(found[0].short_axis_mm.is_some_and(|mm| mm < 1.1), "that of one voxel of 1 mm");
        assert_eq!(found[1].source, AnnotationSource::Table);
        assert_eq!(found[0].mask.as_ref().map(|mask| mask.voxels.len()), Some(1), "its voxels survive the row");
        assert_eq!(found[1].mask, None);
    }

    #[test]
    fn of_two_rows_in_one_mask_the_one_nearest_its_centre_is_meant_and_the_other_is_told() {
        let Extent::Mask(one) = mask(0.0).extent else { panic!("a mask") };
        let voxels: Vec<[u32; 3]> = (0..21).map(|i| [i, 0, 0]).collect();
        let wide = Annotation {
            extent: Extent::Mask(Arc::new(Mask { affine: one.affine, voxels })),
            center: PointMm::new(10.0, 0.0, 0.0),
            ..mask(0.0)
        };
        for (near, far) in [(12.0, 1.0), (8.0, 19.0)] {
            let rows = [(far, Metastasis::Benign), (near, Metastasis::Metastatic)]
                .map(|(x, status)| (1, annotation(x, Some(status))));
            let joined = join([(0, wide.clone())].into_iter().chain(rows).collect(), 5.0);
            assert_eq!(joined.findings[0].metastasis, Some(Metastasis::Metastatic));
            assert_eq!((joined.findings.len(), joined.crowded), (2, 1));
        }
        assert_eq!(join(vec![(0, wide), (1, annotation(9.0, None))], 5.0).crowded, 0);
    }

    #[test]
    fn the_nearest_row_wins_whatever_its_side() {
        let rows = [(-4.0, Metastasis::Benign), (0.3, Metastasis::Metastatic)]
            .map(|(x, status)| (1, annotation(x, Some(status))));
        let found = join([(0, mask(0.0))].into_iter().chain(rows).collect(), 5.0).findings;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].metastasis, Some(Metastasis::Metastatic), "the row inside the mask");
        assert_eq!(found[1].metastasis, Some(Metastasis::Benign));
    }

    #[test]
    fn contradicting_sources_make_a_label_unknown() {
        let found = join(
            vec![(0, annotation(0.0, Some(Metastasis::Benign))), (1, annotation(1.0, Some(Metastasis::Metastatic)))],
            5.0,
        )
        .findings;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].metastasis, found[0].contradictions, found[0].evidence), (None, 1, Evidence::U));
    }

    #[test]
    fn a_station_of_one_source_refines_the_several_of_another() {
        let at = |source: usize, stations: &[Station]| {
            (source, Annotation { station: Location::of(stations.iter().copied()), ..annotation(0.0, None) })
        };
        let station = |places: Vec<(usize, Annotation)>| {
            let found = join(places, 5.0).findings;
            (found[0].station, found[0].contradictions)
        };
        let hilar = [Station::S10R, Station::S11R];
        assert_eq!(station(vec![at(0, &hilar), at(1, &[Station::S11R])]), (Some(Station::S11R.into()), 0));
        assert_eq!(station(vec![at(0, &hilar), at(1, &[Station::S11L])]), (None, 1));
        let apart = [Station::S4R, Station::S7];
        assert_eq!(station(vec![at(0, &apart), at(1, &[Station::S7])]), (Some(Station::S7.into()), 0));
        assert_eq!(station(vec![at(0, &apart)]), (Some(Location::Unplaced), 0));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let mut all = vec![(0, mask(0.0)), (1, annotation(1.0, None)), (2, mask(0.5)), (1, annotation(30.0, None))];
        let forward = join(all.clone(), 5.0);
        all.reverse();
        assert_eq!(join(all, 5.0), forward);
        assert_eq!(forward.findings.len(), 2);
    }

    #[test]
    fn rows_that_repeat_a_place_of_their_table_are_one_finding() {
        let benign = || (1, annotation(10.0, Some(Metastasis::Benign)));
        let joined = join(vec![benign(), benign(), (1, annotation(11.1, None))], 5.0);
        assert_eq!((joined.findings.len(), joined.duplicates), (2, 1));
        assert_eq!(joined.findings[0].metastasis, Some(Metastasis::Benign));
        assert_eq!(joined.findings[0].contradictions, 0);
        // What one row leaves open the other may say; what they contradict is unknown.
        let joined = join(vec![(1, annotation(10.0, None)), benign()], 5.0);
        assert_eq!(joined.findings[0].metastasis, Some(Metastasis::Benign));
        let joined = join(vec![benign(), (1, annotation(10.0, Some(Metastasis::Metastatic)))], 5.0);
        assert_eq!((joined.findings.len(), joined.duplicates), (1, 1));
        assert_eq!((joined.findings[0].metastasis, joined.findings[0].contradictions), (None, 1));
    }

    #[test]
    fn one_node_drawn_under_two_names_is_one_finding() {
        let block = |from: u32, station: Option<Station>| {
            let mut one = mask(0.0);
            let Extent::Mask(shape) = &one.extent else { panic!("a mask") };
            let voxels: Vec<[u32; 3]> = (0..40).map(|n| [from + n % 10, n / 10, 0]).collect();
            one.extent = Extent::Mask(Arc::new(Mask { affine: shape.affine, voxels }));
            one.center = PointMm::new(f64::from(from) + 4.5, 1.5, 0.0);
            one.station = station.map(Into::into);
            (0, one)
        };
        // Eight of ten columns are shared, then two.
        let joined = join(vec![block(0, Some(Station::S4R)), block(2, Some(Station::S4R))], 5.0);
        assert_eq!((joined.findings.len(), joined.duplicates), (1, 1));
        assert_eq!((joined.findings[0].station, joined.findings[0].contradictions), (Some(Station::S4R.into()), 0));
        let joined = join(vec![block(0, Some(Station::S4R)), block(2, Some(Station::S7))], 5.0);
        assert_eq!((joined.findings[0].station, joined.findings[0].contradictions), (None, 1));
        assert_eq!(join(vec![block(0, None), block(8, None)], 5.0).findings.len(), 2);
    }

    /// A cube of so many voxels of 1 mm from a corner on.
    fn cube(from: u32, side: u32) -> Annotation {
        let Extent::Mask(shape) = mask(0.0).extent else { panic!("a mask") };
        let places = (0..side).flat_map(|k| (0..side).flat_map(move |j| (0..side).map(move |i| [from + i, j, k])));
        let middle = f64::from(side - 1) / 2.0;
        Annotation {
            center: PointMm::new(f64::from(from) + middle, middle, middle),
            extent: Extent::Mask(Arc::new(Mask { affine: shape.affine, voxels: places.collect() })),
            ..mask(0.0)
        }
    }

    #[test]
    fn masks_of_two_sources_that_share_nothing_stay_two() {
        let joined = join(vec![(0, cube(0, 4)), (1, cube(4, 4))], 5.0);
        assert_eq!((joined.findings.len(), joined.apart.len()), (2, 1));
        let joined = join(vec![(0, cube(0, 4)), (1, cube(1, 4))], 5.0);
        assert_eq!((joined.findings.len(), joined.apart.len()), (1, 0));
        // Two readers of two neighbours, and one of whom draws a third.
        let neighbours = |source: usize, shift: u32| [(source, cube(shift, 4)), (source, cube(5 + shift, 4))];
        let joined = join([neighbours(0, 0), neighbours(1, 1)].concat(), 5.0);
        assert_eq!((joined.findings.len(), joined.apart.len()), (2, 0));
        let third = [vec![(0, cube(0, 4))], neighbours(1, 0).to_vec()].concat();
        let joined = join(third, 5.5);
        assert_eq!((joined.findings.len(), joined.apart.len()), (2, 0));
    }

    #[test]
    fn a_row_in_a_wide_region_is_no_row_of_the_region() {
        let at = |x: f64, short_axis_mm| {
            let row = Annotation { center: PointMm::new(x, 20.0, 20.0), short_axis_mm, ..annotation(0.0, None) };
            let joined = join(vec![(0, cube(0, 40)), (1, row)], 5.0);
            (joined.findings.len(), joined.in_regions.len())
        };
        assert_eq!(at(5.0, None), (2, 1));
        assert_eq!(at(5.0, Some(12.0)), (2, 1));
        assert_eq!(at(5.0, Some(38.0)), (1, 0), "its node is as large");
        assert_eq!(at(18.0, None), (1, 0), "it is the centre");
        let row = Annotation { center: PointMm::new(2.0, 10.0, 10.0), ..annotation(0.0, None) };
        assert_eq!(join(vec![(0, cube(0, 20)), (1, row)], 5.0).findings.len(), 1, "a large node");
    }

    #[test]
    fn a_part_of_a_node_never_gives_its_size() {
        let core = || Annotation { center: cube(0, 9).center, ..cube(3, 3) };
        for drawn in [vec![(0, core()), (0, cube(0, 9))], vec![(0, cube(0, 9)), (0, core())]] {
            let joined = join(drawn, 5.0);
            assert_eq!((joined.findings.len(), joined.duplicates), (1, 1));
            assert_eq!(joined.findings[0].mask.as_ref().map(|mask| mask.voxels.len()), Some(729));
        }
    }

    #[test]
    fn two_rows_in_one_mask_never_leave_two_findings_at_its_centre() {
        // Both rows lie in the mask, at distance 0; only one is joined, and the other lies at the centre of the mask.
        let rows = [(1, annotation(-0.2, None)), (1, annotation(0.0, Some(Metastasis::Benign)))];
        let joined = join([vec![(0, mask(0.0))], rows.to_vec()].concat(), 5.0);
        assert_eq!((joined.findings.len(), joined.duplicates), (1, 1));
        assert_eq!(joined.findings[0].metastasis, Some(Metastasis::Benign));
    }
}
