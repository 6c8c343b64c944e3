//! What an RTSTRUCT object says of its structures against their names and places.
//!
//! Invariant: a label that contradicts the name leaves the station or status unknown; all else is read as it stands, and told.

use mtids_domain::annotation::Annotation;
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::taxonomy::Location;

use crate::classes::Classes;
use crate::geometry::SeriesGeometry;
use crate::structures::RegionOfInterest;

/// Most structures that a sentence names.
const SHOWN: usize = 5;

/// Structures that are doubted, by their titles.
#[derive(Debug, Default)]
pub(super) struct RegionDoubts {
    no_node: Vec<String>,
    labels: Vec<String>,
    frames: Vec<String>,
}

impl RegionDoubts {
    /// Looks at a structure that was placed in a series.
    pub(super) fn look_at(&mut self, title: &str, region: &RegionOfInterest, series: &SeriesGeometry<'_>) {
        if !region.observed.no_node.is_empty() {
            self.no_node.push(format!("{title} ({})", region.observed.no_node.join(", ")));
        }
        let frames = (region.target.frame_of_reference_uid.as_deref(), series.frame_of_reference_uid);
        if let (Some(own), Some(other)) = frames
            && own != other
        {
            self.frames.push(format!("{title} ({own}, and {other} of series {})", series.series_uid));
        }
    }

    /// A finding of a structure without what a label of the structure contradicts.
    pub(super) fn without_contradiction(
        &mut self,
        title: &str,
        region: &RegionOfInterest,
        classes: &Classes,
        mut finding: Annotation,
    ) -> Annotation {
        for label in &region.observed.labels {
            let said = Said::of(label, &region.name, classes);
            let is_other_station =
                said.stations.iter().any(|other| finding.station.is_some_and(|own| own.meet(*other).is_none()));
            let is_other_status = said.status.is_some_and(|other| finding.metastasis.is_some_and(|own| own != other));
            if is_other_station {
                finding.station = None;
            }
            if is_other_status {
                (finding.metastasis, finding.evidence) = (None, Evidence::U);
            }
            let told = format!("{title} (`{label}`)");
            if (is_other_station || is_other_status) && !self.labels.contains(&told) {
                self.labels.push(told);
            }
        }
        finding
    }

    /// A sentence for each kind of doubt.
    pub(super) fn sentences(&self) -> Vec<String> {
        let told = |titles: &[String], tell: &dyn Fn(String) -> String| {
            let more = titles.len().saturating_sub(SHOWN);
            let shown = titles[..titles.len() - more].join(", ");
            (!titles.is_empty()).then(|| tell(if more > 0 { format!("{shown} and {more} more") } else { shown }))
        };
        let no_node = told(&self.no_node, &|titles| {
            format!(
                "the type or code of a structure says that it is no outline of a node: {titles}; sizes are those of the outline: if it has a margin or \
                 is no node, leave it out by a class rule"
            )
        });
        let labels = told(&self.labels, &|titles| {
            format!(
                "the label of a structure (ROIObservationLabel) contradicts its name: {titles}; what they contradict stays unknown: correct one of them"
            )
        });
        let frames = told(&self.frames, &|titles| {
            format!(
                "the frame of reference of a structure is not that of the image that it names: {titles}; it is placed by its coordinates there: look \
                 at both in a viewer"
            )
        });
        [no_node, labels, frames].into_iter().flatten().collect()
    }
}

/// What a label says by the class rules.
struct Said {
    stations: Vec<Location>,
    status: Option<Metastasis>,
}

impl Said {
    fn of(label: &str, name: &str, classes: &Classes) -> Self {
        let verdict = classes.verdict(label, &[]);
        // A rule for `LN 4R` reads the label `10L` in the place of `4R`. A number alone may count observations.
        let has = |is: fn(char) -> bool| label.chars().any(is);
        let is_station = has(char::is_alphabetic) && has(|c| c.is_ascii_digit());
        let own = classes.verdict(name, &[]).station_text.filter(|text| is_station && !text.is_empty());
        let replaced = own.map(|text| classes.verdict(&name.replacen(&text, label, 1), &[]));
        let stations = [verdict.station, replaced.and_then(|verdict| verdict.station)];
        Self { stations: stations.into_iter().flatten().collect(), status: verdict.metastasis }
    }
}
