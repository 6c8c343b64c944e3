//! What is said about nodes, patients and studies, as values that every output is made of.
//!
//! Invariants: one class per node, made once and written everywhere; without an examined candidate there is no N category, and never N0. Units:
//! LPS mm, HU, and those in the names of measures.

use std::collections::{BTreeMap, BTreeSet};

use mtids_annotations::Finding;
use mtids_domain::label::Metastasis;
use mtids_domain::nodal::{Edition, NCategory, NodalStage, NodeState, Side};
use mtids_domain::taxonomy::{Location, Region, RegionScheme, Station};
use mtids_prep::partition::PlannedSeries;
use mtids_runtime::provenance::Program;
use mtids_shards::{Measure, Measures, RowLabels};
use schemars::JsonSchema;
use serde::Serialize;

/// A run whose network was asked.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RunAnswer {
    /// Digest of the weights.
    pub weights: String,
    /// Digest of the configuration.
    pub configuration: String,
    /// Digest of the dataset that it was trained on.
    pub dataset: String,
    /// Seed of the training.
    pub seed: u64,
    /// Step of the weights.
    pub step: u64,
    /// The training has ended.
    pub finished: bool,
    /// Its probabilities are calibrated on validation patients; none are where one of several runs is not.
    pub calibrated: bool,
    /// They join what the network says with the measures of the region grown from the centre.
    pub with_measures: bool,
    /// Regions that no node of its training lay in: a node of them is read as of another one.
    pub untaught_regions: Vec<String>,
    /// Share of nodes whose set is to hold their class; none without a calibration.
    pub level: Option<f64>,
}

/// What the networks say of a node.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StatusAnswer {
    /// Region with the largest probability.
    pub region: String,
    /// Its probability.
    pub region_probability: f64,
    /// Probability of metastasis: calibrated where the runs are, and joined with measures where their calibrations do so.
    pub probability: f64,
    /// The probability is at least one half.
    pub metastatic: bool,
    /// Probability of metastasis of the network alone, before calibration.
    pub network_probability: f64,
    /// Probability of metastasis of the network alone, calibrated; none where a run is not.
    pub network_calibrated: Option<f64>,
    /// Probability of metastasis of the measures alone; none where no run joins them, or too little could be measured.
    pub measures_probability: Option<f64>,
    /// Least probability of the ensemble.
    pub least: f64,
    /// Largest probability of the ensemble.
    pub most: f64,
    /// Region and status pairs that are not excluded; none where a run is not calibrated.
    pub set: Option<Vec<String>>,
}

impl StatusAnswer {
    /// The word for a status.
    pub fn word(metastatic: bool) -> &'static str {
        if metastatic { "metastatic" } else { "benign" }
    }

    /// The set in words: regions, each with its status, or `either`; of many regions their number.
    pub fn set_text(&self) -> Option<String> {
        let set = self.set.as_ref()?;
        let mut by_region: Vec<(&str, Vec<&str>)> = Vec::new();
        for (region, status) in set.iter().filter_map(|class| class.rsplit_once(' ')) {
            match by_region.iter_mut().find(|(name, _)| *name == region) {
                Some((_, of_region)) => of_region.push(status),
                None => by_region.push((region, vec![status])),
            }
        }
        let text = |(region, status): &(&str, Vec<&str>)| match status[..] {
            [one] => format!("{region} {one}"),
            _ => format!("{region} either"),
        };
        if by_region.len() > 2 && by_region.iter().all(|(_, status)| status.len() > 1) {
            return Some(format!("either, in {} regions", by_region.len()));
        }
        Some(by_region.iter().map(text).collect::<Vec<_>>().join(", "))
    }
}

/// What is said of a candidate.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Region with the largest probability and that probability, and what is said of the status; `None` without a network.
    pub(super) status: Option<StatusAnswer>,
    /// In which ways the candidate is unlike the training.
    pub(super) outside: Vec<String>,
}

/// A candidate and what is said of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NodeAnswer {
    /// Number in its patient, from 1.
    pub number: usize,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID.
    pub series_uid: String,
    /// SOP Instance UID of the slice that lies nearest to the centre.
    pub instance_uid: Option<String>,
    /// Number of that slice in the series, from 1, from foot to head or as the series runs.
    pub slice: Option<usize>,
    /// Centre, LPS mm.
    pub center_mm: [f64; 3],
    /// Form of the candidate's source.
    pub source: String,
    /// Stations that the candidate came with.
    pub given_stations: Vec<String>,
    /// Status that the candidate came with.
    pub given_status: Option<String>,
    /// What the networks say; none where it was only measured.
    pub status: Option<StatusAnswer>,
    /// Measures of the region grown from the centre.
    pub grown: BTreeMap<String, f32>,
    /// Measures of the candidate's mask; none where it has none.
    pub mask: Option<BTreeMap<String, f32>>,
    /// In which ways the scan or the node is unlike those of the training.
    pub outside_training: Vec<String>,
    /// Stations that the node may lie in, and the status that it came with, for the N category.
    #[serde(skip)]
    given: Given,
    /// Its three planes as the address of an `img`; not for every node of many.
    #[serde(skip)]
    pub(super) picture: Option<String>,
}

