//! How much one column tells of a label: of both dimensions together, and of what is known without the image.
//!
//! Invariants: Cramér's V is corrected for its bias, and the mutual information for chance, so a column of many values tells nothing by their number alone;
//! a column without two values, or whose label has one, is left out.

use mtids_metrics::{MutualInformation, cramers_v, mutual_information};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::Group;

/// What is counted in the cells of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cases {
    /// Rows.
    Rows,
    /// Patients, once for each value of the column, as metastatic if any node is.
    Patients,
    /// Patients, once for each value of the column and each label that they have.
    PatientsByLabel,
}

impl Cases {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Cases::Rows => "patches",
            Cases::Patients => "patients",
            Cases::PatientsByLabel => "patients by label",
        }
    }
}

/// How much a column tells of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// The column.
    pub column: String,
    /// The label: `region` or `metastasis`.
    pub dimension: String,
    /// What is counted.
    pub cases: Cases,
    /// How many of them.
    pub count: u64,
    /// Cramér's V: 0 without association, 1 where the column tells the label.
    pub cramers_v: f64,
    /// Mutual information beyond chance, bits.
    pub mutual_information: f64,
    /// The same as a share of what there is to tell of the label beyond chance.
    pub of_label: f64,
}

impl Association {
    /// Of a table with a row for each value of the column, and a column for each label.
    pub(crate) fn of(column: &str, dimension: &str, cases: Cases, table: &[Vec<u64>]) -> Option<Self> {
        let MutualInformation { bits, of_column } = mutual_information(table)?;
        Some(Self {
            column: column.to_owned(),
            dimension: dimension.to_owned(),
            cases,
            count: table.iter().flatten().sum(),
            cramers_v: cramers_v(table)?,
            mutual_information: bits,
            of_label: of_column,
        })
    }

    /// Of the two dimensions, by the rows of each region.
    pub(crate) fn of_dimensions(by_region: &[Group]) -> Option<Self> {
        let known = by_region.iter().filter(|group| group.names[0].is_some());
        let table: Vec<Vec<u64>> = known.map(|group| vec![group.count.benign, group.count.metastatic]).collect();
        Self::of("region_name", "metastasis", Cases::Rows, &table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;

    fn region(name: Option<&str>, benign: u64, metastatic: u64) -> Group {
        let count = Count { rows: benign + metastatic, benign, metastatic, ..Count::default() };
        Group { names: vec![name.map(str::to_owned)], count, intervals: None }
    }

    #[test]
    fn a_region_with_one_status_tells_it_and_the_unknown_region_counts_for_none() {
        let told = [region(Some("upper"), 0, 50), region(Some("hilar"), 50, 0), region(None, 9, 7)];
        let all = Association::of_dimensions(&told).unwrap();
        assert_eq!((all.count, all.of_label), (100, 1.0));
        assert!((0.98..1.0).contains(&all.mutual_information), "{all:?}");
        assert!((all.cramers_v - 1.0).abs() < 1e-12);
        let none = Association::of_dimensions(&[region(Some("upper"), 20, 30), region(Some("hilar"), 40, 60)]).unwrap();
        assert_eq!((none.cramers_v, none.mutual_information, none.of_label), (0.0, 0.0, 0.0));
        assert_eq!(Association::of_dimensions(&[region(Some("upper"), 2, 3)]), None, "one region");
        assert_eq!(Association::of_dimensions(&[]), None);
    }
}
