//! Annotations of one node become one finding.
//!
//! Invariants: a label that two annotations contradict becomes unknown and is counted; a length that somebody measured goes before one that is
//! computed from a mask. Units: mm.

use std::sync::Arc;

use mtids_domain::annotation::{Annotation, AnnotationSource, Extent, Mask};
use mtids_domain::geometry::PointMm;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::taxonomy::Location;

use crate::measure::short_axis_mm;

/// Largest mask that a finding keeps, in set voxels: what is larger is no node, and masks of a whole build lie in memory together.
pub const MOST_MASK_VOXELS: usize = 8_000_000;

/// A finding in one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Centre in LPS mm.
    pub center: PointMm,
    /// Station, or several of which it is one; [`Location::Unplaced`] where the sources have no place on the map.
    pub station: Option<Location>,
    /// Status.
    pub metastasis: Option<Metastasis>,
    /// Evidence of the status.
    pub evidence: Evidence,
    /// Level of the status.
    pub level: LabelLevel,
    /// Short axis in mm.
    pub short_axis_mm: Option<f64>,
    /// Its voxels on the grid they were drawn on; `None` for a place of a table, and for a mask of more than [`MOST_MASK_VOXELS`].
    pub mask: Option<Arc<Mask>>,
    /// Form of the source.
    pub source: AnnotationSource,
    /// Labels that sources contradict; they are unknown here.
    pub contradictions: u32,
}

/// The finding of annotations that speak of one node, masks first; `None` for none.
pub(crate) fn merge(members: &[(usize, Annotation)]) -> Option<Finding> {
    // Masks were put first, so the first member has the best geometry.
    let (_, first) = members.first()?;
    let mut contradictions = 0;
    let station = agreed_place(members.iter().filter_map(|(_, member)| member.station), &mut contradictions);
    let metastasis = agreed(members.iter().filter_map(|(_, member)| member.metastasis), &mut contradictions);
    // The best evidence among those that give the status.
    let speaker = members
        .iter()
        .map(|(_, member)| member)
        .filter(|member| metastasis.is_some() && member.metastasis == metastasis)
        .min_by_key(|member| member.evidence);
    Some(Finding {
        center: first.center,
        station,
        metastasis,
        evidence: speaker.map_or(Evidence::U, |member| member.evidence),
        level: speaker.map_or(LabelLevel::Node, |member| member.level),
        short_axis_mm: short_axis_of(members),
        mask: match &first.extent {
            Extent::Mask(mask) if mask.voxels.len() <= MOST_MASK_VOXELS => Some(Arc::clone(mask)),
            _ => None,
        },
        source: source_of(members),
        contradictions,
    })
}

/// The form of the sources: points, boxes and masks are drawn, whoever gives them, and only rows are of a table.
fn source_of(members: &[(usize, Annotation)]) -> AnnotationSource {
    let rows = members.iter().filter(|(_, member)| member.source == AnnotationSource::Table).count();
    match rows {
        0 => AnnotationSource::Segmentation,
        rows if rows == members.len() => AnnotationSource::Table,
        _ => AnnotationSource::SegmentationWithTable,
    }
}

/// The short axis that a table gives, else the one that another source gives, as a report; else that of the best mask, in mm.
fn short_axis_of(members: &[(usize, Annotation)]) -> Option<f64> {
    let members = || members.iter().map(|(_, member)| member);
    let in_table = members().filter(|member| member.source == AnnotationSource::Table);
    let measured = || match &members().next()?.extent {
        Extent::Mask(mask) => short_axis_mm(mask),
        _ => None,
    };
    in_table.chain(members()).find_map(|member| member.short_axis_mm).or_else(measured)
}

/// Measured lengths of one node that differ by more than this, and by a quarter, are of two nodes or wrong, mm.
const ONE_LENGTH_MM: f64 = 2.0;
/// A measured length and that of a mask are of one node up to this ratio: masks are drawn roughly.
const ONE_MASK: f64 = 2.0;

/// The least and the greatest short axis that sources give, where they cannot be of one node, mm.
pub(crate) fn contradicting_lengths(members: &[(usize, Annotation)]) -> Option<[f64; 2]> {
    let given = || members.iter().filter_map(|(_, member)| member.short_axis_mm);
    let (least, most) = (given().fold(f64::INFINITY, f64::min), given().fold(0.0, f64::max));
    if most == 0.0 {
        return None;
    }
    if most - least > ONE_LENGTH_MM && most > 1.25 * least {
        return Some([least, most]);
    }
    let Extent::Mask(mask) = &members.first()?.1.extent else { return None };
    let drawn = short_axis_mm(mask)?;
    (drawn.max(most) > ONE_MASK * drawn.min(least)).then(|| [drawn.min(least), drawn.max(most)])
}

