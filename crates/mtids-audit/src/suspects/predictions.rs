//! Predictions of runs as probabilities: tables as `mtids-train evaluate` writes them (`predictions.csv`).
//!
//! A run must not judge patients that it was trained on. `trained-on.json`, which lies beside the table in a run's folder, says who they are.
//! Invariants: a table with a row of such a patient is refused; a table without record, or of another secret, is read and noted as unchecked;
//! of several predictions of a row the mean counts, so seeds of one fold may be given together.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use mtids_runtime::digest::Digest;
use serde::Deserialize;

use super::found::PredictionTable;
use crate::error::AuditError;

/// The record of a run.
const TRAINED_ON: &str = "trained-on.json";
/// Largest error of a sum of probabilities that rounding explains.
const ROUNDING: f64 = 1e-3;

/// Means of the predictions of each row.
pub(super) struct Predictions {
    /// What was read.
    pub(super) tables: Vec<PredictionTable>,
    /// Sums of the probabilities of the regions, and of the statuses.
    sums: HashMap<String, [Sum; 2]>,
}

/// A sum of probabilities, and how many were added.
#[derive(Default)]
struct Sum {
    total: Vec<f64>,
    added: f64,
}

impl Sum {
    fn add(&mut self, row: &[f64]) {
        self.total.resize(row.len(), 0.0);
        self.total.iter_mut().zip(row).for_each(|(sum, p)| *sum += p);
        self.added += 1.0;
    }

    fn mean(&self) -> Option<Vec<f64>> {
        (self.added > 0.0).then(|| self.total.iter().map(|sum| sum / self.added).collect())
    }
}

/// What a run says about its training; the record has more.
#[derive(Deserialize)]
struct TrainedOn {
    pseudonym_fingerprint: String,
    train: BTreeSet<String>,
    validation: BTreeSet<String>,
}

impl Predictions {
    /// Reads tables of predictions for a dataset with these regions, this secret, and these patients of its findings by their keys.
    ///
    /// # Errors
    /// [`AuditError::Predictions`] for a table that cannot be read, lacks a column, has a number that is no probability, or has rows of patients
    /// whom its run was trained on, or is of another dataset; [`AuditError::Repeated`] for one that is given twice, whose run would weigh twice.
    pub(super) fn read(
        paths: &[PathBuf],
        regions: &[String],
        fingerprint: &str,
        patients: &HashMap<&str, &str>,
    ) -> Result<Self, AuditError> {
        let mut all = Self { tables: Vec::new(), sums: HashMap::new() };
        for path in paths {
            let table = all.add(path, regions, fingerprint, patients)?;
            if all.tables.iter().any(|other| other.digest == table.digest) {
                return Err(AuditError::Repeated { path: path.clone() });
            }
            all.tables.push(table);
        }
        Ok(all)
    }

