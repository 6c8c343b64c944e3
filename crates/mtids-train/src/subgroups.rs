//! How well the status is told in parts of a split: by region, scanner, kernel, slice thickness and size of the node.
//!
//! Purpose: a figure over all nodes may hide a scanner or a region where the network fails. Thresholds are those chosen on validation patients.
//! Invariants: every node with a status is in one group of each grouping. A group in which fewer than [`MINIMUM_PATIENTS`] patients have a node of
//! either status has no figure, and says why. Groups are not corrected for their number. Units: mm.

use std::collections::BTreeMap;

use mtids_metrics::{BootstrapOptions, auroc};
use mtids_report::format::{counted, metric};
use mtids_report::table::{Align, Table};
use mtids_shards::Measure;
use serde::Serialize;

use crate::calibration::Calibration;
use crate::prediction::{MINIMUM_PATIENTS, Prediction, Scan, metastasis_probability};
use crate::within::{Sample, ShareWithin, count_distinct, share_within, within};

/// Most named groups of a grouping whose names are not known beforehand; the rest are one group.
const MOST: usize = 12;

/// What nodes are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// True region.
    Region,
    /// Manufacturer and model of the scanner.
    Scanner,
    /// Convolution kernel.
    Kernel,
    /// Nominal slice thickness.
    SliceThickness,
    /// Short axis of the region grown from the point.
    ShortAxis,
}

impl Grouping {
    /// All, in the order of the tables.
    pub const ALL: [Grouping; 5] =
        [Grouping::Region, Grouping::Scanner, Grouping::Kernel, Grouping::SliceThickness, Grouping::ShortAxis];

    /// Name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Grouping::Region => "region",
            Grouping::Scanner => "scanner",
            Grouping::Kernel => "kernel",
            Grouping::SliceThickness => "slice thickness",
            Grouping::ShortAxis => "short axis (grown region)",
        }
    }

    /// Place and name of the group of a row. Groups of one place stand by their size.
    fn group(self, row: &Prediction, regions: &[String]) -> (usize, String) {
        let class = |value: Option<f64>, bounds: [f64; 2], is_below: fn(&f64, &f64) -> bool, names: [&str; 4]| {
            let place = value.map_or(3, |value| bounds.iter().filter(|bound| !is_below(&value, bound)).count());
            (place, names[place].to_owned())
        };
        let stated = |name: Option<String>| name.map_or((1, "not stated".to_owned()), |name| (0, name));
        match self {
            Grouping::Region => match row.region.and_then(|code| Some((code, regions.get(code)?))) {
                Some((code, name)) => (code, name.clone()),
                None => (regions.len(), "not known".to_owned()),
            },
            Grouping::Scanner => stated(scanner(&row.scan)),
            Grouping::Kernel => stated(row.scan.kernel.clone().filter(|kernel| !kernel.is_empty())),
            Grouping::SliceThickness => {
                let names = ["up to 1.5 mm", "above 1.5 to 3 mm", "above 3 mm", "not stated"];
                class(row.scan.slice_thickness_mm, [1.5, 3.0], f64::le, names)
            }
            Grouping::ShortAxis => {
                let names = ["below 10 mm", "10 to below 20 mm", "20 mm and more", "not measured"];
                class(row.grown.get(Measure::ShortAxis).map(f64::from), [10.0, 20.0], f64::lt, names)
            }
        }
    }
}

/// Manufacturer and model; `None` where neither is stated.
fn scanner(scan: &Scan) -> Option<String> {
    let words: Vec<&str> = [&scan.manufacturer, &scan.model]
        .into_iter()
        .filter_map(|word| word.as_deref().filter(|word| !word.is_empty()))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Figures of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subgroup {
    /// What its nodes are told apart by.
    pub grouping: Grouping,
    /// Its name.
    pub name: String,
    /// Nodes with a status.
    pub nodes: usize,
    /// Metastatic ones among them.
    pub metastatic: usize,
    /// Their patients.
    pub patients: usize,
    /// AUROC of the calibrated answer; of the network's where there is none.
    pub auroc: ShareWithin,
    /// Share of the metastatic nodes that are called at the threshold; none without a calibration.
    pub sensitivity: ShareWithin,
    /// Share of the benign nodes that are not; likewise.
    pub specificity: ShareWithin,
    /// Why there is no figure, where there is none.
    pub no_figure: Option<String>,
}

/// All groups of a split.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Subgroups {
    /// Calibrated probability from which on a node is called, chosen on validation patients; none without a calibration.
    pub threshold: Option<f64>,
    /// Groups of every grouping that divides the nodes.
    pub groups: Vec<Subgroup>,
    /// Groupings that do not, each in words.
    pub undivided: Vec<String>,
}