/// What a candidate came with.
#[derive(Clone, Debug, Default, PartialEq)]
struct Given {
    stations: Vec<Station>,
    metastatic: Option<bool>,
}

impl Given {
    fn of(finding: &Finding) -> Self {
        Self {
            stations: finding.station.map(Location::stations).into_iter().flatten().collect(),
            metastatic: finding.metastasis.map(|status| status == Metastasis::Metastatic),
        }
    }

    fn codes(&self) -> Vec<String> {
        self.stations.iter().map(|station| station.code().to_owned()).collect()
    }
}

fn by_name(measures: &Measures) -> BTreeMap<String, f32> {
    let named = |&measure: &Measure| Some((measure.name().to_owned(), measures.get(measure)?));
    Measure::ALL.iter().filter_map(named).collect()
}

impl NodeAnswer {
    /// What is said of a candidate of a series.
    pub(super) fn new(
        number: usize,
        planned: &PlannedSeries,
        finding: &Finding,
        labels: &RowLabels,
        said: Said,
    ) -> Self {
        let series = &planned.series;
        let slice = mtids_prep::candidates::nearest_slice(series, finding.center);
        let given = Given::of(finding);
        Self {
            number,
            study_uid: series.study_uid.to_string(),
            series_uid: series.series_uid.to_string(),
            instance_uid: slice.map(|(_, slice)| slice.sop_instance_uid.clone()),
            slice: slice.map(|(number, _)| number + 1),
            center_mm: finding.center.0,
            source: finding.source.name().to_owned(),
            given_stations: given.codes(),
            given_status: finding.metastasis.map(|status| status.name().to_owned()),
            status: said.status,
            grown: by_name(&labels.grown),
            mask: labels.mask.as_ref().map(by_name),
            outside_training: said.outside,
            given,
            picture: None,
        }
    }
}

impl NodeAnswer {
    /// The short axis of the candidate's mask, or else of the region grown from its centre, mm.
    pub fn short_axis_mm(&self) -> Option<f32> {
        let name = Measure::ShortAxis.name();
        let of_mask = self.mask.as_ref().and_then(|mask| mask.get(name));
        of_mask.or_else(|| self.grown.get(name)).copied()
    }

    /// The candidate came with another status than the one that is read.
    pub fn is_contradicted(&self) -> bool {
        self.given.metastatic.zip(self.status.as_ref()).is_some_and(|(given, read)| given != read.metastatic)
    }

    /// What the N category knows of it. A station that it came with counts before the region that was read; a status that contradicts the one it
    /// came with is open. A node that is read as of a region may lie in one that no network was taught.
    fn state(&self, scheme: &RegionScheme, untaught: &BTreeSet<&str>) -> NodeState {
        let read = self.status.as_ref();
        let may_lie_in = |region: &&Region| {
            read.is_some_and(|read| region.name == read.region || untaught.contains(region.name.as_str()))
        };
        let stations = match self.given.stations.as_slice() {
            [] => scheme.regions().iter().filter(may_lie_in).flat_map(|region| region.stations.clone()).collect(),
            given => given.to_vec(),
        };
        NodeState { stations, metastatic: read.map(|one| one.metastatic).filter(|_| !self.is_contradicted()) }
    }
}

/// A candidate that nothing is said of.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CandidateLeftOut {
    /// Series Instance UID.
    pub series_uid: String,
    /// Centre, LPS mm.
    pub center_mm: [f64; 3],
    /// Stations that it came with.
    pub given_stations: Vec<String>,
    /// Status that it came with.
    pub given_status: Option<String>,
    /// Stable reason.
    pub reason: String,
    /// The same, for the N category.
    #[serde(skip)]
    given: Given,
}

impl CandidateLeftOut {
    /// A candidate of a series and the reason.
    pub(super) fn new(planned: &PlannedSeries, finding: &Finding, reason: String) -> Self {
        let given = Given::of(finding);
        Self {
            series_uid: planned.series.series_uid.to_string(),
            center_mm: finding.center.0,
            given_stations: given.codes(),
            given_status: finding.metastasis.map(|status| status.name().to_owned()),
            reason,
            given,
        }
    }
}

/// The nodes of a region.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RegionAnswer {
    /// Name.
    pub region: String,
    /// Candidates that were read as lying in it.
    pub nodes: usize,
    /// Those of them that were read as metastatic.
    pub metastatic: usize,
    /// Largest probability of metastasis among them.
    pub most: f64,
}

/// The N category of a patient.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct NodalAnswer {
    /// Side of the primary tumour.
    pub primary_side: Side,
    /// Edition of the TNM classification.
    pub edition: Edition,
    /// The category in words, with what stays open.
    pub category: String,
    /// All categories that the nodes allow, with those of candidates that nothing is said of, or whose given status is another one.
    pub possible: Vec<NCategory>,
    /// The least category that the nodes allow.
    pub least: NCategory,
    /// The most.
    pub most: NCategory,
}

