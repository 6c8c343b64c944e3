//! The columns of an index as polars sees them: each is decoded when a query needs it, and text is a number.
//!
//! A key (`sample_key`, `patient_key`, …) is the number of the first row with the same text; the key of a sample is its own row. Other text
//! is the place of the value among all values of its column, so the order of numbers is the order of the texts. Invariants: columns of text
//! with few values, and keys that several questions ask for, are decoded once and kept in as few bytes as hold them; all others are decoded for
//! the query and dropped.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType as ArrowType;
use mtids_shards::{Coded, IndexColumns, NO_CODE, ShardError};
use polars::prelude::*;

use crate::frame::series;

/// Columns with about as many values as rows.
pub(crate) const KEYS: [&str; 9] = [
    SAMPLE,
    "patient_key",
    "folded_patient_key",
    "study_key",
    "series_key",
    "frame_of_reference_key",
    "instance_key",
    "voxels_digest",
    "near_hash",
];
/// The key whose number is the row.
pub(crate) const SAMPLE: &str = "sample_key";
/// Keys that several questions ask for.
const KEPT_KEYS: [&str; 4] = ["patient_key", "series_key", "frame_of_reference_key", "voxels_digest"];

/// Codes of a column of text, in as few bytes as hold them.
enum Codes {
    Narrow(Vec<u8>),
    Wide(Vec<u32>),
}

/// A kept column: its codes, and what they stand for.
pub(crate) struct Kept {
    codes: Codes,
    /// The values, sorted; none for a key.
    pub(crate) values: Vec<String>,
}

impl Kept {
    fn new(coded: Coded) -> Self {
        let codes = if coded.values.len() < usize::from(u8::MAX) {
            // A null, all bits set, stays all bits set.
            Codes::Narrow(coded.codes.into_iter().map(|code| code as u8).collect())
        } else {
            Codes::Wide(coded.codes)
        };
        Self { codes, values: coded.values }
    }

    fn series(&self, name: &str) -> Series {
        match &self.codes {
            Codes::Narrow(codes) => {
                let wide = |code: &u8| if *code == u8::MAX { NO_CODE } else { u32::from(*code) };
                coded_series(name, codes.iter().map(wide).collect())
            }
            Codes::Wide(codes) => coded_series(name, codes.clone()),
        }
    }
}

/// Codes as polars has them: null for [`NO_CODE`].
fn coded_series(name: &str, codes: Vec<u32>) -> Series {
    // Most columns have no null, and are taken as they are.
    let column = if codes.contains(&NO_CODE) {
        let known = codes.into_iter().map(|code| (code != NO_CODE).then_some(code));
        UInt32Chunked::from_iter_options(name.into(), known)
    } else {
        UInt32Chunked::from_vec(name.into(), codes)
    };
    column.into_series()
}

/// The columns of an index, and those of them that are kept.
pub(crate) struct Columns {
    index: IndexColumns,
    kept: Mutex<BTreeMap<String, Arc<Kept>>>,
}

impl Columns {
    pub(crate) fn new(index: IndexColumns) -> Self {
        Self { index, kept: Mutex::default() }
    }

    /// The index itself.
    pub(crate) fn index(&self) -> &IndexColumns {
        &self.index
    }

    /// Whether a column is text, and so a number here.
    pub(crate) fn is_text(&self, name: &str) -> bool {
        self.index.schema().field_with_name(name).is_ok_and(|field| *field.data_type() == ArrowType::Utf8)
    }

    /// A column of text with few values, or one of the keys that are kept.
    pub(crate) fn kept(&self, name: &str) -> Result<Arc<Kept>, ShardError> {
        if let Some(found) = self.lock().get(name) {
            return Ok(Arc::clone(found));
        }
        // Decoded without the lock: a thread that waits for others may be given a task that asks for it.
        let made = Arc::new(if KEPT_KEYS.contains(&name) {
            Kept { codes: Codes::Wide(self.index.first_rows(name)?), values: Vec::new() }
        } else {
            Kept::new(self.index.coded(name)?)
        });
        Ok(Arc::clone(self.lock().entry(name.to_owned()).or_insert(made)))
    }