/// A node with a status.
struct Node<'a> {
    row: &'a Prediction,
    /// Probability of metastasis: calibrated, or else the network's.
    probability: f64,
    metastatic: bool,
    /// Whether it is called at the threshold, where there is one.
    called: Option<bool>,
}

impl<'a> Node<'a> {
    fn patient(&self) -> &'a str {
        &self.row.patient_key
    }
}

impl Subgroups {
    /// Measures every group. Without a calibration there is no threshold, and AUROC stands alone.
    pub fn of(
        regions: &[String],
        predictions: &[Prediction],
        calibration: Option<&Calibration>,
        bootstrap: BootstrapOptions,
    ) -> Self {
        let threshold = calibration.map(|calibration| calibration.sensitive_threshold);
        let node = |row| {
            let probability = match calibration {
                Some(calibration) => calibration.metastasis(row),
                None => metastasis_probability(&row.pooled),
            };
            let called = threshold.map(|threshold| probability >= threshold);
            Some(Node { row, probability, metastatic: row.metastasis? == 1, called })
        };
        let nodes: Vec<Node<'_>> = predictions.iter().filter_map(node).collect();
        let mut found = Self { threshold, ..Self::default() };
        for grouping in Grouping::ALL {
            let groups = divide(grouping, &nodes, regions);
            if let [(name, _)] = groups.as_slice() {
                found.undivided.push(format!("{}: all nodes are of one group, {name}", grouping.title()));
                continue;
            }
            found.groups.extend(groups.iter().map(|(name, nodes)| figures(grouping, name, nodes, bootstrap)));
        }
        found
    }

    /// The groups as a table of the terminal, and what is not in it; empty without a node.
    pub fn text(&self) -> String {
        if self.groups.is_empty() && self.undivided.is_empty() {
            return String::new();
        }
        let mut table = Table::new([
            ("grouping", Align::Left),
            ("group", Align::Left),
            ("AUROC", Align::Right),
            ("95 % interval", Align::Right),
            ("sensitivity", Align::Right),
            ("95 % interval", Align::Right),
            ("specificity", Align::Right),
            ("95 % interval", Align::Right),
            ("metastatic / n", Align::Right),
            ("n patients", Align::Right),
        ]);
        for group in self.claimed() {
            table.row(group.cells());
        }
        let table = if table.is_empty() { String::new() } else { table.render() };
        table + &self.sentences().iter().map(|sentence| format!("  {sentence}\n")).collect::<String>()
    }

    /// The groups that have figures.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = &Subgroup> {
        self.groups.iter().filter(|group| group.no_figure.is_none())
    }

    /// Groups without figures, groupings without groups, and how all of it is to be read.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let silent = self.groups.iter().filter_map(|group| {
            let nodes = counted(group.nodes as u64, "node", "nodes");
            Some(format!(
                "{} {}: no figure for {nodes}: {}",
                group.grouping.title(),
                group.name,
                group.no_figure.as_ref()?
            ))
        });
        let mut sentences: Vec<String> = silent.chain(self.undivided.iter().cloned()).collect();
        if let Some(threshold) = self.threshold {
            sentences.push("AUROC is that of the calibrated answer".to_owned());
            sentences.push(format!(
                "nodes are called from p {threshold:.2} on, which was chosen on validation patients over all groups"
            ));
        }
        let claimed = self.claimed().count();
        if claimed > 1 {
            sentences.push(format!(
                "{claimed} groups are looked at and nothing is corrected for their number: some intervals miss the truth by chance alone"
            ));
        }
        sentences
    }
}

