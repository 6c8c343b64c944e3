//! Measures of a node's place: of the region grown from its point, and of its mask where it has one.
//!
//! Units: as `mtids_patch::Measure`. Invariants: they belong to the node, so the shifted samples of a finding have the same; the aorta of
//! a series is looked for once.

use mtids_annotations::Finding;
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;
use mtids_patch::Measures;
use mtids_patch::measure::{GrowOptions, Region, aorta, grown, of_point, of_region};

/// The voxels of a candidate, on the grid of its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The voxels.
    pub mask: Mask,
    /// They were grown from the centre; otherwise they are those of the candidate's own mask.
    pub grown: bool,
}

/// What is measured in a series.
pub(crate) struct Measurer<'a> {
    ct: &'a Volume,
    pet: Option<&'a Volume<f32>>,
    aorta_hu: Option<f32>,
}

impl<'a> Measurer<'a> {
    /// Looks for the aorta.
    pub(crate) fn new(ct: &'a Volume, pet: Option<&'a Volume<f32>>) -> Self {
        Self { ct, pet, aorta_hu: aorta(ct) }
    }

    /// The voxels of a finding: of its mask, or of the region grown from its centre; `None` where neither is there.
    pub(crate) fn outline(&self, finding: &Finding) -> Option<Outline> {
        let mask = finding.mask.as_deref().and_then(|mask| Region::of_mask(self.ct, mask));
        match mask {
            Some(region) => Some(Outline { mask: region.to_mask(), grown: false }),
            None => self.grown(finding.center).map(|region| Outline { mask: region.to_mask(), grown: true }),
        }
    }

    fn grown(&self, center: PointMm) -> Option<Region> {
        grown(self.ct, center, &GrowOptions { blood_hu: self.aorta_hu, ..GrowOptions::default() })
    }

    /// Measures of the region grown from a point, and of the mask of its finding; the latter is `None` without a mask, and for one that
    /// lies outside the series.
    pub(crate) fn of(&self, center: PointMm, finding: Option<&Finding>) -> (Measures, Option<Measures>) {
        let of = |region: &Region| of_region(self.ct, region, center, self.aorta_hu, self.pet);
        let from_point = match self.grown(center) {
            Some(region) => of(&region),
            None => of_point(self.ct, center, self.aorta_hu),
        };
        let mask = finding.and_then(|finding| finding.mask.as_deref());
        (from_point, mask.and_then(|mask| Region::of_mask(self.ct, mask)).map(|region| of(&region)))
    }
}
