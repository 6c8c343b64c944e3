//! Tasks as label maps: the decomposition into a main task and its two dimensions is stated in the abstract (A), its form is
//! our choice (O).
//!
//! One task is no label map: `measures`, a regression of M numbers (O).
//!
//! Purpose: one image carries one joint label, the mixed-radix code y of its label dimensions (here region a and metastasis
//! b, y = 2 a + b); every task is a map from y to its own classes. Invariants: the main task is the identity; each map is onto;
//! the digits recover y; a sample whose known digits do not fix a task's class is masked out of that task, or, where asked for,
//! enters with the set of classes that remain.

use mtids_domain::label::Evidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
pub use crate::label_space::LabelSpace;

/// The tasks that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// The main task: region and metastasis together, 2 K classes.
    Joint,
    /// Region, K classes.
    Region,
    /// Metastasis, 2 classes.
    Metastasis,
    /// No metastasis, or its region: K + 1 classes.
    Where,
    /// One task per region: metastasis among the samples of that region.
    MetastasisPerRegion,
    /// Regression of the measures of a node, M numbers: an auxiliary task of the metastasis status.
    Measures,
}

/// A label dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Where a node lies.
    Region,
    /// Whether it is metastatic.
    Metastasis,
}

impl TaskKind {
    /// The label dimension that a task of this kind belongs to; `None` for one that needs both.
    pub fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Joint | Self::Where => None,
            Self::Region => Some(Dimension::Region),
            Self::Metastasis | Self::MetastasisPerRegion | Self::Measures => Some(Dimension::Metastasis),
        }
    }
}

/// The tasks of the reconstruction (tag A): the main task and its two dimensions.
pub(crate) fn default_tasks() -> Vec<TaskKind> {
    vec![TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis]
}

/// One task: a name and the class of every joint code (`None` where the task does not apply). The task `measures` has no classes: its table
/// is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Unique name; part of parameter names.
    pub name: String,
    /// What kind of task it is.
    pub kind: TaskKind,
    /// Number of outputs: classes, or the numbers that `measures` predicts.
    pub classes: usize,
    /// Class of each joint code.
    pub table: Vec<Option<usize>>,
}

impl LabelMap {
    /// Classes that remain possible for a sample with these compatible codes; `None` when the sample says nothing about this
    /// task (all classes remain, or the task may not apply).
    pub fn possible(&self, compatible: &[usize]) -> Option<Vec<usize>> {
        let mut classes = Vec::new();
        for &code in compatible {
            classes.push((*self.table.get(code)?)?);
        }
        classes.sort_unstable();
        classes.dedup();
        (!classes.is_empty() && classes.len() < self.classes).then_some(classes)
    }

    /// Whether every code has a class, so that the task can take part in a combined prediction head.
    pub fn is_total(&self) -> bool {
        !self.is_regression() && self.table.iter().all(Option::is_some)
    }

    /// Whether the task predicts numbers, not classes.
    pub fn is_regression(&self) -> bool {
        self.kind == TaskKind::Measures
    }

    /// Whether the class depends on the metastasis status, so that the evidence behind that status counts.
    pub fn reads_metastasis(&self) -> bool {
        self.table.chunks(2).any(|pair| pair.first() != pair.last())
    }

    /// Whether the class depends on the region.
    pub fn reads_region(&self) -> bool {
        self.table.chunks(2).any(|pair| self.table.get(..2) != Some(pair))
    }
}

/// Labels of a batch, as the data set knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetBatch {
    /// Region code of each sample.
    pub region: Vec<Option<u32>>,
    /// Metastasis code (0 benign, 1 metastatic) of each sample.
    pub metastasis: Vec<Option<u32>>,
    /// Weight of each sample; empty means 1 for all.
    pub weights: Vec<f32>,
    /// Evidence behind each metastasis status; empty means that it does not count.
    pub evidence: Vec<Evidence>,
    /// The M measures of each sample, standardised; empty means that none is known.
    pub measures: Vec<Vec<Option<f32>>>,
}

impl TargetBatch {
    /// Samples of which nothing is known.
    pub fn unknown(samples: usize, measures: usize) -> Self {
        let nothing = if measures == 0 { Vec::new() } else { vec![vec![None; measures]; samples] };
        Self { region: vec![None; samples], metastasis: vec![None; samples], measures: nothing, ..Self::default() }
    }