/// Whether nothing that two groups of annotations say of station and status contradicts that they are of one node.
pub(crate) fn may_be_one(a: &[(usize, Annotation)], b: &[(usize, Annotation)]) -> bool {
    let mut pairs = a.iter().flat_map(|(_, one)| b.iter().map(move |(_, other)| (one, other)));
    pairs.all(|(one, other)| {
        let stations = one.station.zip(other.station).is_none_or(|(a, b)| a.meet(b).is_some());
        stations && one.metastasis.zip(other.metastasis).is_none_or(|(a, b)| a == b)
    })
}

/// The value all agree on; `None`, counted, where they do not.
fn agreed<T: PartialEq>(mut values: impl Iterator<Item = T>, contradictions: &mut u32) -> Option<T> {
    let first = values.next()?;
    if values.all(|value| value == first) {
        return Some(first);
    }
    *contradictions += 1;
    None
}

/// The stations that all leave open: a station of the set refines it. `None`, counted, where they contradict each other.
fn agreed_place(mut places: impl Iterator<Item = Location>, contradictions: &mut u32) -> Option<Location> {
    let first = places.next()?;
    let agreed = places.try_fold(first, Location::meet);
    *contradictions += u32::from(agreed.is_none());
    agreed
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::{AnnotationTarget, Mask};
    use mtids_domain::geometry::{Affine, PointMm};

    fn row(short_axis_mm: Option<f64>) -> Annotation {
        Annotation {
            target: AnnotationTarget::default(),
            center: PointMm::new(0.0, 0.0, 0.0),
            extent: Extent::Point,
            finding: String::new(),
            codes: Vec::new(),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm,
            source: AnnotationSource::Table,
        }
    }

    /// A mask of one voxel of 2 mm.
    fn mask(short_axis_mm: Option<f64>) -> Annotation {
        let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]];
        let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
        Annotation {
            extent: Extent::Mask(Arc::new(Mask { affine, voxels: vec![[0, 0, 0]] })),
            source: AnnotationSource::Segmentation,
            ..row(short_axis_mm)
        }
    }

    #[test]
    fn lengths_of_one_node_that_contradict_each_other_are_told() {
        let told =
            |members: Vec<Annotation>| contradicting_lengths(&members.into_iter().enumerate().collect::<Vec<_>>());
        assert_eq!(told(vec![row(Some(8.0)), row(Some(20.0))]), Some([8.0, 20.0]));
        assert_eq!(told(vec![row(Some(8.0)), row(Some(10.0))]), None);
        assert_eq!(told(vec![row(Some(20.0)), row(Some(24.0))]), None, "a fifth");
        assert_eq!(told(vec![row(None), row(None)]), None);
        // The mask measures 1.4 mm.
        assert!(told(vec![mask(None), row(Some(9.4))]).is_some_and(|[_, most]| most == 9.4));
        assert_eq!(told(vec![mask(None), row(Some(2.5))]), None);
    }

    #[test]
    fn only_rows_are_of_a_table() {
        let source =
            |members: Vec<Annotation>| merge(&members.into_iter().enumerate().collect::<Vec<_>>()).unwrap().source;
        let point = || Annotation { source: AnnotationSource::Segmentation, ..row(None) };
        assert_eq!(source(vec![point()]), AnnotationSource::Segmentation);
        assert_eq!(source(vec![mask(None), point()]), AnnotationSource::Segmentation, "a mask and its report");
        assert_eq!(source(vec![row(None), row(None)]), AnnotationSource::Table);
        for drawn in [mask(None), point()] {
            assert_eq!(source(vec![drawn, row(None)]), AnnotationSource::SegmentationWithTable);
        }
    }

    #[test]
    fn a_length_that_somebody_measured_goes_before_that_of_a_mask() {
        let length = |members: Vec<Annotation>| {
            merge(&members.into_iter().enumerate().collect::<Vec<_>>()).unwrap().short_axis_mm
        };
        let Extent::Mask(shape) = mask(None).extent else { panic!("a mask") };
        let computed = short_axis_mm(&shape);
        assert!(computed.is_some_and(|mm| mm < 2.1), "{computed:?}");
        assert_eq!(length(vec![mask(None)]), computed);
        assert_eq!(length(vec![mask(None), mask(Some(12.5))]), Some(12.5), "that of a report");
        assert_eq!(length(vec![mask(None), mask(Some(12.5)), row(Some(9.0))]), Some(9.0), "that of a table");
        assert_eq!(length(vec![mask(None), row(None)]), computed);
        assert_eq!(length(vec![row(None)]), None);
    }
}
