//! Findings of all sources meet in one series, and those that speak of the same node become one.
//!
//! Units: LPS mm. Invariants: two findings of one source are never joined; a label that two sources contradict becomes unknown and is
//! counted; geometry comes from a mask where there is one, labels from a table.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use mtids_dicom::Series;
use mtids_dicom::annotation::{TablePosition, TableRow};
use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::taxonomy::Station;

/// A finding in one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Centre in LPS mm.
    pub center: PointMm,
    /// Station.
    pub station: Option<Station>,
    /// Status.
    pub metastasis: Option<Metastasis>,
    /// Evidence of the status.
    pub evidence: Evidence,
    /// Level of the status.
    pub level: LabelLevel,
    /// Short axis in mm.
    pub short_axis_mm: Option<f64>,
    /// Form of the source.
    pub source: AnnotationSource,
    /// Labels that sources contradict; they are unknown here.
    pub contradictions: u32,
}

/// A series with its grid, as findings are matched to it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// The series.
    pub series: &'a Series,
    /// Its grid.
    pub affine: Affine,
}

impl Candidate<'_> {
    /// Columns, rows and slices; a series without slices has none.
    pub fn dimensions(&self) -> [usize; 3] {
        let first = self.series.instances.first();
        first.map_or([0; 3], |first| [first.columns as usize, first.rows as usize, self.series.instances.len()])
    }

    /// Whether a place lies in its voxels.
    pub(crate) fn holds(&self, point: PointMm) -> bool {
        self.affine.to_voxel(point).nearest(self.dimensions()).is_some()
    }

    fn is_target(&self, target: &AnnotationTarget) -> bool {
        let series = self.series;
        match (&target.series_uid, &target.study_uid) {
            (Some(uid), _) => **uid == *series.series_uid,
            (None, Some(uid)) => {
                **uid == *series.study_uid
                    && (target.frame_of_reference_uid.is_none()
                        || target.frame_of_reference_uid.as_deref() == series.frame_of_reference_uid.as_deref())
            }
            (None, None) => false,
        }
    }

    /// By series or study, and by a slice where one is given.
    fn is_named_by(&self, row: &TableRow) -> bool {
        let target = &row.target;
        let holds_slice = |uid: &String| self.series.instances.iter().any(|instance| instance.sop_instance_uid == *uid);
        let named = self.is_target(target) || (target.series_uid.is_none() && target.study_uid.is_none());
        match &row.sop_instance_uid {
            Some(uid) => named && holds_slice(uid),
            None => self.is_target(target),
        }
    }
}

/// All images of a build, found by what findings say of theirs: a row of a large table must not be compared with every image.
#[derive(Debug)]
pub struct Images<'a> {
    list: Vec<Candidate<'a>>,
    by_series: HashMap<&'a str, Vec<usize>>,
    by_study: HashMap<&'a str, Vec<usize>>,
    by_frame: HashMap<&'a str, Vec<usize>>,
    by_slice: OnceLock<HashMap<&'a str, Vec<usize>>>,
}

