//! Association of two categorical variables.

/// Cramér's V of a contingency table, with Bergsma's correction of its bias (J Korean Stat Soc 2013;42:323): 0 without association, 1 when
/// the row tells the column. Without the correction, a table with many rows and few cases shows association by chance. `None` unless two
/// rows and two columns have cases.
pub fn cramers_v(table: &[Vec<u64>]) -> Option<f64> {
    let columns = table.iter().map(Vec::len).max()?;
    let at = |row: &Vec<u64>, column: usize| row.get(column).copied().unwrap_or(0) as f64;
    let row_totals: Vec<f64> = table.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let column_totals: Vec<f64> = (0..columns).map(|column| table.iter().map(|row| at(row, column)).sum()).collect();
    let n: f64 = row_totals.iter().sum();
    let filled = |totals: &[f64]| totals.iter().filter(|&&total| total > 0.0).count() as f64;
    let (r, k) = (filled(&row_totals), filled(&column_totals));
    if r < 2.0 || k < 2.0 || n < 2.0 {
        return None;
    }
    let mut chi_squared = 0.0;
    for (row, row_total) in table.iter().zip(&row_totals) {
        for (column, column_total) in column_totals.iter().enumerate() {
            let expected = row_total * column_total / n;
            if expected > 0.0 {
                chi_squared += (at(row, column) - expected).powi(2) / expected;
            }
        }
    }
    let phi_squared = (chi_squared / n - (r - 1.0) * (k - 1.0) / (n - 1.0)).max(0.0);
    let corrected = |count: f64| count - (count - 1.0).powi(2) / (n - 1.0);
    let limit = corrected(r).min(corrected(k)) - 1.0;
    (limit > 0.0).then(|| (phi_squared / limit).sqrt().min(1.0))
}

/// What one variable of a contingency table tells of the other, in bits: 0 without association, and never more than the entropy of either.
///
/// Shannon's mutual information of the table, less its bias in a table of few cases (Miller, Information Theory in Psychology, 1955:95): by as many
/// cells, over twice the cases, as are filled beyond those of one row and one column. `None` without a case.
pub fn mutual_information(table: &[Vec<u64>]) -> Option<f64> {
    let columns = table.iter().map(Vec::len).max()?;
    let rows: Vec<u64> = table.iter().map(|row| row.iter().sum()).collect();
    let of_column = |column: usize| table.iter().filter_map(|row| row.get(column)).sum::<u64>();
    let columns: Vec<u64> = (0..columns).map(of_column).collect();
    let n = rows.iter().sum::<u64>() as f64;
    if n == 0.0 {
        return None;
    }
    // In nats. A cell without cases adds nothing.
    let entropy = |counts: &mut dyn Iterator<Item = u64>| -> (f64, f64) {
        let filled = counts.filter(|count| *count > 0).map(|count| count as f64 / n);
        filled.fold((0.0, 0.0), |(entropy, cells), share| (entropy - share * share.ln(), cells + 1.0))
    };
    let (of_rows, filled_rows) = entropy(&mut rows.iter().copied());
    let (of_columns, filled_columns) = entropy(&mut columns.iter().copied());
    let (of_cells, filled_cells) = entropy(&mut table.iter().flatten().copied());
    let bias = (filled_cells - filled_rows - filled_columns + 1.0) / (2.0 * n);
    let nats = of_rows + of_columns - of_cells - bias;
    Some(nats.clamp(0.0, of_rows.min(of_columns)) / std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cramers_v_at_its_ends_and_by_hand() {
        assert!((cramers_v(&[vec![50, 0], vec![0, 50]]).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(cramers_v(&[vec![25, 25], vec![25, 25]]), Some(0.0));
        // χ² = 60·(10·25 − 20·5)²/(30·30·15·45) = 2.2222; φ² = 0.037037 − 1/59; V = √(0.020088 / (1 − 1/59)).
        let v = cramers_v(&[vec![10, 20], vec![5, 25]]).unwrap();
        assert!((v - 0.142_949).abs() < 1e-5, "{v}");
        assert_eq!(cramers_v(&[vec![3, 4]]), None);
        assert_eq!(cramers_v(&[vec![3, 0], vec![4, 0]]), None);
        assert_eq!(cramers_v(&[]), None);
    }

    #[test]
    fn mutual_information_at_its_ends() {
        assert_eq!(mutual_information(&[vec![50, 0], vec![0, 50]]), Some(1.0), "never more than the entropy");
        assert_eq!(mutual_information(&[vec![25, 25], vec![25, 25]]), Some(0.0));
        assert_eq!(mutual_information(&[vec![3, 4]]), Some(0.0), "one row tells nothing");
        assert_eq!((mutual_information(&[]), mutual_information(&[vec![0, 0]])), (None, None));
        // Four values that two bits name, each cell a case of many.
        let four: Vec<Vec<u64>> =
            (0..4).map(|row| (0..4).map(|column| u64::from(row == column) * 1000).collect()).collect();
        assert!((mutual_information(&four).unwrap() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn many_scanners_with_one_patient_each_are_no_association() {
        let table: Vec<Vec<u64>> = (0..20).map(|n| if n % 2 == 0 { vec![1, 0] } else { vec![0, 1] }).collect();
        assert_eq!(cramers_v(&table), None, "every patient alone: no association is computed");
        let pairs: Vec<Vec<u64>> = (0..10).map(|n| if n % 2 == 0 { vec![2, 0] } else { vec![1, 1] }).collect();
        assert!(cramers_v(&pairs).unwrap() < 0.5);
    }
}
