//! The N category of lung cancer from involved nodes.
//!
//! Purpose: what a list of involved stations means for the stage, and what it leaves open. Definitions: N1 ipsilateral peribronchial, hilar and
//! intrapulmonary nodes; N2 ipsilateral mediastinal and subcarinal ones; N3 contralateral mediastinal and hilar, and supraclavicular ones
//! (8th edition: Asamura et al., J Thorac Oncol 2015;10:1675; the 9th divides N2 into N2a, one station, and N2b, several: Huang et al.,
//! J Thorac Oncol 2024;19:766). Invariants: a side that nobody stated is never guessed; the category is every one that the nodes allow, those of
//! nodes that could not be judged among them; without examined nodes there is no category, and never N0.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::taxonomy::{Station, Zone};

/// A side of the body.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Display, EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Side {
    /// The patient's right.
    Right,
    /// The patient's left.
    Left,
}

impl Side {
    /// The side of a station; `None` where it lies in the middle, on both sides, or where its code states none.
    pub fn of(station: Station) -> Option<Self> {
        match station {
            Station::S5 | Station::S6 => Some(Self::Left),
            other if other.code().ends_with('R') => Some(Self::Right),
            other if other.code().ends_with('L') => Some(Self::Left),
            _ => None,
        }
    }
}

/// Edition of the TNM classification.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
pub enum Edition {
    /// The 8th, in force from 2017.
    #[serde(rename = "8")]
    #[strum(serialize = "8")]
    Eighth,
    /// The 9th, in force from 2025.
    #[default]
    #[serde(rename = "9")]
    #[strum(serialize = "9")]
    Ninth,
}

/// The N category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Display)]
pub enum NCategory {
    /// No involved node among those that were examined.
    N0,
    /// Ipsilateral peribronchial, hilar or intrapulmonary nodes.
    N1,
    /// Ipsilateral mediastinal or subcarinal nodes.
    N2,
    /// Contralateral mediastinal or hilar, or supraclavicular nodes.
    N3,
}

impl NCategory {
    /// The categories that an involved node of a station allows, for a primary tumour on a side: two where the station states no side.
    fn of(station: Station, primary: Side) -> [Self; 2] {
        let ipsilateral = match station.zone() {
            Zone::Supraclavicular => return [Self::N3; 2],
            Zone::Subcarinal => return [Self::N2; 2],
            Zone::Upper | Zone::Aortopulmonary | Zone::Lower => Self::N2,
            Zone::Hilar | Zone::Peripheral => Self::N1,
        };
        match Side::of(station) {
            Some(side) if side == primary => [ipsilateral; 2],
            Some(_) => [Self::N3; 2],
            None => [ipsilateral, Self::N3],
        }
    }
}

/// Number of involved N2 stations, for the 9th edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum N2Stations {
    /// One: N2a.
    One,
    /// Several: N2b.
    Several,
    /// The stations are not known well enough.
    Open,
}

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Stations that it may lie in; none where its place on the map is unknown.
    pub stations: Vec<Station>,
    /// Whether it is metastatic; `None` where that is open.
    pub metastatic: Option<bool>,
}

impl NodeState {
    /// The categories that it allows by itself.
    fn categories(&self, primary: Side) -> BTreeSet<NCategory> {
        let mut all: BTreeSet<NCategory> = match (self.metastatic, self.stations.as_slice()) {
            (Some(false), _) => BTreeSet::new(),
            (_, []) => [NCategory::N1, NCategory::N2, NCategory::N3].into(),
            (_, stations) => stations.iter().flat_map(|&station| NCategory::of(station, primary)).collect(),
        };
        if self.metastatic != Some(true) {
            all.insert(NCategory::N0);
        }
        all
    }

    /// Only the side of its station is open.
    fn is_of_open_side(&self) -> bool {
        let zones: BTreeSet<Zone> = self.stations.iter().map(|station| station.zone()).collect();
        zones.len() == 1
    }
}