    fn add(
        &mut self,
        path: &Path,
        regions: &[String],
        fingerprint: &str,
        patients: &HashMap<&str, &str>,
    ) -> Result<PredictionTable, AuditError> {
        let fail = |detail: String| AuditError::Predictions { path: path.to_owned(), detail };
        let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        let trained = trained_on(path)?.filter(|record| record.pseudonym_fingerprint == fingerprint);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let headers = reader.headers().map_err(|error| fail(error.to_string()))?.clone();
        let column = |name: &str| {
            let place = headers.iter().position(|header| header == name);
            place.ok_or_else(|| fail(format!("no column `{name}`; give a table that `mtids-train evaluate` wrote")))
        };
        let (key, patient, metastatic) = (column("sample_key")?, column("patient_key")?, column("p_metastatic")?);
        let places =
            regions.iter().map(|region| column(&format!("p_{region}"))).collect::<Result<Vec<usize>, AuditError>>()?;
        let (mut rows, mut here, mut seen) = (0, 0_u64, BTreeSet::new());
        for record in reader.records() {
            let record = record.map_err(|error| fail(error.to_string()))?;
            // A run whose tasks tell one dimension only leaves the cells of the other empty; so does `suspects` for a row that it judged along one.
            let is_told = |place: &usize| record.get(*place).is_some_and(|cell| !cell.is_empty());
            let (regions_told, status_told) = (places.iter().any(is_told), is_told(&metastatic));
            let number = |place: usize| -> Result<f64, AuditError> {
                let cell = record.get(place).unwrap_or_default();
                let number = cell.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
                number.ok_or_else(|| fail(format!("row {}: `{cell}` is no probability", rows + 1)))
            };
            let key = record.get(key).unwrap_or_default().to_owned();
            let said = record.get(patient).unwrap_or_default();
            // The dataset knows whose a finding is; a table may have been cut.
            let patient = patients.get(key.as_str()).copied().unwrap_or(said);
            here += u64::from(patients.contains_key(key.as_str()));
            if !said.is_empty() && said != patient {
                return Err(fail(format!("row {}: the finding is of another patient in the dataset", rows + 1)));
            }
            let is_trained = |record: &TrainedOn| record.train.contains(patient) || record.validation.contains(patient);
            if trained.as_ref().is_some_and(is_trained) {
                seen.insert(patient.to_owned());
            }
            let [of_regions, of_statuses] = self.sums.entry(key).or_default();
            // A row that tells nothing is refused as one that should tell the regions.
            if regions_told || !status_told {
                let row = places.iter().map(|&place| number(place)).collect::<Result<Vec<f64>, AuditError>>()?;
                let sum: f64 = row.iter().sum();
                if (sum - 1.0).abs() > ROUNDING {
                    return Err(fail(format!("row {}: the probabilities of the regions add up to {sum:.4}", rows + 1)));
                }
                of_regions.add(&row);
            }
            if status_told {
                let metastatic = number(metastatic)?;
                of_statuses.add(&[1.0 - metastatic, metastatic]);
            }
            rows += 1;
        }
        if here == 0 && !patients.is_empty() {
            let detail = format!(
                "none of its {rows} rows is of a finding of this dataset; give predictions of a run for its patients"
            );
            return Err(fail(detail));
        }
        if !seen.is_empty() {
            let detail = format!(
                "{} of its patients were in the training of its run, which knows their labels; give predictions for held-out patients only, \
                 such as those of the split `test` of each fold",
                seen.len()
            );
            return Err(fail(detail));
        }
        Ok(PredictionTable { digest: Digest::of_bytes(&bytes), rows, checked: trained.is_some() })
    }

    /// Mean probabilities of the regions and of the statuses of a row, where they are told.
    pub(super) fn of(&self, key: &str) -> [Option<Vec<f64>>; 2] {
        self.sums.get(key).map_or([None, None], |sums| sums.each_ref().map(Sum::mean))
    }
}