    /// Whether every row has this value in a column of text.
    pub(crate) fn are_all(&self, name: &str, value: &str) -> Result<bool, ShardError> {
        Ok(self.kept(name)?.values == [value] && !self.has_null(name)?)
    }

    /// Whether any row of a column of text has no value.
    pub(crate) fn has_null(&self, name: &str) -> Result<bool, ShardError> {
        Ok(match &self.kept(name)?.codes {
            Codes::Narrow(codes) => codes.contains(&u8::MAX),
            Codes::Wide(codes) => codes.contains(&NO_CODE),
        })
    }

    /// For each row the first one with the same text in a column of keys; [`NO_CODE`] where it is null.
    pub(crate) fn first_rows(&self, name: &str) -> Result<Vec<u32>, ShardError> {
        if KEPT_KEYS.contains(&name)
            && let Codes::Wide(codes) = &self.kept(name)?.codes
        {
            return Ok(codes.clone());
        }
        self.index.first_rows(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` with the number and the value, in single precision, of every row of a column of numbers that is not null.
    pub(crate) fn visit_numbers(&self, name: &str, mut each: impl FnMut(u32, f32)) -> Result<(), ShardError> {
        let is_single =
            self.index.schema().field_with_name(name).is_ok_and(|field| *field.data_type() == ArrowType::Float32);
        if is_single {
            return self.index.visit_singles(name, each);
        }
        // Another library may have written wider numbers.
        let numbers = self.polars(name)?.cast(&DataType::Float32).map_err(|error| self.wrong(&error))?;
        let numbers = numbers.f32().map_err(|error| self.wrong(&error))?;
        for (row, value) in (0..).zip(numbers.iter()) {
            value.into_iter().for_each(|value| each(row, value));
        }
        Ok(())
    }

    fn wrong(&self, error: &PolarsError) -> ShardError {
        ShardError::Rows { path: self.index.path().to_owned(), detail: error.to_string() }
    }

    /// A column as polars has it.
    fn polars(&self, name: &str) -> Result<Series, ShardError> {
        Ok(match name {
            SAMPLE => {
                let rows = u32::try_from(self.index.rows()).unwrap_or(NO_CODE);
                UInt32Chunked::from_vec(name.into(), (0..rows).collect()).into_series()
            }
            _ if KEYS.contains(&name) => coded_series(name, self.first_rows(name)?),
            _ if self.is_text(name) => self.kept(name)?.series(name),
            _ => {
                let arrays = self.index.column(name)?;
                let arrays: Vec<&ArrayRef> = arrays.iter().collect();
                let kind = self.index.schema().field_with_name(name).map(|field| field.data_type().clone());
                series(name, &kind.unwrap_or(ArrowType::Null), &arrays).map_err(|error| self.wrong(&error))?
            }
        })
    }
}

impl AnonymousScan for Columns {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn scan(&self, asked: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let names: Vec<PlSmallStr> = match &asked.with_columns {
            Some(names) => names.to_vec(),
            None => asked.schema.iter_names().cloned().collect(),
        };
        let fail = |error: ShardError| PolarsError::ComputeError(error.to_string().into());
        let columns: PolarsResult<Vec<Column>> =
            names.iter().map(|name| Ok(Column::from(self.polars(name).map_err(fail)?))).collect();
        DataFrame::new(self.index.rows(), columns?)
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        let fields = self.index.schema().fields().iter().map(|field| {
            let kind = match field.data_type() {
                ArrowType::Utf8 => DataType::UInt32,
                // An empty column has the type that its series has.
                other => series(field.name(), other, &[])?.dtype().clone(),
            };
            Ok((field.name().as_str().into(), kind))
        });
        Ok(Arc::new(fields.collect::<PolarsResult<Schema>>()?))
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}