    /// The first samples, or all where there are no more.
    #[must_use]
    pub fn first(&self, samples: usize) -> Self {
        fn first<T: Clone>(all: &[T], samples: usize) -> Vec<T> {
            all.iter().take(samples).cloned().collect()
        }
        Self {
            region: first(&self.region, samples),
            metastasis: first(&self.metastasis, samples),
            weights: first(&self.weights, samples),
            evidence: first(&self.evidence, samples),
            measures: first(&self.measures, samples),
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.region.len()
    }

    /// True for a batch without samples.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }
}

/// The tasks of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSet {
    space: LabelSpace,
    tasks: Vec<LabelMap>,
}

impl TaskSet {
    /// The tasks of these kinds for `regions` regions and `measures` measures. A kind named twice gives two independent tasks, the second with `-#2`
    /// behind its name.
    ///
    /// # Errors
    /// [`ModelError::Config`] without regions or tasks, for a region task when there is only one region, and for the task `measures` without
    /// measures.
    pub fn new(kinds: &[TaskKind], regions: usize, measures: usize) -> Result<Self> {
        if regions == 0 || kinds.is_empty() {
            return Err(crate::error::config_error("tasks", "needs at least one region and one task"));
        }
        let space = LabelSpace::new(&[regions, 2]);
        let mut tasks: Vec<LabelMap> = Vec::new();
        for &kind in kinds {
            if kind == TaskKind::Measures && measures == 0 {
                let reason = "`measures` needs at least one measure; name some or leave the task out";
                return Err(crate::error::config_error("tasks", reason));
            }
            for (name, classes, table) in maps(kind, regions, measures) {
                if classes < 2 && kind != TaskKind::Measures {
                    return Err(crate::error::config_error("tasks", format!("`{name}` has a single class")));
                }
                let same = tasks.iter().filter(|task| task.name == name || task.name.starts_with(&format!("{name}-#")));
                let name = match same.count() {
                    0 => name,
                    // `-#` keeps repeated names apart from names that merely begin alike.
                    again => format!("{name}-#{}", again + 1),
                };
                tasks.push(LabelMap { name, kind, classes, table });
            }
        }
        Ok(Self { space, tasks })
    }

    /// The joint label space.
    pub fn space(&self) -> &LabelSpace {
        &self.space
    }

    /// The tasks in order.
    pub fn tasks(&self) -> &[LabelMap] {
        &self.tasks
    }

    /// Number of tasks T.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Never true; present because `len` is.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Position of the first joint task.
    pub fn joint(&self) -> Option<usize> {
        self.tasks.iter().position(|task| task.kind == TaskKind::Joint)
    }

    /// Codes compatible with each sample of a batch.
    ///
    /// # Errors
    /// [`ModelError::Targets`] for lists of unequal length, a code out of range or a weight that is negative or not finite.
    pub fn compatible(&self, targets: &TargetBatch) -> Result<Vec<Vec<usize>>> {
        let count = targets.len();
        let fits = |len: usize| len == 0 || len == count;
        let lists = [targets.weights.len(), targets.evidence.len(), targets.measures.len()];
        if targets.metastasis.len() != count || !lists.into_iter().all(fits) {
            let [weights, evidence, measures] = lists;
            return Err(ModelError::Targets(format!(
                "{count} regions, {} metastasis labels, {weights} weights, {evidence} grades of evidence, measures of {measures}",
                targets.metastasis.len(),
            )));
        }
        if targets.weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(ModelError::Targets("a sample weight is negative or not finite".into()));
        }
        let pairs = targets.region.iter().zip(&targets.metastasis);
        pairs
            .map(|(region, metastasis)| {
                let known = [region.map(|code| code as usize), metastasis.map(|code| code as usize)];
                let codes = self.space.compatible(&known);
                if codes.is_empty() {
                    return Err(ModelError::Targets(format!(
                        "region {region:?}, metastasis {metastasis:?} with {} regions",
                        self.space.sizes().first().copied().unwrap_or(0)
                    )));
                }
                Ok(codes)
            })
            .collect()
    }

    /// Samples per task and class, `[T][C_t]`, of those whose class is fixed; add up over batches for class weights.
    ///
    /// # Errors
    /// As [`TaskSet::compatible`].
    pub fn counts(&self, targets: &TargetBatch) -> Result<Vec<Vec<u64>>> {
        let mut counts: Vec<Vec<u64>> = self.tasks.iter().map(|task| vec![0; task.classes]).collect();
        for codes in self.compatible(targets)? {
            for (task, counts) in self.tasks.iter().zip(&mut counts) {
                if let Some([class]) = task.possible(&codes).as_deref()
                    && let Some(count) = counts.get_mut(*class)
                {
                    *count += 1;
                }
            }
        }
        Ok(counts)
    }
}

type NamedTable = (String, usize, Vec<Option<usize>>);