/// The record beside a table; none where there is none.
fn trained_on(table: &Path) -> Result<Option<TrainedOn>, AuditError> {
    let path = table.with_file_name(TRAINED_ON);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuditError::Predictions { path, detail: error.to_string() }),
    };
    let record = serde_json::from_slice(&bytes);
    record.map(Some).map_err(|error| AuditError::Predictions { path, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "sample_key,patient_key,region,p_metastatic,p_upper,p_hilar";

    fn read(rows: &str, record: Option<&str>) -> Result<Predictions, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        std::fs::write(&path, format!("{HEAD}\n{rows}")).unwrap();
        if let Some(record) = record {
            std::fs::write(folder.path().join(TRAINED_ON), record).unwrap();
        }
        let regions = ["upper", "hilar"].map(str::to_owned);
        let patients = HashMap::from([("a", "p1")]);
        Predictions::read(&[path], &regions, "abc", &patients).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_read_by_name_and_several_predictions_are_averaged() {
        let found = read("a,p1,upper,0.2,0.9,0.1\na,p1,upper,0.6,0.7,0.3\n", None).unwrap();
        let [regions, statuses] = found.of("a").map(Option::unwrap);
        let near = |a: &[f64], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&regions, [0.8, 0.2]) && near(&statuses, [0.6, 0.4]));
        assert_eq!(found.of("b"), [None, None]);
        assert_eq!(found.tables.iter().map(|table| (table.rows, table.checked)).collect::<Vec<_>>(), [(2, false)]);
    }

    #[test]
    fn a_dimension_that_a_run_does_not_tell_is_not_judged_by_it() {
        let found = read("a,p1,upper,,0.9,0.1\n", None).unwrap();
        assert_eq!(found.of("a"), [Some(vec![0.9, 0.1]), None]);
        let found = read("a,p1,upper,0.25,,\n", None).unwrap();
        assert_eq!(found.of("a"), [None, Some(vec![0.75, 0.25])]);
        assert!(read("a,p1,upper,0.25,0.9,\n", None).is_err(), "half of the regions");
    }

    #[test]
    fn several_tables_are_averaged_and_one_that_is_given_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("one.csv"), format!("{HEAD}\na,p1,upper,0.2,0.9,0.1\n")).unwrap();
        std::fs::write(path("other.csv"), format!("{HEAD}\na,p1,upper,0.4,0.9,0.1\n")).unwrap();
        std::fs::copy(path("one.csv"), path("copy.csv")).unwrap();
        let regions = ["upper", "hilar"].map(str::to_owned);
        let read =
            |names: [&str; 2]| Predictions::read(&names.map(path), &regions, "abc", &HashMap::from([("a", "p1")]));
        let [_, status] = read(["one.csv", "other.csv"]).unwrap().of("a").map(Option::unwrap);
        assert!((status[1] - 0.3).abs() < 1e-12, "{status:?}");
        for again in ["one.csv", "copy.csv"] {
            let error = read(["one.csv", again]).err().unwrap();
            assert!(error.to_string().contains("give each table once") && error.to_string().contains(again), "{error}");
        }
    }

    #[test]
    fn a_run_that_knows_the_patients_of_its_table_is_refused() {
        let record = |fingerprint: &str, train: &str, validation: &str| {
            format!(
                r#"{{"pseudonym_fingerprint":"{fingerprint}","train":["{train}"],"validation":["{validation}"],"more":1}}"#
            )
        };
        let row = "a,p1,upper,0.2,0.9,0.1\n";
        for known in [record("abc", "p1", "p9"), record("abc", "p9", "p1")] {
            let said = read(row, Some(&known)).err().unwrap();
            assert!(said.contains("1 of its patients") && said.contains("predictions.csv"), "{said}");
        }
        assert!(read(row, Some(&record("abc", "p2", "p3"))).unwrap().tables[0].checked);
        assert!(!read(row, Some(&record("other", "p1", "p3"))).unwrap().tables[0].checked, "another secret");
    }

    #[test]
    fn whose_a_finding_is_says_the_dataset() {
        let trained = r#"{"pseudonym_fingerprint":"abc","train":["p1"],"validation":[]}"#;
        let said = read("a,,upper,0.2,0.9,0.1\n", Some(trained)).err().unwrap();
        assert!(said.contains("1 of its patients"), "{said}");
        let said = read("a,p2,upper,0.2,0.9,0.1\n", None).err().unwrap();
        assert!(said.contains("row 1: the finding is of another patient"), "{said}");
        for of_others in ["", "z,p1,upper,0.2,0.9,0.1\n"] {
            assert!(read(of_others, None).err().unwrap().contains("is of a finding of this dataset"));
        }
    }

    #[test]
    fn what_is_no_table_of_predictions_is_refused() {
        for (row, expected) in [
            ("a,p1,upper,1.2,0.9,0.1\n", "`1.2` is no probability"),
            ("a,p1,upper,0.5,0.9,\n", "`` is no probability"),
            ("a,p1,upper,,,\n", "`` is no probability"),
            ("a,p1,upper,0.5,0.9,0.9\n", "add up to 1.8"),
            ("a,p1\n", "record"),
        ] {
            assert!(read(row, None).err().unwrap().contains(expected), "{row}");
        }
        assert!(read("", Some("{}")).err().unwrap().contains("trained-on.json"));
        let missing = Predictions::read(&["nowhere.csv".into()], &[], "abc", &HashMap::new()).err().unwrap();
        assert!(missing.to_string().contains("nowhere.csv"));
    }
}