impl Subgroup {
    /// The row of the table of a terminal.
    fn cells(&self) -> Vec<String> {
        vec![
            self.grouping.title().to_owned(),
            self.name.clone(),
            metric(self.auroc.value),
            self.auroc.bounds(),
            metric(self.sensitivity.value),
            self.sensitivity.bounds(),
            metric(self.specificity.value),
            self.specificity.bounds(),
            format!("{} / {}", self.metastatic, self.nodes),
            self.patients.to_string(),
        ]
    }
}

/// The nodes of each group, in the order of the tables.
fn divide<'n, 'a>(grouping: Grouping, nodes: &'n [Node<'a>], regions: &[String]) -> Vec<(String, Vec<&'n Node<'a>>)> {
    let mut by_group: BTreeMap<(usize, String), Vec<&Node<'_>>> = BTreeMap::new();
    for node in nodes {
        by_group.entry(grouping.group(node.row, regions)).or_default().push(node);
    }
    let mut groups: Vec<((usize, String), Vec<&Node<'_>>)> = by_group.into_iter().collect();
    // Stable: groups of one place and one size stay in the order of their names.
    groups.sort_by(|a, b| a.0.0.cmp(&b.0.0).then(b.1.len().cmp(&a.1.len())));
    if matches!(grouping, Grouping::Scanner | Grouping::Kernel) {
        let named = groups.iter().filter(|group| group.0.0 == 0).count();
        if named > MOST {
            let rest: Vec<_> = groups.drain(MOST..named).collect();
            let name = format!("{} others", rest.len());
            groups.insert(MOST, ((0, name), rest.into_iter().flat_map(|group| group.1).collect()));
        }
    }
    groups.into_iter().map(|((_, name), nodes)| (name, nodes)).collect()
}

fn figures(grouping: Grouping, name: &str, nodes: &[&Node<'_>], bootstrap: BootstrapOptions) -> Subgroup {
    let no_figure = silence(nodes);
    let mut group = Subgroup {
        grouping,
        name: name.to_owned(),
        nodes: nodes.len(),
        metastatic: nodes.iter().filter(|node| node.metastatic).count(),
        patients: count_distinct(nodes.iter().map(|node| node.patient())),
        auroc: ShareWithin::default(),
        sensitivity: ShareWithin::default(),
        specificity: ShareWithin::default(),
        no_figure,
    };
    if group.no_figure.is_none() {
        let samples: Vec<Sample<'_>> =
            nodes.iter().map(|node| (node.patient(), node.probability, node.metastatic)).collect();
        let right = |status: bool| {
            let of_status = nodes.iter().filter(|node| node.metastatic == status);
            let trials: Vec<(&str, bool)> =
                of_status.filter_map(|node| Some((node.patient(), node.called? == status))).collect();
            share_within(&trials, bootstrap)
        };
        group.auroc = within(&samples, bootstrap, auroc);
        group.sensitivity = right(true);
        group.specificity = right(false);
    }
    group
}

/// Why nodes allow no figure, if they do not.
fn silence(nodes: &[&Node<'_>]) -> Option<String> {
    let patients = |status: Option<bool>| {
        let of_status = nodes.iter().filter(|node| status.is_none_or(|status| node.metastatic == status));
        count_distinct(of_status.map(|node| node.patient()))
    };
    let (metastatic, benign) = (patients(Some(true)), patients(Some(false)));
    let few = |count: usize, with: &str| {
        let patients = counted(count as u64, "patient", "patients");
        (count < MINIMUM_PATIENTS).then(|| format!("{patients}{with}, at least {MINIMUM_PATIENTS} are needed"))
    };
    few(patients(None), "")
        .or_else(|| (metastatic == 0 || benign == 0).then(|| "all are of one status".to_owned()))
        .or_else(|| few(metastatic, " with a metastatic node"))
        .or_else(|| few(benign, " with a benign node"))
}

#[cfg(test)]
mod tests;