fn maps(kind: TaskKind, regions: usize, measures: usize) -> Vec<NamedTable> {
    let table = |class: &dyn Fn(usize, usize) -> Option<usize>| -> Vec<Option<usize>> {
        (0..2 * regions).map(|code| class(code / 2, code % 2)).collect()
    };
    match kind {
        TaskKind::Joint => vec![("joint".into(), 2 * regions, table(&|a, b| Some(2 * a + b)))],
        TaskKind::Region => vec![("region".into(), regions, table(&|a, _| Some(a)))],
        TaskKind::Metastasis => vec![("metastasis".into(), 2, table(&|_, b| Some(b)))],
        TaskKind::Where => vec![("where".into(), regions + 1, table(&|a, b| Some(if b == 1 { a + 1 } else { 0 })))],
        TaskKind::MetastasisPerRegion => (0..regions)
            .map(|region| (format!("metastasis-in-region-{region}"), 2, table(&|a, b| (a == region).then_some(b))))
            .collect(),
        TaskKind::Measures => vec![("measures".into(), measures, Vec::new())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskKind::{Joint, Metastasis, MetastasisPerRegion, Region, Where};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_recover_the_code(sizes in prop::collection::vec(1usize..5, 1..4)) {
            let space = LabelSpace::new(&sizes);
            for code in 0..space.classes() {
                prop_assert_eq!(space.encode(&space.decode(code)), Some(code));
            }
            prop_assert_eq!(space.compatible(&vec![None; sizes.len()]).len(), space.classes());
        }

        #[test]
        fn every_map_is_onto(regions in 2usize..9) {
            let set = TaskSet::new(&[Joint, Region, Metastasis, Where, MetastasisPerRegion], regions, 0).unwrap();
            prop_assert_eq!(set.len(), 4 + regions);
            for task in set.tasks() {
                let mut reached: Vec<usize> = task.table.iter().flatten().copied().collect();
                reached.sort_unstable();
                reached.dedup();
                prop_assert_eq!(reached, (0..task.classes).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_task_reads_the_dimensions_that_its_classes_tell_apart() {
        let set = TaskSet::new(&[Joint, Region, Metastasis, Where], 3, 0).unwrap();
        let reads: Vec<_> = set.tasks().iter().map(|task| (task.reads_region(), task.reads_metastasis())).collect();
        assert_eq!(reads, [(true, true), (true, false), (false, true), (true, true)]);
    }

    #[test]
    fn unknown_labels_mask_only_the_tasks_that_need_them() {
        let set = TaskSet::new(&[Joint, Region, Metastasis, Where, MetastasisPerRegion], 3, 0).unwrap();
        let possible = |known: [Option<usize>; 2]| -> Vec<Option<Vec<usize>>> {
            let codes = set.space().compatible(&known);
            set.tasks().iter().map(|task| task.possible(&codes)).collect()
        };
        let of = |classes: &[usize]| Some(classes.to_vec());
        assert_eq!(possible([Some(1), Some(1)]), vec![of(&[3]), of(&[1]), of(&[1]), of(&[2]), None, of(&[1]), None]);
        assert_eq!(possible([Some(1), None]), vec![of(&[2, 3]), of(&[1]), None, of(&[0, 2]), None, None, None]);
        // Benign means "nowhere" without knowing the region.
        assert_eq!(possible([None, Some(0)])[3], of(&[0]));
        assert_eq!(possible([None, None]), vec![None; 7]);
    }

    #[test]
    fn repeated_kinds_and_bad_targets() {
        let set = TaskSet::new(&[Joint, Joint, MetastasisPerRegion], 12, 0).unwrap();
        let mut names: Vec<_> = set.tasks().iter().map(|task| task.name.clone()).collect();
        assert_eq!(names[1], "joint-#2");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 14);
        assert!(TaskSet::new(&[Region], 1, 0).is_err());
        let bad = |region, metastasis, weights: Vec<f32>| {
            set.compatible(&TargetBatch {
                region: vec![region],
                metastasis: vec![metastasis],
                weights,
                ..TargetBatch::default()
            })
            .is_err()
        };
        assert!(bad(Some(12), Some(0), vec![]));
        assert!(bad(Some(1), Some(2), vec![]));
        assert!(bad(Some(1), Some(1), vec![f32::NAN]));
        assert!(bad(Some(1), Some(1), vec![1.0, 1.0]));
        let counts = set
            .counts(&TargetBatch {
                region: vec![Some(1), None],
                metastasis: vec![Some(1), Some(1)],
                ..TargetBatch::default()
            })
            .unwrap();
        assert_eq!(counts[0][3], 1);
        assert_eq!(counts[0].iter().sum::<u64>(), 1);
    }
}
