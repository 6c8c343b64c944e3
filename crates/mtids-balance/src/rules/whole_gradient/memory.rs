//! Vectors that a method keeps for each task between steps.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::BalanceError;
use crate::rows::Element;

/// One vector per task, kept between steps; empty until the task has been active. Saved as the 16 hexadecimal digits of each
/// number's bits: a JSON number for each of millions of coordinates would take several times the memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory(pub(crate) Vec<Vec<f64>>);

impl Memory {
    pub(crate) fn new(tasks: usize) -> Self {
        Memory(vec![Vec::new(); tasks])
    }

    /// Whether the vectors kept of these tasks have as many coordinates as the rows.
    pub(crate) fn check<F: Element>(&self, members: &[usize], rows: &[&[F]]) -> Result<(), BalanceError> {
        for (&task, row) in members.iter().zip(rows) {
            let expected = self.0[task].len();
            if expected != 0 && expected != row.len() {
                return Err(BalanceError::Width { task, expected, got: row.len() });
            }
        }
        Ok(())
    }

    /// The vector of a task, of zeros if it has none yet.
    pub(crate) fn of(&mut self, task: usize, width: usize) -> &mut [f64] {
        self.0[task].resize(width, 0.0);
        &mut self.0[task]
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |row: &Vec<f64>| row.iter().map(|value| format!("{:016x}", value.to_bits())).collect::<String>();
        self.0.iter().map(text).collect::<Vec<String>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> = Vec::deserialize(deserializer)?;
        let rows = texts.iter().map(|text| text.as_bytes().chunks(16).map(number).collect::<Option<Vec<f64>>>());
        rows.collect::<Option<_>>().map(Memory).ok_or_else(|| D::Error::custom("a number is damaged"))
    }
}

/// The finite number of 16 hexadecimal digits.
fn number(digits: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 16)?;
    let value = f64::from_bits(u64::from_str_radix(text, 16).ok()?);
    value.is_finite().then_some(value)
}
