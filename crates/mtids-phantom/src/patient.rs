//! One patient, drawn: chest, scanner, primary tumour, nodes with their truth, and the form of the labels.
//!
//! Invariant: a function of (configuration, patient number); nothing here depends on voxels but the grid. Units: LPS mm.

use mtids_dicom::ReasonCode;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::taxonomy::Station;
use mtids_runtime::random::rng_for;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::anatomy::{Anatomy, Structure};
use crate::config::{PhantomConfig, Phase, Site};
use crate::defect::Defect;
use crate::error::PhantomError;
use crate::label;
use crate::node::{Laws, Node, Obstacles, Visible, place};
use crate::spread::{Observed, Spread, bayes};

/// Model of the scanner that every phantom names: no real study has it.
pub const SCANNER_MODEL: &str = "Synthetic CT";

/// How the PatientID of every phantom begins.
pub const PATIENT_PREFIX: &str = "PHANTOM-";

/// Form in which the nodes of a study are given, in the order of the configuration; the table names them in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LabelForm {
    /// The table alone.
    Table,
    /// A DICOM SEG in the study.
    Segmentation,
    /// An RTSTRUCT in the study.
    Structures,
    /// A NIfTI label map beside the studies.
    Nifti,
}

impl LabelForm {
    /// Name, as written in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// PatientID of a patient.
pub(crate) fn patient_id(number: u32) -> String {
    format!("{}{:05}", PATIENT_PREFIX, number + 1)
}

/// What a cohort is drawn from; made once, then asked for each patient.
pub(crate) struct Model<'a> {
    config: &'a PhantomConfig,
    laws: Laws,
    spread: Spread,
    stations: Vec<(Station, f64)>,
}

/// A drawn patient.
#[derive(Debug)]
pub(crate) struct Patient {
    pub(crate) number: u32,
    pub(crate) site: Site,
    pub(crate) anatomy: Anatomy,
    /// Voxel size in mm.
    pub(crate) spacing: [f64; 3],
    /// The primary lies in the right lung.
    pub(crate) right: bool,
    pub(crate) tumour_mm: [f64; 3],
    pub(crate) tumour: Vec<Structure>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pet: bool,
    pub(crate) form: LabelForm,
    pub(crate) defect: Option<Defect>,
}

impl<'a> Model<'a> {
    /// # Errors
    /// [`PhantomError::Config`] naming the key.
    pub(crate) fn new(config: &'a PhantomConfig) -> Result<Self, PhantomError> {
        config.validate()?;
        Ok(Self {
            config,
            laws: Laws::new(config),
            spread: Spread::new(config)?,
            stations: config.nodes.station_shares()?,
        })
    }

    pub(crate) fn patient(&self, number: u32) -> Patient {
        let config = self.config;
        let draw = |purpose: &str| rng_for(config.seed, purpose, &[u64::from(number)]);
        let mut random = draw("phantom acquisition");
        let site_index = pick(&config.sites.iter().map(|site| site.weight).collect::<Vec<_>>(), &mut random);
        let mut site = config.sites[site_index].clone();
        // A scanner's pixels are square: one factor in the plane, one along z.
        let [plane, along] = [random.random_range(0.92..1.08), random.random_range(0.92..1.08)];
        let [x, y, z] = config.spacing_mm;
        let round = |x: f64| (x * 1e4).round() / 1e4;
        let spacing = [x * plane, y * plane, site.slice_mm.unwrap_or(z) * along].map(round);
        let pet = random.random_bool(config.pet_fraction);
        let defect = (random.random_bool(config.defect_fraction) && !config.defects.is_empty())
            .then(|| config.defects[random.random_range(0..config.defects.len())]);
        if defect == Some(Defect::GantryTilt) {
            site.tilt_degrees = 12.0;
        }
        let mut form = LabelForm::VARIANTS[pick(&config.labels.weights(), &mut random)];
        // SEG and RTSTRUCT name slices by their UIDs, which an enhanced object does not have.
        if defect == Some(Defect::EnhancedCt) && matches!(form, LabelForm::Segmentation | LabelForm::Structures) {
            form = LabelForm::Table;
        }

        let anatomy = Anatomy::draw(site.phase, &mut draw("phantom anatomy"));
        let mut random = draw("phantom spread");
        let (right, state) = self.spread.draw(&mut random);
        let (tumour_mm, tumour) = anatomy.primary(right, &mut draw("phantom primary"));
        let visible = Visible { enhancement: site.phase != Phase::Native, uptake: pet };
        let nodes = self.nodes(number, &anatomy, right, state, site_index, visible);
        Patient { number, site, anatomy, spacing, right, tumour_mm, tumour, nodes, pet, form, defect }
    }