/// A patient.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PatientAnswer {
    /// PatientID.
    pub patient_id: String,
    /// Study Instance UIDs.
    pub studies: BTreeSet<String>,
    /// Regions with a candidate, in the order of the network's classes.
    pub regions: Vec<RegionAnswer>,
    /// N category of the nodes that were read as metastatic; none without a side of the primary tumour, a network, or an examined candidate, and for
    /// candidates of several studies.
    pub nodal: Option<NodalAnswer>,
    /// Why there is no N category although a side was given.
    pub nodal_missing: Option<String>,
    /// Candidates.
    pub nodes: Vec<NodeAnswer>,
    /// Candidates that nothing is said of.
    pub left_out: Vec<CandidateLeftOut>,
    /// Names of the DICOM objects that were written.
    pub objects: Vec<String>,
}

impl PatientAnswer {
    pub(super) fn new(patient_id: &str) -> Self {
        Self {
            patient_id: patient_id.to_owned(),
            studies: BTreeSet::new(),
            regions: Vec::new(),
            nodal: None,
            nodal_missing: None,
            nodes: Vec::new(),
            left_out: Vec::new(),
            objects: Vec::new(),
        }
    }

    pub(super) fn add_study(&mut self, uid: &str) {
        self.studies.insert(uid.to_owned());
    }

    /// Sums up the nodes; `rejected` entries of the annotations gave no candidate, and may be nodes of any place; `untaught` are regions that a network was never
    /// taught, `None` without a network. A station that a candidate came with counts before the region that the network read.
    pub(super) fn conclude(
        &mut self,
        scheme: &RegionScheme,
        primary: Option<Side>,
        edition: Edition,
        untaught: Option<&BTreeSet<&str>>,
        rejected: usize,
    ) {
        self.regions.clear();
        for region in scheme.regions() {
            let here =
                || self.nodes.iter().filter_map(|node| node.status.as_ref()).filter(|one| one.region == region.name);
            if here().next().is_some() {
                self.regions.push(RegionAnswer {
                    region: region.name.clone(),
                    nodes: here().count(),
                    metastatic: here().filter(|one| one.metastatic).count(),
                    most: here().map(|one| one.probability).fold(0.0, f64::max),
                });
            }
        }
        let (Some(primary_side), Some(untaught)) = (primary, untaught) else { return };
        if self.studies.len() > 1 {
            self.nodal_missing = Some(format!(
                "its candidates lie in {} studies, and each has a category of its own; answer them one by one",
                self.studies.len()
            ));
            return;
        }
        // Nothing is said of a candidate that was left out, so it may be metastatic.
        let open = self.left_out.iter().map(|one| NodeState { stations: one.given.stations.clone(), metastatic: None });
        let unknown = std::iter::repeat_n(NodeState { stations: Vec::new(), metastatic: None }, rejected.min(1));
        let nodes: Vec<NodeState> =
            self.nodes.iter().map(|node| node.state(scheme, untaught)).chain(open).chain(unknown).collect();
        match NodalStage::of(&nodes, primary_side) {
            Some(stage) => {
                let (category, NodalStage { least, most, possible, .. }) = (stage.text(edition), stage);
                self.nodal = Some(NodalAnswer { primary_side, edition, category, possible, least, most });
            }
            None => self.nodal_missing = Some("no candidate has a status that is certain".to_owned()),
        }
    }

    /// Series with a candidate, in the order of the nodes.
    pub(super) fn series(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for uid in self.nodes.iter().map(|node| node.series_uid.as_str()) {
            if !all.contains(&uid) {
                all.push(uid);
            }
        }
        all
    }
}

/// Everything that is said about studies.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StudyAnswer {
    /// What this is not.
    pub notice: String,
    /// The program.
    pub program: Program,
    /// The runs whose networks were asked; none where nodes were only measured.
    pub runs: Vec<RunAnswer>,
    /// Patients with a candidate, by their ids.
    pub patients: Vec<PatientAnswer>,
    /// PatientIDs of usable scans without any candidate: nothing is said of them.
    pub patients_without_candidate: Vec<String>,
    /// Files that should have been usable, by reason.
    pub files_refused: BTreeMap<String, u64>,
    /// Files that gave nothing, and need not, by reason.
    pub files_without_candidate: BTreeMap<String, u64>,
    /// Entries of annotation sources that gave no candidate, by reason.
    pub candidates_rejected: BTreeMap<String, u64>,
}

impl StudyAnswer {
    /// Something of the input has no answer.
    pub fn is_incomplete(&self) -> bool {
        let left_out = self.patients.iter().any(|patient| !patient.left_out.is_empty());
        left_out || !self.files_refused.is_empty() || !self.candidates_rejected.is_empty()
    }
}
