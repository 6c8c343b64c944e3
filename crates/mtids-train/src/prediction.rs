//! What the model says about one patch, beside what is known about it.
//!
//! Purpose: every figure and every table of predictions is made from these rows alone. Layout: the joint class is
//! y = 2·region + metastasis, so a distribution over joint classes has 2K entries. Invariant: each distribution sums to 1
//! up to rounding; an unknown label is `None`.

use std::io::Write;

use mtids_models::PredictionHead;
pub use mtids_models::decoding::{metastasis_probability, region_probabilities};
use mtids_shards::Measures;

/// Fewest patients from which a figure is claimed.
pub const MINIMUM_PATIENTS: usize = 5;

/// The scan that a patch was cut from, as far as its headers say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Manufacturer of the scanner.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Convolution kernel.
    pub kernel: Option<String>,
    /// Nominal slice thickness, mm.
    pub slice_thickness_mm: Option<f64>,
}

/// What no task of a network tells: its distribution over joint classes is flat along it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// The region.
    pub region: bool,
    /// The status.
    pub metastasis: bool,
}

/// One patch: keys, labels, probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Key of the patch in the dataset.
    pub sample_key: String,
    /// Pseudonym of the patient.
    pub patient_key: String,
    /// True region code.
    pub region: Option<usize>,
    /// True state: 0 benign, 1 metastatic.
    pub metastasis: Option<usize>,
    /// Distribution over joint classes from the joint head, where the model has one.
    pub joint: Option<Vec<f64>>,
    /// Outer product of the region and the metastasis head, where the model has both.
    pub product: Option<Vec<f64>>,
    /// Pooled distribution over joint classes.
    pub pooled: Vec<f64>,
    /// What of it says nothing.
    pub untold: Untold,
    /// Weights of the branches (DBR's α) per task, in the order of the tasks: shared, private, and where the task reads them the others'.
    pub branches: Vec<Vec<f64>>,
    /// Short axis of the annotation, mm.
    pub short_axis_mm: Option<f64>,
    /// Measures of the region grown from the point.
    pub grown: Measures,
    /// Its scan.
    pub scan: Scan,
}

impl Prediction {
    /// The distribution over joint classes of a prediction head, where the model has it.
    pub fn distribution(&self, head: PredictionHead) -> Option<&[f64]> {
        match head {
            PredictionHead::Joint => self.joint.as_deref(),
            PredictionHead::Product => self.product.as_deref(),
            PredictionHead::Pooled => Some(&self.pooled),
        }
    }

    /// True joint class, where both digits are known.
    pub fn joint_class(&self) -> Option<usize> {
        Some(2 * self.region? + self.metastasis?)
    }
}

/// Position of the largest value; the first of equal ones, 0 for an empty slice.
pub fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (position, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = position;
        }
    }
    best
}

/// Writes the table of predictions (CSV): keys, labels, the called classes and the pooled probabilities. Unknown labels
/// are empty cells, and so is what is said along a dimension that the network does not tell.
///
/// # Errors
/// Any error of `out`.
pub fn write_csv(out: &mut dyn Write, regions: &[String], predictions: &[Prediction]) -> std::io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    let keys = ["sample_key", "patient_key", "region", "metastasis", "predicted_region", "predicted_metastasis"];
    let mut header: Vec<String> = keys.map(str::to_owned).to_vec();
    header.push("p_metastatic".into());
    header.extend(regions.iter().map(|region| format!("p_{region}")));
    header.extend(regions.iter().flat_map(|region| [format!("p_{region}_benign"), format!("p_{region}_metastatic")]));
    table.write_record(&header)?;
    let state = |code: usize| if code == 1 { "metastatic" } else { "benign" };
    let name = |code: usize| regions.get(code).map_or("", String::as_str);
    for row in predictions {
        let by_region = region_probabilities(&row.pooled);
        let metastatic = metastasis_probability(&row.pooled);
        let Untold { region: region_untold, metastasis: status_untold } = row.untold;
        let labels = [
            row.sample_key.as_str(),
            row.patient_key.as_str(),
            row.region.map_or("", name),
            row.metastasis.map_or("", state),
            if region_untold { "" } else { name(largest(&by_region)) },
            if status_untold { "" } else { state(usize::from(metastatic >= 0.5)) },
        ];
        let cell = |p: &f64, is_untold: bool| if is_untold { String::new() } else { format!("{p:.6}") };
        let status = std::iter::once(cell(&metastatic, status_untold));
        let regions = by_region.iter().map(|p| cell(p, region_untold));
        let joint = row.pooled.iter().map(|p| cell(p, region_untold || status_untold));
        let cells = labels.map(str::to_owned).into_iter().chain(status).chain(regions).chain(joint);
        table.write_record(cells)?;
    }
    table.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marginals_of_a_joint_distribution() {
        let distribution = [0.1, 0.2, 0.3, 0.4];
        let regions = region_probabilities(&distribution);
        assert!((regions[0] - 0.3).abs() < 1e-12 && (regions[1] - 0.7).abs() < 1e-12);
        assert!((metastasis_probability(&distribution) - 0.6).abs() < 1e-12);
        assert_eq!(largest(&[0.2, 0.5, 0.5]), 1);
    }

    #[test]
    fn csv_has_one_cell_per_column_and_quotes_what_it_must() {
        let row = Prediction {
            sample_key: "s1".into(),
            patient_key: "p1".into(),
            region: Some(1),
            metastasis: None,
            pooled: vec![0.1, 0.2, 0.3, 0.4],
            ..Prediction::default()
        };
        let mut bytes = Vec::new();
        write_csv(&mut bytes, &["upper".into(), "a, b".into()], &[row]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "s1,p1,\"a, b\",,\"a, b\",metastatic,0.600000,0.300000,0.700000,0.100000,0.200000,0.300000,0.400000"
        );
        assert!(lines[0].starts_with("sample_key,patient_key,region,metastasis,"));
        assert!(lines[0].contains("p_upper_metastatic"));
    }

    #[test]
    fn what_no_task_tells_is_an_empty_cell() {
        let row = |untold| Prediction { pooled: vec![0.1, 0.2, 0.3, 0.4], untold, ..Prediction::default() };
        let mut bytes = Vec::new();
        let rows = [row(Untold { region: false, metastasis: true }), row(Untold { region: true, metastasis: false })];
        write_csv(&mut bytes, &["upper".into(), "lower".into()], &rows).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, [",,,,lower,,,0.300000,0.700000,,,,", ",,,,,metastatic,0.600000,,,,,,"]);
    }
}