/// What nodes mean for the N category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodalStage {
    /// The least category that the nodes allow.
    pub least: NCategory,
    /// The most.
    pub most: NCategory,
    /// All that they allow, in their order.
    pub possible: Vec<NCategory>,
    /// Involved N2 stations.
    pub stations: N2Stations,
    /// Why more than one is possible.
    pub open: Vec<Open>,
}

/// Why a category is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// The side of a station.
    Side,
    /// The station.
    Station,
    /// Whether a node is metastatic.
    Status,
}

impl Open {
    fn name(self) -> &'static str {
        match self {
            Open::Side => "side open",
            Open::Station => "station open",
            Open::Status => "status of nodes open",
        }
    }
}

impl NodalStage {
    /// The stage of `nodes`, those that are not metastatic among them. `None` where none was examined, so where the status of all is open.
    pub fn of(nodes: &[NodeState], primary: Side) -> Option<Self> {
        if nodes.iter().all(|node| node.metastatic.is_none()) {
            return None;
        }
        let each: Vec<BTreeSet<NCategory>> = nodes.iter().map(|node| node.categories(primary)).collect();
        let least = each.iter().filter_map(|one| one.first().copied()).max().unwrap_or(NCategory::N0);
        // The category is the largest of one of each, so any that reaches the least one is possible.
        let mut possible: BTreeSet<NCategory> = each.iter().flatten().copied().filter(|one| *one >= least).collect();
        possible.insert(least);
        let reason = |(node, own): (&NodeState, &BTreeSet<NCategory>)| {
            let raised = own.iter().filter(|one| **one > least).count();
            let is_open = own.len() > 1 && raised > 0;
            match node.metastatic {
                _ if !is_open => None,
                None => Some(Open::Status),
                Some(_) if node.is_of_open_side() => Some(Open::Side),
                Some(_) => Some(Open::Station),
            }
        };
        let open: BTreeSet<Open> = match possible.len() {
            1 => BTreeSet::new(),
            _ => nodes.iter().zip(&each).filter_map(reason).collect(),
        };
        let most = possible.last().copied().unwrap_or(least);
        let stations = n2_stations(nodes, primary);
        Some(Self { least, most, possible: possible.into_iter().collect(), stations, open: open.into_iter().collect() })
    }

    /// The category in words, such as `N1`, `N2b`, `N2 (a/b open)` and `N1 or N3 (side open)`.
    pub fn text(&self, edition: Edition) -> String {
        if let [first @ .., last] = self.possible.as_slice()
            && !first.is_empty()
        {
            let names: Vec<String> = first.iter().map(NCategory::to_string).collect();
            let reasons: Vec<&str> = self.open.iter().map(|open| open.name()).collect();
            return format!("{} or {last} ({})", names.join(", "), reasons.join(", "));
        }
        match (self.least, edition, self.stations) {
            (NCategory::N2, Edition::Ninth, N2Stations::One) => "N2a".to_owned(),
            (NCategory::N2, Edition::Ninth, N2Stations::Several) => "N2b".to_owned(),
            (NCategory::N2, Edition::Ninth, N2Stations::Open) => "N2 (a/b open)".to_owned(),
            (category, _, _) => category.to_string(),
        }
    }
}

