//! Association of two categorical variables.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use statrs::function::factorial::ln_factorial;

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

/// What the row of a contingency table tells of the column, beyond chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MutualInformation {
    /// Shannon's mutual information less that of chance, bits; never below 0.
    pub bits: f64,
    /// The same as a share of what there is to tell beyond chance: the entropy of the column, less that of chance. 0 where chance tells all.
    pub of_column: f64,
}

/// Mutual information of a contingency table, less what tables with these totals have by chance (Vinh, Epps and Bailey, J Mach Learn Res 2010;11:2837,
/// equation 24). Without that, a column of as many values as cases would tell everything. `None` without a case.
pub fn mutual_information(table: &[Vec<u64>]) -> Option<MutualInformation> {
    let columns = table.iter().map(Vec::len).max()?;
    let rows: Vec<u64> = table.iter().map(|row| row.iter().sum()).collect();
    let of_column = |column: usize| table.iter().filter_map(|row| row.get(column)).sum::<u64>();
    let columns: Vec<u64> = (0..columns).map(of_column).collect();
    let n = rows.iter().sum::<u64>();
    if n == 0 {
        return None;
    }
    // In nats. A cell without cases adds nothing.
    let entropy = |counts: &mut dyn Iterator<Item = u64>| -> f64 {
        counts.filter(|count| *count > 0).map(|count| count as f64 / n as f64).map(|share| -share * share.ln()).sum()
    };
    let of_columns = entropy(&mut columns.iter().copied());
    let found = entropy(&mut rows.iter().copied()) + of_columns - entropy(&mut table.iter().flatten().copied());
    let chance = expected(&rows, &columns, n);
    let (beyond, all) = ((found - chance).max(0.0), of_columns - chance);
    // Below this, both are rounding.
    let of_column = if all > 1e-9 { (beyond / all).min(1.0) } else { 0.0 };
    let bits = if of_column > 0.0 { beyond / LN_2 } else { 0.0 };
    Some(MutualInformation { bits, of_column })
}

/// Mean mutual information, in nats, of all tables with these totals.
fn expected(rows: &[u64], columns: &[u64], n: u64) -> f64 {
    // Many rows of a table have one total.
    let mut by_total: BTreeMap<u64, f64> = BTreeMap::new();
    rows.iter().filter(|total| **total > 0).for_each(|total| *by_total.entry(*total).or_default() += 1.0);
    let of_row = |a: u64| columns.iter().filter(|b| **b > 0).map(|&b| expected_of_cell(a, b, n)).sum::<f64>();
    by_total.into_iter().map(|(a, times)| times * of_row(a)).sum()
}

/// What a cell adds, whose count is hypergeometric: a row of `a`, a column of `b`, of `n` cases.
fn expected_of_cell(a: u64, b: u64, n: u64) -> f64 {
    let (least, most) = ((a + b).saturating_sub(n), a.min(b));
    let choose = |of: u64, taken: u64| ln_factorial(of) - ln_factorial(taken) - ln_factorial(of - taken);
    let (a_, b_, n_) = (a as f64, b as f64, n as f64);
    let adds = |k: u64| if k == 0 { 0.0 } else { k as f64 / n_ * (n_ * k as f64 / (a_ * b_)).ln() };
    // From the most frequent count to both sides, until nothing more is added.
    let mode = (((a_ + 1.0) * (b_ + 1.0) / (n_ + 2.0)) as u64).clamp(least, most);
    let at_mode = (choose(a, mode) + choose(n - a, b - mode) - choose(n, b)).exp();
    let mut sum = at_mode * adds(mode);
    let mut chance = at_mode;
    for k in mode..most {
        chance *= (a - k) as f64 * (b - k) as f64 / ((k + 1) as f64 * ((n + k + 1) - a - b) as f64);
        if chance < 1e-20 {
            break;
        }
        sum += chance * adds(k + 1);
    }
    chance = at_mode;
    for k in (least + 1..=mode).rev() {
        chance *= k as f64 * ((n + k) - a - b) as f64 / ((a - k + 1) as f64 * (b - k + 1) as f64);
        if chance < 1e-20 {
            break;
        }
        sum += chance * adds(k - 1);
    }
    sum
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
        let of = |table: &[Vec<u64>]| mutual_information(table).map(|found| (found.bits, found.of_column));
        let (bits, share) = of(&[vec![500, 0], vec![0, 500]]).unwrap();
        assert!((0.998..1.0).contains(&bits) && (share - 1.0).abs() < 1e-12, "{bits} {share}");
        assert_eq!(of(&[vec![25, 25], vec![25, 25]]), Some((0.0, 0.0)));
        assert_eq!(of(&[vec![3, 4]]), Some((0.0, 0.0)), "one row tells nothing");
        assert_eq!((of(&[]), of(&[vec![0, 0]])), (None, None));
        // Every case has a value of its own: it would tell all by the number of values alone.
        let alone: Vec<Vec<u64>> = (0..300).map(|n| if n % 5 == 0 { vec![0, 1] } else { vec![1, 0] }).collect();
        assert_eq!(of(&alone), Some((0.0, 0.0)));
        // Totals of millions take no time and overflow nowhere.
        let (bits, _) = of(&[vec![4_000_000, 1_000_000], vec![1_000_000, 4_000_000]]).unwrap();
        assert!((bits - 0.278_072).abs() < 1e-5, "{bits}");
    }

    #[test]
    fn many_scanners_with_one_patient_each_are_no_association() {
        let table: Vec<Vec<u64>> = (0..20).map(|n| if n % 2 == 0 { vec![1, 0] } else { vec![0, 1] }).collect();
        assert_eq!(cramers_v(&table), None, "every patient alone: no association is computed");
        let pairs: Vec<Vec<u64>> = (0..10).map(|n| if n % 2 == 0 { vec![2, 0] } else { vec![1, 1] }).collect();
        assert!(cramers_v(&pairs).unwrap() < 0.5);
    }
}
