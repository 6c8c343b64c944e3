//! The table of corrections: a CSV file with one decision a line.
//!
//! Invariant: it is read whole, with every label of every line, or refused with all lines that are wrong; it knows nothing of findings.

use std::path::{Path, PathBuf};

use mtids_domain::taxonomy::RegionScheme;

use super::dimension::Dimension;
use super::labels::{UNKNOWN, check_label};
use crate::error::PrepError;
use crate::small_table::SmallTable;

/// Columns of the table.
const COLUMNS: [&str; 6] = ["finding", "dimension", "old", "new", "by", "why"];
/// Most wrong lines that are told at once.
const MOST_LINES: usize = 20;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Correction {
    /// Line in the file.
    pub(super) line: u64,
    /// Key of a row of the finding.
    pub(super) sample_key: String,
    /// The label.
    pub(super) dimension: Dimension,
    /// The label before.
    pub(super) old: String,
    /// The label after.
    pub(super) new: String,
    /// Who decided.
    pub(super) by: String,
}

impl Correction {
    /// Whether two lines about one label of a finding agree.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.dimension == other.dimension
            && self.old.eq_ignore_ascii_case(&other.old)
            && self.new.eq_ignore_ascii_case(&other.new)
    }
}

/// A table whose lines are all in order by themselves.
pub(crate) struct Corrections {
    path: PathBuf,
    /// A status comes last: it leaves evidence and level alone where the table names them.
    pub(super) lines: Vec<Correction>,
}

impl Corrections {
    /// Reads the table: columns `finding`, `dimension`, `old`, `new`, `by` and `why`, all of them filled.
    ///
    /// # Errors
    /// [`PrepError::Config`] naming the file, and every line with an empty cell or an unknown word.
    pub(crate) fn read(path: &Path, regions: &RegionScheme) -> Result<Self, PrepError> {
        let mut table = Self { path: path.to_owned(), lines: Vec::new() };
        let mut rows = SmallTable::open(path, COLUMNS).map_err(|reason| failure(path, reason))?;
        let at = rows.at;
        let mut wrong = Vec::new();
        while let Some(row) = rows.next() {
            let (line, record) = row.map_err(|reason| failure(path, reason))?;
            match correction(line, at.map(|at| record.get(at).unwrap_or_default().to_owned()), regions) {
                Ok(correction) => table.lines.push(correction),
                Err(reason) => wrong.push((line, reason)),
            }
        }
        table.refuse(wrong)?;
        table.lines.sort_by_key(|one| one.dimension == Dimension::Metastasis);
        Ok(table)
    }

    /// Refuses the table for these lines, if there are any; all of them are told, so that one look at the table is enough.
    ///
    /// # Errors
    /// [`PrepError::Config`] naming file and lines.
    pub(super) fn refuse(&self, mut wrong: Vec<(u64, String)>) -> Result<(), PrepError> {
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.sort();
        let told: Vec<String> =
            wrong.iter().take(MOST_LINES).map(|(line, reason)| format!("line {line}: {reason}")).collect();
        let more = match wrong.len().saturating_sub(told.len()) {
            0 => String::new(),
            more => format!("; and {more} more lines"),
        };
        Err(failure(&self.path, told.join("; ") + &more))
    }
}

fn failure(path: &Path, reason: String) -> PrepError {
    PrepError::Config { key: format!("corrections, {}", path.display()), reason }
}

/// One line, whose labels are checked.
fn correction(line: u64, cells: [String; COLUMNS.len()], regions: &RegionScheme) -> Result<Correction, String> {
    if let Some((name, _)) = COLUMNS.into_iter().zip(&cells).find(|(_, cell)| cell.is_empty()) {
        let hint = match name {
            "old" | "new" => format!("; write `{UNKNOWN}` for an unknown label"),
            _ => String::new(),
        };
        return Err(format!("`{name}` is empty{hint}"));
    }
    let [sample_key, dimension, old, new, by, _why] = cells;
    let named = Dimension::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(&dimension));
    let Some(dimension) = named else {
        let names = Dimension::ALL.map(Dimension::name).join(", ");
        return Err(format!("`{dimension}` is no dimension; there are {names}"));
    };
    for cell in [&old, &new] {
        check_label(dimension, cell, regions)?;
    }
    Ok(Correction { line, sample_key, dimension, old, new, by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::taxonomy::Zone;

    #[test]
    fn lines_of_two_samples_of_a_finding_may_repeat_each_other() {
        let line = |line, new: &str| {
            let [sample_key, old, new, by] = ["k", "benign", new, "AB"].map(str::to_owned);
            Correction { line, sample_key, dimension: Dimension::Metastasis, old, new, by }
        };
        assert!(line(2, "metastatic").says_the_same(&line(3, "Metastatic")));
        assert!(!line(2, "metastatic").says_the_same(&line(3, "unknown")));
    }

    #[test]
    fn a_table_is_read_whole_or_refused_with_all_its_wrong_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("corrections.csv");
        let regions = RegionScheme::of_zones(Zone::ALL).unwrap();
        let read_text = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Corrections::read(&path, &regions).map(|table| table.lines).map_err(|error| error.to_string())
        };
        let found = read_text(
            "Why,finding,dimension,old,new,by\n\"seen again, larger\",ab,METASTASIS,benign,metastatic,AB\nx,ab,evidence,D,A,AB\n",
        )
        .unwrap();
        let read: Vec<(Dimension, u64)> = found.iter().map(|one| (one.dimension, one.line)).collect();
        assert_eq!(read, [(Dimension::Evidence, 3), (Dimension::Metastasis, 2)], "a status comes last");
        assert!(read_text("finding,dimension,old,new,by\n").unwrap_err().contains("no column `why`"));
        let heading = "finding,dimension,old,new,by,why\n";
        let wrong = read_text(&format!(
            "{heading}ab,region,upper,,AB,seen\nab,size,1,2,AB,x\nab,station,4R,4L,AB,x\nab,station,4R,99,AB,x\nab,region,nowhere,unknown,AB,x\n"
        ))
        .unwrap_err();
        for part in [
            "corrections.csv",
            "line 2: `new` is empty",
            "line 3: `size` is no dimension",
            "line 5: ",
            "line 6: `nowhere` is no region",
        ] {
            assert!(wrong.contains(part), "{part}: {wrong}");
        }
        assert!(!wrong.contains("line 4"), "{wrong}");
        let twice = read_text("finding,dimension,old,new,by,why,New\nab,evidence,D,A,AB,seen,B\n").unwrap_err();
        assert!(twice.contains("corrections.csv") && twice.contains("`new` occurs twice"), "{twice}");
        let open = read_text(&format!(
            "{heading}ab,evidence,D,A,AB,\"see report\ncd,evidence,D,A,AB,x\nef,evidence,D,A,AB,\"sic\" he says\n"
        ));
        let open = open.unwrap_err();
        assert!(open.contains("line 2: the quotation mark of column 6 is closed in line 4"), "{open}");
        let many = heading.to_owned() + &"ab,size,1,2,AB,x\n".repeat(25);
        assert!(read_text(&many).unwrap_err().ends_with("and 5 more lines"));
        let missing = Corrections::read(&folder.path().join("none.csv"), &regions).err().unwrap().to_string();
        assert!(missing.contains("none.csv"), "{missing}");
    }
}