    fn nodes(
        &self,
        number: u32,
        anatomy: &Anatomy,
        right: bool,
        state: u32,
        site: usize,
        visible: Visible,
    ) -> Vec<Node> {
        let config = self.config;
        let draw = |purpose: &str| rng_for(config.seed, purpose, &[u64::from(number)]);
        let mut random = draw("phantom nodes");
        // The same draws as the painter's, so that obstacles are where they will be painted.
        let obstacles = Obstacles::new(anatomy, &mut draw("phantom mediastinum"));
        let [least, most] = config.nodes_per_patient;
        let wanted = random.random_range(least..=most);
        let shares: Vec<f64> = self.stations.iter().map(|(_, share)| *share).collect();
        let mut nodes: Vec<Node> = Vec::new();
        let mut observed = Vec::new();
        for _ in 0..wanted {
            // Station and status come before the place: throwing large nodes away where it is narrow would bias both.
            let station = self.stations[pick(&shares, &mut random)].0;
            let involved = crate::spread::is_involved(state, station);
            let metastasis = if random.random_bool(self.spread.chance(involved, site)) {
                Metastasis::Metastatic
            } else {
                Metastasis::Benign
            };
            let appearance = self.laws.draw(metastasis, &mut random);
            let log_ratio = self.laws.log_ratio(&appearance, visible);
            let mut node = Node {
                station,
                metastasis,
                label: None,
                evidence: Evidence::U,
                center_mm: [0.0; 3],
                angle: random.random_range(0.0..std::f64::consts::PI),
                height: random.random_range(0.9..1.4),
                bumps: std::array::from_fn(|_| random.random_range(0.0..std::f64::consts::TAU)),
                appearance,
                posterior: bayes(self.spread.prior(station, site), log_ratio),
                posterior_in_patient: 0.0,
            };
            (node.label, node.evidence) = label::draw(&config.interference, &node, visible.uptake, &mut random);
            // A crowded station goes without the node.
            if place(&mut node, station, &nodes, &obstacles, anatomy, &mut random) {
                nodes.push(node);
                observed.push(Observed { station, log_ratio });
            }
        }
        for (node, posterior) in nodes.iter_mut().zip(self.spread.posteriors(right, site, &observed)) {
            node.posterior_in_patient = posterior;
        }
        nodes
    }
}

impl Patient {
    /// Why the preprocessing must refuse the CT; none where it must not.
    pub(crate) fn refusal(&self) -> Option<ReasonCode> {
        let tilted = (self.site.tilt_degrees != 0.0).then_some(ReasonCode::GantryTilt);
        self.defect.and_then(Defect::reason).or(tilted)
    }

    /// The grid of the CT: centred on the stations, below and in front of the carina; positions are rounded as headers are.
    pub(crate) fn grid(&self, config: &PhantomConfig) -> Result<Affine, PhantomError> {
        let round = |x: f64| (x * 1e4).round() / 1e4;
        let carina = self.anatomy.carina;
        let middle = [carina[0], carina[1] - 13.0, carina[2] - 7.0];
        let [x, y, z] = self.spacing;
        let (sin, cos) = self.site.tilt_degrees.to_radians().sin_cos();
        // A tilted gantry turns the plane of the image, not the way of the table.
        let steps = [[x, 0.0, 0.0], [0.0, y * cos, y * sin], [0.0, 0.0, z]];
        let half: [f64; 3] = std::array::from_fn(|axis| 0.5 * (config.dimensions[axis] as f64 - 1.0));
        let origin = std::array::from_fn(|axis| {
            let reach: f64 = steps.iter().zip(half).map(|(step, half)| step[axis] * half).sum();
            round(middle[axis] - reach)
        });
        Affine::new(PointMm(origin), steps).map_err(|error| PhantomError::config("spacing_mm", error))
    }
}

