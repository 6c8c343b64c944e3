//! Formulas of a sheet whose 0 may stand for an empty cell.
//!
//! Purpose: a reference to an empty cell, and a look-up that finds one, give the number 0, which is a status or a coordinate like any other.
//! Invariant: a formula that compares (`IF(B2="N",0,1)`) gives the 0 that its writer meant.

use std::collections::BTreeMap;

use calamine::XlsxFormulaMetadata;

/// Functions that hand on the value of another cell.
const LOOK_UPS: [&str; 6] = ["LOOKUP(", "INDEX(", "INDIRECT(", "OFFSET(", "CHOOSE(", "FILTER("];

/// The formulas of a sheet, of which some cells share one.
#[derive(Debug, Default)]
pub(super) struct Formulas {
    /// For each shared formula whether it hands on values.
    shared: BTreeMap<usize, bool>,
}

impl Formulas {
    /// Whether a cell has a formula that gives 0 for an empty cell. Cells are asked for in the order of the sheet.
    pub(super) fn hands_on(&mut self, formula: Option<&XlsxFormulaMetadata>) -> bool {
        match formula {
            Some(XlsxFormulaMetadata::Normal { formula }) => hands_on(formula),
            Some(XlsxFormulaMetadata::Shared { shared_index, formula, .. }) => {
                let hands_on = hands_on(formula);
                self.shared.insert(*shared_index, hands_on);
                hands_on
            }
            Some(XlsxFormulaMetadata::SharedDerived { shared_index }) => {
                self.shared.get(shared_index).copied().unwrap_or(false)
            }
            _ => false,
        }
    }
}

/// Whether a formula hands on the value of a cell: a reference alone, or a look-up whose value nobody compares.
fn hands_on(formula: &str) -> bool {
    let bare = without_names(formula).to_uppercase();
    let has = |signs: &[char]| bare.contains(signs);
    let is_reference = !has(&['(', '+', '-', '*', '/', '&', '^', '%']) && bare.contains(|c: char| c.is_ascii_digit());
    let is_named = bare.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '$' | '!'));
    !has(&['=', '<', '>', '"']) && (LOOK_UPS.iter().any(|name| bare.contains(name)) || (is_reference && is_named))
        || empties_aside(&bare)
}

/// Whether a look-up is caught where it fails (`IFERROR(VLOOKUP(…),"")`), and not where it finds an empty cell.
fn empties_aside(bare: &str) -> bool {
    ["IFERROR(", "IFNA(", "_XLFN.IFNA("].iter().any(|name| bare.starts_with(name))
        && LOOK_UPS.iter().any(|name| bare.contains(name))
        && !bare.contains(['=', '<', '>'])
}

/// A formula without what stands in quotes of names (`'sheet 1'!A2`) and brackets of workbooks (`[1]sheet!A2`).
fn without_names(formula: &str) -> String {
    let (mut bare, mut quoted, mut depth) = (String::new(), false, 0_u32);
    for c in formula.trim().trim_start_matches('=').chars() {
        match c {
            '\'' => quoted = !quoted,
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if !quoted && depth == 0 => bare.push(c),
            _ => {}
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_that_hands_on_a_cell_is_known() {
        for formula in [
            "VLOOKUP(A4,[1]Patho!$A:$B,2,FALSE)",
            "Coords!B4",
            "$B$4",
            "'my sheet-2'!B4",
            "_xlfn.XLOOKUP(A4,P!A:A,P!B:B)",
            "INDEX(P!B:B,MATCH(A4,P!A:A,0))",
            "IFERROR(VLOOKUP(A4,P!A:B,2,0),\"\")",
            "IF(ISNA(VLOOKUP(A4,P!A:B,2,0)),0,VLOOKUP(A4,P!A:B,2,0))",
        ] {
            assert!(hands_on(formula), "{formula}");
        }
        for formula in [
            "IF(G2>1,1,0)",
            "IF(B4=\"\",\"\",B4)",
            "IF(VLOOKUP(A4,P!A:B,2,0)=\"N1\",1,0)",
            "IF(VLOOKUP(A4,P!A:B,2,0)=\"\",\"\",VLOOKUP(A4,P!A:B,2,0))",
            "B4-C4",
            "0",
            "SUM(B4:B6)",
            "",
        ] {
            assert!(!hands_on(formula), "{formula}");
        }
    }
}
