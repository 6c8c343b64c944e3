//! Agreement of two readers beyond chance: Cohen's kappa (Educ Psychol Meas 1960;20:37), with an interval over patients.
//!
//! Invariant: 1 for full agreement, 0 for that of chance, negative below it; not defined where both readers always say one class.

use serde::Serialize;

use crate::bootstrap::{BootstrapOptions, bootstrap_by_patient};
use crate::confusion::Confusion;
use crate::interval::Interval;

/// How far two readers agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Samples that both judged.
    pub samples: u64,
    /// Share on which they agree.
    pub observed: f64,
    /// Cohen's kappa.
    pub kappa: f64,
    /// Its 95 % percentile interval over resamples of patients, where defined.
    pub interval: Option<Interval>,
}

/// Cohen's kappa of a table of one reader's classes against another's; `None` without samples, or where chance alone agrees fully.
pub fn cohens_kappa(table: &Confusion) -> Option<f64> {
    let total = table.total() as f64;
    if total == 0.0 {
        return None;
    }
    let said_second = |class: usize| (0..table.classes()).map(|first| table.count(first, class)).sum::<u64>() as f64;
    let by_chance: f64 =
        (0..table.classes()).map(|class| table.support(class) as f64 / total * said_second(class) / total).sum();
    let observed = table.correct() as f64 / total;
    (by_chance < 1.0).then(|| (observed - by_chance) / (1.0 - by_chance))
}

/// Agreement of two readers on `pairs` of classes below `classes`; `patients[i]` names the patient of pair `i`. `None` where kappa is.
pub fn agreement_by_patient(
    patients: &[&str],
    pairs: &[(usize, usize)],
    classes: usize,
    options: BootstrapOptions,
) -> Option<Agreement> {
    let of = |drawn: &mut dyn Iterator<Item = usize>| Confusion::from_pairs(classes, drawn.map(|n| pairs[n]));
    let known = pairs.len().min(patients.len());
    let table = of(&mut (0..known));
    let kappa = cohens_kappa(&table)?;
    let interval =
        bootstrap_by_patient(&patients[..known], options, |drawn| cohens_kappa(&of(&mut drawn.iter().copied())));
    Some(Agreement { samples: table.total(), observed: table.correct() as f64 / table.total() as f64, kappa, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(table: &[&[usize]]) -> Vec<(usize, usize)> {
        let cells =
            table.iter().enumerate().flat_map(|(a, row)| row.iter().enumerate().map(move |(b, &n)| ((a, b), n)));
        cells.flat_map(|(pair, n)| std::iter::repeat_n(pair, n)).collect()
    }

    fn kappa(table: &[&[usize]]) -> Option<f64> {
        cohens_kappa(&Confusion::from_pairs(table.len(), pairs(table)))
    }

    #[test]
    fn kappa_against_known_values() {
        // By hand: (0.70 − 0.50) / 0.50; (0.60 − 0.54) / 0.46; (0.60 − 0.46) / 0.54.
        for (table, expected) in
            [([[20, 5], [10, 15]], 0.4), ([[45, 15], [25, 15]], 0.06 / 0.46), ([[25, 35], [5, 35]], 0.14 / 0.54)]
        {
            let found = kappa(&[&table[0], &table[1]]).unwrap();
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
        // Three classes: observed .29, by chance .35.
        let found = kappa(&[&[25, 13, 12], &[12, 2, 16], &[3, 15, 2]]).unwrap();
        assert!((found - (0.29 - 0.35) / (1.0 - 0.35)).abs() < 1e-12, "{found}");
    }

    #[test]
    fn kappa_at_its_ends() {
        assert_eq!(kappa(&[&[5, 0], &[0, 7]]), Some(1.0));
        assert_eq!(kappa(&[&[0, 5], &[5, 0]]), Some(-1.0));
        assert_eq!(kappa(&[&[9, 0], &[0, 0]]), None, "one class");
        assert_eq!(kappa(&[&[0, 0], &[0, 0]]), None);
    }

    #[test]
    fn the_interval_counts_patients_not_samples() {
        // 30 patients with ten samples each, all alike within a patient: the interval is that of 30 samples, not of 300.
        let wide: Vec<(usize, usize)> = (0..300).map(|n| (n / 10 % 2, usize::from(n / 10 % 3 > 0))).collect();
        let of_patients: Vec<String> = (0..300).map(|n| format!("p{}", n / 10)).collect();
        let of_samples: Vec<String> = (0..300).map(|n| format!("s{n}")).collect();
        let options = BootstrapOptions { resamples: 400, seed: 5 };
        let width = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = agreement_by_patient(&names, &wide, 2, options).unwrap();
            let interval = found.interval.unwrap();
            assert!(interval.low <= found.kappa && found.kappa <= interval.high, "{found:?}");
            assert_eq!(found.samples, 300);
            interval.high - interval.low
        };
        assert!(width(&of_patients) > 2.0 * width(&of_samples));
        assert_eq!(agreement_by_patient(&[], &[], 2, options), None);
    }
}