/// How many N2 stations are involved: several where no station is common to all nodes, one where all lie in one known station.
fn n2_stations(nodes: &[NodeState], primary: Side) -> N2Stations {
    let is_n2 = |station: Station| NCategory::of(station, primary) == [NCategory::N2; 2];
    let is_certain = |node: &&NodeState| {
        let stations = &node.stations;
        node.metastatic == Some(true) && !stations.is_empty() && stations.iter().all(|&station| is_n2(station))
    };
    let may_be = |node: &&NodeState| node.categories(primary).contains(&NCategory::N2);
    let certain = nodes.iter().filter(is_certain).map(|node| node.stations.iter().copied().collect::<BTreeSet<_>>());
    if certain.reduce(|common, own| &common & &own).is_some_and(|common| common.is_empty()) {
        return N2Stations::Several;
    }
    let possible: BTreeSet<Option<Station>> =
        nodes.iter().filter(may_be).map(|node| if let [one] = node.stations[..] { Some(one) } else { None }).collect();
    if possible.len() == 1 && !possible.contains(&None) { N2Stations::One } else { N2Stations::Open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Station::*;
    use proptest::prelude::*;

    fn node(stations: &[Station], metastatic: Option<bool>) -> NodeState {
        NodeState { stations: stations.to_vec(), metastatic }
    }

    /// Involved nodes, and benign ones beside them.
    fn text(involved: &[&[Station]], primary: Side) -> String {
        let involved = involved.iter().map(|stations| node(stations, Some(true)));
        let nodes: Vec<NodeState> = involved.chain([node(&[S4L], Some(false)), node(&[], Some(false))]).collect();
        NodalStage::of(&nodes, primary).unwrap().text(Edition::Ninth)
    }

    #[test]
    fn stations_of_known_side_give_one_category() {
        for (involved, right, left) in [
            (&[][..], "N0", "N0"),
            (&[&[S10R][..]], "N1", "N3"),
            (&[&[S12L][..]], "N3", "N1"),
            (&[&[S4R][..]], "N2a", "N3"),
            (&[&[S5][..], &[S6]], "N3", "N2b"),
            (&[&[S7][..]], "N2a", "N2a"),
            (&[&[S7][..], &[S7], &[S10R]], "N2a", "N3"),
            (&[&[S7][..], &[S4R]], "N2b", "N3"),
            (&[&[S1R][..]], "N3", "N3"),
        ] {
            assert_eq!(text(involved, Side::Right), right, "{involved:?}, right");
            assert_eq!(text(involved, Side::Left), left, "{involved:?}, left");
        }
    }

    #[test]
    fn what_is_not_known_stays_open() {
        assert_eq!(text(&[&[S10R, S10L, S11R, S11L]], Side::Right), "N1 or N3 (side open)");
        assert_eq!(text(&[&[S8]], Side::Left), "N2 or N3 (side open)");
        assert_eq!(text(&[&[S3A]], Side::Left), "N2 or N3 (side open)");
        assert_eq!(text(&[&[]], Side::Left), "N1, N2 or N3 (station open)");
        assert_eq!(text(&[&[S10L, S5]], Side::Left), "N1 or N2 (station open)");
        assert_eq!(text(&[&[S2R, S7]], Side::Left), "N2 or N3 (station open)");
        assert_eq!(text(&[&[S1R], &[]], Side::Left), "N3", "what is open changes nothing");
        assert_eq!(text(&[&[S5, S6]], Side::Left), "N2 (a/b open)");
        assert_eq!(text(&[&[S5, S6], &[S7]], Side::Left), "N2b", "two zones are two stations");
        assert_eq!(text(&[&[S5, S6], &[S5]], Side::Left), "N2 (a/b open)");
        assert_eq!(text(&[&[S5, S6], &[S6, S7], &[S5, S7]], Side::Left), "N2b", "no one station holds all three");
        assert_eq!(text(&[&[S7], &[S8]], Side::Left), "N2 or N3 (side open)");
        let eighth = NodalStage::of(&[node(&[S4L], Some(true))], Side::Left).unwrap().text(Edition::Eighth);
        assert_eq!(eighth, "N2");
    }

    #[test]
    fn nothing_examined_is_no_category() {
        assert_eq!(NodalStage::of(&[], Side::Left), None);
        assert_eq!(NodalStage::of(&[node(&[S7], None)], Side::Left), None);
    }

    #[test]
    fn a_node_whose_status_is_open_keeps_the_category_open() {
        let text = |nodes: &[NodeState]| NodalStage::of(nodes, Side::Left).unwrap().text(Edition::Ninth);
        let benign = node(&[S4L], Some(false));
        assert_eq!(text(&[benign.clone(), node(&[], None)]), "N0, N1, N2 or N3 (status of nodes open)");
        assert_eq!(text(&[benign.clone(), node(&[S10L], None)]), "N0 or N1 (status of nodes open)");
        let involved = node(&[S5], Some(true));
        assert_eq!(text(&[involved.clone(), node(&[S10L], None)]), "N2a", "a lower one changes nothing");
        assert_eq!(text(&[involved.clone(), node(&[S7], None)]), "N2 (a/b open)");
        assert_eq!(text(&[involved, node(&[S4R], None)]), "N2 or N3 (status of nodes open)");
        assert_eq!(text(&[node(&[S8], Some(true)), node(&[], None)]), "N2 or N3 (side open, status of nodes open)");
        let [eight, seven] = [node(&[S8], Some(true)), node(&[S7], None)];
        assert_eq!(text(&[eight, seven]), "N2 or N3 (side open)", "whether 7 is metastatic changes nothing");
    }

    #[test]
    fn every_station_has_the_side_of_its_code() {
        let sides = |side| Station::ALL.iter().filter(|station| Side::of(**station) == side).count();
        assert_eq!((sides(Some(Side::Right)), sides(Some(Side::Left)), sides(None)), (8, 10, 5));
    }

    fn any_node() -> impl Strategy<Value = NodeState> {
        let stations = prop::collection::vec(prop::sample::select(Station::ALL.to_vec()), 0..4);
        (stations, prop::option::of(any::<bool>()))
            .prop_map(|(stations, metastatic)| NodeState { stations, metastatic })
    }

    /// The same with a benign node, so that there is a category.
    fn stage(nodes: &[NodeState], primary: Side) -> NodalStage {
        NodalStage::of(&[nodes, &[node(&[], Some(false))]].concat(), primary).unwrap()
    }

    proptest! {
        #[test]
        fn a_further_node_never_lowers_the_category(nodes in prop::collection::vec(any_node(), 0..5), more in any_node()) {
            for primary in [Side::Right, Side::Left] {
                let before = stage(&nodes, primary);
                let mut with = nodes.clone();
                with.push(more.clone());
                let after = stage(&with, primary);
                prop_assert!(after.least >= before.least && after.most >= before.most && after.least <= after.most);
                prop_assert_eq!((after.possible[0], *after.possible.last().unwrap()), (after.least, after.most));
                prop_assert_eq!(after.possible.len() > 1, !after.open.is_empty(), "{:?}", after);
            }
        }

        #[test]
        fn a_category_is_possible_where_one_choice_for_each_node_gives_it(nodes in prop::collection::vec(any_node(), 0..4)) {
            let each: Vec<Vec<NCategory>> =
                nodes.iter().map(|node| node.categories(Side::Left).into_iter().collect()).collect();
            let mut found: BTreeSet<NCategory> = [NCategory::N0].into();
            for own in &each {
                found = found.iter().flat_map(|before| own.iter().map(|one| *before.max(one))).collect();
            }
            prop_assert_eq!(stage(&nodes, Side::Left).possible, found.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_mirrored_patient_has_the_same_category(nodes in prop::collection::vec(any_node(), 0..5)) {
            // 5 and 6 have no mirror image.
            let has_image = |station: &Station| station.mirror().is_some();
            let nodes: Vec<NodeState> = nodes
                .into_iter()
                .map(|node| NodeState { stations: node.stations.into_iter().filter(has_image).collect(), ..node })
                .collect();
            let mirrored: Vec<NodeState> = nodes
                .iter()
                .map(|node| {
                    let stations = node.stations.iter().filter_map(|station| station.mirror()).collect();
                    NodeState { stations, ..node.clone() }
                })
                .collect();
            prop_assert_eq!(stage(&nodes, Side::Right), stage(&mirrored, Side::Left));
        }
    }
}