impl<'a> Images<'a> {
    /// An index over candidates, which keep their numbers.
    pub fn new(list: Vec<Candidate<'a>>) -> Self {
        let index = |name: fn(&'a Series) -> Option<&'a str>| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, candidate) in list.iter().enumerate() {
                if let Some(name) = name(candidate.series) {
                    index.entry(name).or_default().push(n);
                }
            }
            index
        };
        Self {
            by_series: index(|series| Some(&series.series_uid)),
            by_study: index(|series| Some(&series.study_uid)),
            by_frame: index(|series| series.frame_of_reference_uid.as_deref()),
            by_slice: OnceLock::new(),
            list,
        }
    }

    /// All of them.
    pub fn list(&self) -> &[Candidate<'a>] {
        &self.list
    }

    /// Numbers of the volumes of a series.
    pub(crate) fn of_series(&self, uid: &str) -> &[usize] {
        self.by_series.get(uid).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the volumes in a frame of reference.
    pub(crate) fn of_frame(&self, uid: &str) -> &[usize] {
        self.by_frame.get(uid).map_or(&[], Vec::as_slice)
    }

    /// Numbers of the volumes that a row may speak of: by series, else by study, else by slice.
    fn near(&self, row: &TableRow) -> &[usize] {
        let found = match (&row.target.series_uid, &row.target.study_uid, &row.sop_instance_uid) {
            (Some(uid), _, _) => self.by_series.get(uid.as_str()),
            (None, Some(uid), _) => self.by_study.get(uid.as_str()),
            (None, None, Some(uid)) => self.slices().get(uid.as_str()),
            (None, None, None) => None,
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Made when the first row names a slice and nothing else.
    fn slices(&self) -> &HashMap<&'a str, Vec<usize>> {
        self.by_slice.get_or_init(|| {
            let mut index: HashMap<&'a str, Vec<usize>> = HashMap::new();
            for (n, candidate) in self.list.iter().enumerate() {
                for instance in &candidate.series.instances {
                    let of_slice = index.entry(&instance.sop_instance_uid).or_default();
                    // Frames of one object share its UID.
                    if of_slice.last() != Some(&n) {
                        of_slice.push(n);
                    }
                }
            }
            index
        })
    }
}

/// The series that a table row speaks of, and the finding in it.
pub fn place_row(row: &TableRow, images: &Images<'_>) -> Option<(usize, Annotation)> {
    let named = || images.near(row).iter().copied().filter(|&n| images.list[n].is_named_by(row));
    // A voxel index means another place in each volume under one series UID.
    if matches!(row.position, TablePosition::Voxel(..)) && named().count() > 1 {
        return None;
    }
    named().find_map(|n| {
        let candidate = &images.list[n];
        let annotation = row.resolve(candidate.series, &candidate.affine)?;
        candidate.holds(annotation.center).then_some((n, annotation))
    })
}

/// The series that a segmented finding speaks of.
pub fn place_mask(annotation: &Annotation, images: &Images<'_>) -> Option<usize> {
    let target = &annotation.target;
    let first = |numbers: &[usize]| numbers.iter().copied().find(|&n| images.list[n].holds(annotation.center));
    let by_series = target.series_uid.as_deref().and_then(|uid| first(images.of_series(uid)));
    // A mask may refer to a series that is not here (a copy, a re-export); the frame of reference then decides.
    by_series.or_else(|| target.frame_of_reference_uid.as_deref().and_then(|uid| first(images.of_frame(uid))))
}

struct Cluster {
    members: Vec<(usize, Annotation)>,
}

impl Cluster {
    /// Distance of a point to this node: 0 inside a mask or box, else to the nearest centre.
    fn distance(&self, point: PointMm) -> f64 {
        self.members
            .iter()
            .map(|(_, member)| match &member.extent {
                Extent::Mask(mask) => {
                    let [i, j, k] = mask.affine.to_voxel(point).0.map(|x| x.round() + 0.0);
                    let order = |&[a, b, c]: &[u32; 3]| {
                        f64::from(c).total_cmp(&k).then(f64::from(b).total_cmp(&j)).then(f64::from(a).total_cmp(&i))
                    };
                    // The voxels of a mask are sorted by (k, j, i); adding 0 above turned −0 into 0.
                    let inside = mask.voxels.binary_search_by(order).is_ok();
                    if inside { 0.0 } else { member.center.distance(point) }
                }
                Extent::Box { minimum, maximum } => {
                    let inside = (0..3).all(|axis| (minimum.0[axis]..=maximum.0[axis]).contains(&point.0[axis]));
                    if inside { 0.0 } else { member.center.distance(point) }
                }
                _ => member.center.distance(point),
            })
            .fold(f64::INFINITY, f64::min)
    }
}

/// Joins the annotations of one series; each comes with the number of its source.
pub fn join(mut annotations: Vec<(usize, Annotation)>, tolerance_mm: f64) -> Vec<Finding> {
    // Masks first, so that points find them; then a fixed order, whatever the order of the input.
    let is_point = |annotation: &Annotation| !matches!(annotation.extent, Extent::Mask(_));
    annotations.sort_by(|a, b| {
        let place = |annotation: &Annotation| annotation.center.0.map(|x| (x * 1e3).round() as i64);
        (is_point(&a.1), a.0, place(&a.1)).cmp(&(is_point(&b.1), b.0, place(&b.1)))
    });
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut rest = annotations.into_iter().peekable();
    while let Some(first) = rest.next() {
        // All of one source and kind at once: the nearest pair is joined first, so that the order of places does not matter.
        let kind = (is_point(&first.1), first.0);
        let mut group = vec![Some(first)];
        while let Some(next) = rest.next_if(|next| (is_point(&next.1), next.0) == kind) {
            group.push(Some(next));
        }
        let source = kind.1;
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (n, annotation) in group.iter().flatten().enumerate() {
            for (at, cluster) in clusters.iter().enumerate() {
                let taken = cluster.members.iter().any(|(member, _)| *member == source);
                let distance = cluster.distance(annotation.1.center);
                if !taken && distance <= tolerance_mm {
                    pairs.push((distance, at, n));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut taken = BTreeSet::new();
        for (_, at, n) in pairs {
            if !taken.contains(&at)
                && let Some(member) = group[n].take()
            {
                clusters[at].members.push(member);
                taken.insert(at);
            }
        }
        clusters.extend(group.into_iter().flatten().map(|member| Cluster { members: vec![member] }));
    }
    clusters.into_iter().filter_map(|cluster| merge(&cluster.members)).collect()
}

fn merge(members: &[(usize, Annotation)]) -> Option<Finding> {
    // Masks were put first, so the first member has the best geometry.
    let (_, first) = members.first()?;
    let masks = members.iter().filter(|(_, member)| matches!(member.extent, Extent::Mask(_))).count();
    let mut contradictions = 0;
    let station = agreed(members.iter().filter_map(|(_, member)| member.station), &mut contradictions);
    let metastasis = agreed(members.iter().filter_map(|(_, member)| member.metastasis), &mut contradictions);
    // The best evidence among those that give the status.
    let speaker = members
        .iter()
        .map(|(_, member)| member)
        .filter(|member| metastasis.is_some() && member.metastasis == metastasis)
        .min_by_key(|member| member.evidence);
    let given = members.iter().filter(|(_, member)| member.source == AnnotationSource::Table);
    Some(Finding {
        center: first.center,
        station,
        metastasis,
        evidence: speaker.map_or(Evidence::U, |member| member.evidence),
        level: speaker.map_or(LabelLevel::Node, |member| member.level),
        short_axis_mm: given.filter_map(|(_, member)| member.short_axis_mm).next().or(first.short_axis_mm),
        source: match masks {
            0 => AnnotationSource::Table,
            masks if masks == members.len() => AnnotationSource::Segmentation,
            _ => AnnotationSource::SegmentationWithTable,
        },
        contradictions,
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

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::annotation::Mask;

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
            extent: Extent::Mask(Mask { affine, voxels: vec![[0, 0, 0]] }),
            short_axis_mm: Some(7.0),
            source: AnnotationSource::Segmentation,
            evidence: Evidence::U,
            ..annotation(x, None)
        }
    }

    #[test]
    fn a_mask_takes_its_labels_from_the_nearest_row() {
        let rows = [(1, annotation(4.0, Some(Metastasis::Benign))), (1, annotation(1.0, Some(Metastasis::Metastatic)))];
        let found = join([vec![(0, mask(0.0))], rows.to_vec()].concat(), 5.0);
        assert_eq!(found.len(), 2, "two rows of one table stay two findings");
        assert_eq!(found[0].source, AnnotationSource::SegmentationWithTable);
        assert_eq!((found[0].metastasis, found[0].evidence), (Some(Metastasis::Metastatic), Evidence::B));
        assert_eq!((found[0].center, found[0].short_axis_mm), (PointMm::new(0.0, 0.0, 0.0), Some(7.0)));
        assert_eq!(found[1].source, AnnotationSource::Table);
    }

    #[test]
    fn the_nearest_row_wins_whatever_its_side() {
        let rows = [(-4.0, Metastasis::Benign), (0.3, Metastasis::Metastatic)]
            .map(|(x, status)| (1, annotation(x, Some(status))));
        let found = join([(0, mask(0.0))].into_iter().chain(rows).collect(), 5.0);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].metastasis, Some(Metastasis::Metastatic), "the row inside the mask");
        assert_eq!(found[1].metastasis, Some(Metastasis::Benign));
    }

    #[test]
    fn contradicting_sources_make_a_label_unknown() {
        let found = join(
            vec![(0, annotation(0.0, Some(Metastasis::Benign))), (1, annotation(1.0, Some(Metastasis::Metastatic)))],
            5.0,
        );
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].metastasis, found[0].contradictions, found[0].evidence), (None, 1, Evidence::U));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let mut all = vec![(0, mask(0.0)), (1, annotation(1.0, None)), (2, mask(0.5)), (1, annotation(30.0, None))];
        let forward = join(all.clone(), 5.0);
        all.reverse();
        assert_eq!(join(all, 5.0), forward);
        assert_eq!(forward.len(), 2);
    }
}
