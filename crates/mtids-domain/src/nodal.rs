//! The N category of lung cancer from involved nodes.
//!
//! Purpose: what a list of involved stations means for the stage, and what it leaves open. Definitions: N1 ipsilateral peribronchial, hilar and
//! intrapulmonary nodes; N2 ipsilateral mediastinal and subcarinal ones; N3 contralateral mediastinal and hilar, and supraclavicular ones
//! (8th edition: Asamura et al., J Thorac Oncol 2015;10:1675; the 9th divides N2 into N2a, one station, and N2b, several: Huang et al.,
//! J Thorac Oncol 2024;19:766). Invariants: a side that nobody stated is never guessed; the category is an interval from the least to the most
//! that the nodes allow; without examined nodes there is no category, and never N0.

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

/// What involved nodes mean for the N category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodalStage {
    /// The least category that the nodes allow.
    pub least: NCategory,
    /// The most.
    pub most: NCategory,
    /// Involved N2 stations.
    pub stations: N2Stations,
}

impl NodalStage {
    /// The stage of `examined` nodes, of which `involved` are metastatic: for each the stations that it may lie in, none where its place on
    /// the map is unknown. `None` where no node was examined.
    pub fn of(examined: usize, involved: &[Vec<Station>], primary: Side) -> Option<Self> {
        if examined == 0 {
            return None;
        }
        let range = |stations: &Vec<Station>| {
            let all = stations.iter().flat_map(|&station| NCategory::of(station, primary));
            (all.clone().min().unwrap_or(NCategory::N1), all.max().unwrap_or(NCategory::N3))
        };
        let ranges: Vec<(NCategory, NCategory)> = involved.iter().map(range).collect();
        let least = ranges.iter().map(|range| range.0).max().unwrap_or(NCategory::N0);
        let most = ranges.iter().map(|range| range.1).max().unwrap_or(NCategory::N0);
        Some(Self { least, most, stations: n2_stations(involved, primary) })
    }

    /// The category in words, such as `N1`, `N2b`, `N2 (a/b open)` and `N1 or N3 (side open)`.
    pub fn text(&self, edition: Edition) -> String {
        if self.least != self.most {
            return format!("{} or {} (side open)", self.least, self.most);
        }
        match (self.least, edition, self.stations) {
            (NCategory::N2, Edition::Ninth, N2Stations::One) => "N2a".to_owned(),
            (NCategory::N2, Edition::Ninth, N2Stations::Several) => "N2b".to_owned(),
            (NCategory::N2, Edition::Ninth, N2Stations::Open) => "N2 (a/b open)".to_owned(),
            (category, _, _) => category.to_string(),
        }
    }
}

/// How many N2 stations are involved: several where two nodes have no station in common, one where all lie in one known station.
fn n2_stations(involved: &[Vec<Station>], primary: Side) -> N2Stations {
    let is_n2 = |station: Station| NCategory::of(station, primary) == [NCategory::N2; 2];
    let is_certain = |stations: &&Vec<Station>| !stations.is_empty() && stations.iter().all(|&station| is_n2(station));
    let may_be = |stations: &&Vec<Station>| {
        stations.is_empty() || stations.iter().any(|&station| NCategory::of(station, primary).contains(&NCategory::N2))
    };
    let certain: Vec<BTreeSet<Station>> =
        involved.iter().filter(is_certain).map(|stations| stations.iter().copied().collect()).collect();
    let are_apart = |(n, one): (usize, &BTreeSet<Station>)| certain[n + 1..].iter().any(|other| one.is_disjoint(other));
    if certain.iter().enumerate().any(are_apart) {
        return N2Stations::Several;
    }
    let possible: BTreeSet<Option<Station>> = involved
        .iter()
        .filter(may_be)
        .map(|stations| if let [one] = stations[..] { Some(one) } else { None })
        .collect();
    if possible.len() == 1 && !possible.contains(&None) { N2Stations::One } else { N2Stations::Open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Station::*;
    use proptest::prelude::*;

    fn text(involved: &[&[Station]], primary: Side) -> String {
        let involved: Vec<Vec<Station>> = involved.iter().map(|stations| stations.to_vec()).collect();
        NodalStage::of(involved.len() + 3, &involved, primary).unwrap().text(Edition::Ninth)
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
        assert_eq!(text(&[&[]], Side::Left), "N1 or N3 (side open)");
        assert_eq!(text(&[&[S5, S6]], Side::Left), "N2 (a/b open)");
        assert_eq!(text(&[&[S5, S6], &[S7]], Side::Left), "N2b", "two zones are two stations");
        assert_eq!(text(&[&[S5, S6], &[S5]], Side::Left), "N2 (a/b open)");
        assert_eq!(text(&[&[S7], &[S8]], Side::Left), "N2 or N3 (side open)");
        let eighth = NodalStage::of(1, &[vec![S4L]], Side::Left).unwrap().text(Edition::Eighth);
        assert_eq!(eighth, "N2");
    }

    #[test]
    fn nothing_examined_is_no_category() {
        assert_eq!(NodalStage::of(0, &[], Side::Left), None);
    }

    #[test]
    fn every_station_has_the_side_of_its_code() {
        let sides = |side| Station::ALL.iter().filter(|station| Side::of(**station) == side).count();
        assert_eq!((sides(Some(Side::Right)), sides(Some(Side::Left)), sides(None)), (8, 10, 5));
    }

    fn any_node() -> impl Strategy<Value = Vec<Station>> {
        prop::collection::vec(prop::sample::select(Station::ALL.to_vec()), 0..4)
    }

    proptest! {
        #[test]
        fn a_further_node_never_lowers_the_category(nodes in prop::collection::vec(any_node(), 0..5), more in any_node()) {
            for primary in [Side::Right, Side::Left] {
                let before = NodalStage::of(9, &nodes, primary).unwrap();
                let mut with = nodes.clone();
                with.push(more.clone());
                let after = NodalStage::of(9, &with, primary).unwrap();
                prop_assert!(after.least >= before.least && after.most >= before.most && after.least <= after.most);
            }
        }

        #[test]
        fn a_mirrored_patient_has_the_same_category(nodes in prop::collection::vec(any_node(), 0..5)) {
            // 5 and 6 have no mirror image.
            let nodes: Vec<Vec<Station>> =
                nodes.into_iter().map(|node| node.into_iter().filter(|station| station.mirror().is_some()).collect()).collect();
            let mirrored: Vec<Vec<Station>> =
                nodes.iter().map(|node: &Vec<Station>| node.iter().filter_map(|station| station.mirror()).collect()).collect();
            prop_assert_eq!(NodalStage::of(9, &nodes, Side::Right), NodalStage::of(9, &mirrored, Side::Left));
        }
    }
}