/// An index drawn by weight.
fn pick(weights: &[f64], random: &mut impl rand::Rng) -> usize {
    let mut left = random.random_range(0.0..weights.iter().sum::<f64>());
    let mut last = 0;
    for (n, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = n;
            if left < weight {
                break;
            }
            left -= weight;
        }
    }
    last
}

/// Category of the lymph nodes after TNM, 9th edition (2025): N2a is one station, N2b several.
pub fn n_category(right: bool, nodes: &[Node]) -> &'static str {
    let positive: std::collections::BTreeSet<Station> =
        nodes.iter().filter(|node| node.metastasis == Metastasis::Metastatic).map(|node| node.station).collect();
    let side = |station: &Station| match station.code().chars().last() {
        Some('R') => Some(true),
        Some('L') => Some(false),
        _ => None,
    };
    let hilar = |station: &Station| {
        matches!(station.zone(), mtids_domain::taxonomy::Zone::Hilar | mtids_domain::taxonomy::Zone::Peripheral)
    };
    let left_by_nature = |station: &Station| matches!(station, Station::S5 | Station::S6);
    let across = |station: &Station| {
        side(station).is_some_and(|is_right| is_right != right) || (right && left_by_nature(station))
    };
    if positive.iter().any(across) {
        return "N3";
    }
    match (positive.iter().filter(|station| !hilar(station)).count(), positive.len()) {
        (0, 0) => "N0",
        (0, _) => "N1",
        (1, _) => "N2a",
        _ => "N2b",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metastatic(station: Station) -> Node {
        let config = PhantomConfig::default();
        let mut node = (0..).find_map(|n| Model::new(&config).unwrap().patient(n).nodes.into_iter().next()).unwrap();
        node.metastasis = Metastasis::Metastatic;
        node.station = station;
        node
    }

    #[test]
    fn the_n_category_follows_side_and_stations() {
        for (right, stations, category) in [
            (true, vec![], "N0"),
            (true, vec![Station::S10R, Station::S11R], "N1"),
            (true, vec![Station::S10R, Station::S4R], "N2a"),
            (true, vec![Station::S7, Station::S4R], "N2b"),
            (true, vec![Station::S4L], "N3"),
            (true, vec![Station::S5], "N3"),
            (false, vec![Station::S5], "N2a"),
            (false, vec![Station::S10R], "N3"),
        ] {
            let nodes: Vec<Node> = stations.into_iter().map(metastatic).collect();
            assert_eq!(n_category(right, &nodes), category);
        }
    }

    /// The truth of phantoms and the answers of predictions are written by two functions, which must agree where sides are stated.
    #[test]
    fn the_n_category_is_that_of_a_prediction() {
        use mtids_domain::nodal::{Edition, NodalStage, NodeState, Side};
        let stated = |station: &&Station| **station == Station::S7 || Side::of(**station).is_some();
        // Of the supraclavicular zone no phantom has nodes.
        let has_nodes = |station: &&Station| station.zone() != mtids_domain::taxonomy::Zone::Supraclavicular;
        let stations: Vec<Station> = Station::ALL.iter().filter(stated).filter(has_nodes).copied().collect();
        let node = metastatic(Station::S7);
        let with = |station: Station| Node { station, ..node.clone() };
        for (right, side) in [(true, Side::Right), (false, Side::Left)] {
            for &first in &stations {
                for &second in &stations {
                    let involved = |station| NodeState { stations: vec![station], metastatic: Some(true) };
                    let stage = NodalStage::of(&[involved(first), involved(second)], side).unwrap();
                    let category = n_category(right, &[with(first), with(second)]);
                    assert_eq!(stage.text(Edition::Ninth), category, "{first}, {second}, {side}");
                }
            }
        }
    }

    #[test]
    fn a_weight_of_nothing_is_never_picked() {
        let mut random = rng_for(1, "pick", &[]);
        let mut seen = [0; 4];
        for _ in 0..2000 {
            seen[pick(&[0.0, 1.0, 3.0, 0.0], &mut random)] += 1;
        }
        assert!(seen[0] == 0 && seen[3] == 0 && seen[2] > 2 * seen[1], "{seen:?}");
    }
}
