//! Which views a task reads, and which of them it trains: each label dimension has features of its own (method.md, 3.4b; tag O).
//!
//! A view is owned by one label dimension or by all. A task owns a view if its dimension does; tasks of both dimensions own all. Private
//! experts read `[y^1; …; y^V]`, where y^v is z^v for an own view and z^v without gradient (or nothing, or z^v itself) for another; gates read
//! all views, without gradient where there are several. Invariant: with one view that all own, everybody reads the same tensor z.

use std::collections::BTreeMap;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};
use crate::gate::{DbrConfig, GateViews, OtherView};
use crate::model::network::of_task;
use crate::tasks::{Dimension, LabelMap, TaskSet};
use crate::trunks::join;

/// Who trains the features of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Tasks that depend on the region.
    Region,
    /// Tasks that depend on the metastasis status.
    Metastasis,
    /// All tasks.
    All,
}

impl Owner {
    /// The owner of each view: as given, else by its name where there are several (`near` metastasis, `wide` region), else all.
    pub(crate) fn of_views(given: &BTreeMap<String, Owner>, views: &[&str]) -> Vec<Self> {
        let by_name = |view: &str| match view {
            "near" if views.len() > 1 => Self::Metastasis,
            "wide" if views.len() > 1 => Self::Region,
            _ => Self::All,
        };
        views.iter().map(|view| given.get(*view).copied().unwrap_or_else(|| by_name(view))).collect()
    }

    fn owns(self, task: &LabelMap) -> bool {
        match (self, task.kind.dimension()) {
            (Self::All, _) | (_, None) => true,
            (Self::Region, Some(dimension)) => dimension == Dimension::Region,
            (Self::Metastasis, Some(dimension)) => dimension == Dimension::Metastasis,
        }
    }
}

/// What a reader gets of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// The features, with their gradient.
    Trained,
    /// The features, without.
    Detached,
    /// Nothing.
    Hidden,
}

/// One list of views.
#[derive(Clone, Debug)]
struct Reader(Vec<Access>);

impl Reader {
    fn read(&self, features: &[Tensor]) -> Result<Tensor> {
        let parts: Vec<Tensor> = features
            .iter()
            .zip(&self.0)
            .filter_map(|(features, access)| match access {
                Access::Trained => Some(features.clone()),
                Access::Detached => Some(features.detach()),
                Access::Hidden => None,
            })
            .collect();
        join(&parts)
    }

    /// Places of the views that are read.
    fn seen(&self) -> Vec<usize> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, access)| **access != Access::Hidden).map(|(view, _)| view).collect()
    }

    /// Numbers that are read.
    fn width(&self, widths: &[usize]) -> usize {
        let seen = widths.iter().zip(&self.0).filter(|(_, access)| **access != Access::Hidden);
        seen.map(|(width, _)| width).sum()
    }

    fn trains(&self, view: usize) -> bool {
        self.0.get(view) == Some(&Access::Trained)
    }
}

/// Which views a task reads in the first layer, by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenViews {
    /// By its private experts.
    pub private: Vec<usize>,
    /// By its gate.
    pub gate: Vec<usize>,
}

/// How the first layer of experts and gates reads the views.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// By task.
    private: Vec<Reader>,
    /// By task.
    gates: Vec<Reader>,
    /// Of the gate that mixes the input of the next layer's shared experts.
    shared_gate: Reader,
}

impl Reading {
    /// Everybody reads and trains all views: the rule of the baselines.
    pub(crate) fn of_all(tasks: usize, views: usize) -> Self {
        let all = Reader(vec![Access::Trained; views]);
        Self { private: vec![all.clone(); tasks], gates: vec![all.clone(); tasks], shared_gate: all }
    }

    /// The rule of MT-IDS for views with these owners.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] when a task is to read its own views only and has none.
    pub(crate) fn by_owner(tasks: &TaskSet, owners: &[Owner], config: &DbrConfig) -> Result<Self> {
        let trained = config.trains_by_gates(owners.len());
        let seen = if trained { Access::Trained } else { Access::Detached };
        let other = match config.other_view {
            OtherView::Detached => Access::Detached,
            OtherView::Trained => Access::Trained,
            OtherView::Hidden => Access::Hidden,
        };
        let mut reading =
            Self { private: Vec::new(), gates: Vec::new(), shared_gate: Reader(vec![seen; owners.len()]) };
        for task in tasks.tasks() {
            let reader = |own, other| {
                let access = |owner: &Owner| if owner.owns(task) { own } else { other };
                Reader(owners.iter().map(access).collect())
            };
            let gate_of_other = if config.gate_views == GateViews::Own { Access::Hidden } else { seen };
            reading.private.push(reader(Access::Trained, other));
            reading.gates.push(reader(seen, gate_of_other));
            for (key, readers, used) in
                [("dbr.other_view", &reading.private, config.has_private()), ("dbr.gate_views", &reading.gates, true)]
            {
                if used && readers.last().is_some_and(|reader| reader.0.iter().all(|access| *access == Access::Hidden))
                {
                    let reason = format!("task `{}` owns no view and could read nothing; see `owners`", task.name);
                    return Err(config_error(key, reason));
                }
            }
        }
        Ok(reading)
    }

    /// What a task's private experts read of features `[B, d_v]` of each view.
    pub(crate) fn private(&self, task: usize, features: &[Tensor]) -> Result<Tensor> {
        of_task(&self.private, task)?.read(features)
    }

    /// What a task's gate reads.
    pub(crate) fn gate(&self, task: usize, features: &[Tensor]) -> Result<Tensor> {
        of_task(&self.gates, task)?.read(features)
    }

    /// What the gate of the shared experts reads.
    pub(crate) fn shared_gate(&self, features: &[Tensor]) -> Result<Tensor> {
        self.shared_gate.read(features)
    }

    /// Whether all tasks can read the views together: each reads all of them, and gates either train no view or, as private experts do, every view.
    pub(crate) fn is_alike(&self) -> bool {
        let accesses = |readers: &[Reader], wanted: &dyn Fn(Access) -> bool| {
            readers.iter().flat_map(|reader| &reader.0).all(|access| wanted(*access))
        };
        let trained = |access| access == Access::Trained;
        let detached = accesses(&self.gates, &|access| access == Access::Detached);
        let everywhere = accesses(&self.gates, &trained) && accesses(&self.private, &trained);
        (detached || everywhere) && accesses(&self.private, &|access| access != Access::Hidden)
    }

    /// Whether a task's private experts train a view.
    pub(crate) fn trains(&self, task: usize, view: usize) -> bool {
        self.private.get(task).is_some_and(|reader| reader.trains(view))
    }

    /// Whether gates train views.
    pub(crate) fn by_gates(&self) -> bool {
        self.gates.iter().flat_map(|reader| &reader.0).any(|access| *access == Access::Trained)
    }

    /// The views that a task's private experts and its gate read.
    pub(crate) fn seen(&self, task: usize) -> Result<SeenViews> {
        Ok(SeenViews { private: of_task(&self.private, task)?.seen(), gate: of_task(&self.gates, task)?.seen() })
    }

    /// Numbers that a task's private experts and its gate read, for views of these widths.
    pub(crate) fn widths(&self, task: usize, widths: &[usize]) -> Result<[usize; 2]> {
        Ok([of_task(&self.private, task)?.width(widths), of_task(&self.gates, task)?.width(widths)])
    }

    /// Tasks that train a view's trunk through their private experts, or their gate where gates learn from what they read.
    pub(crate) fn trained_by(&self, view: usize, gates_learn: bool) -> usize {
        let readers = self.private.iter().zip(&self.gates);
        readers.filter(|(private, gate)| private.trains(view) || (gates_learn && gate.trains(view))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskKind::{Joint, Measures, Metastasis, Region, Where};

    use crate::tasks::TaskKind;

    #[test]
    fn owners_come_from_the_configuration_then_from_the_name() {
        let given = BTreeMap::from([("wide".to_owned(), Owner::All)]);
        assert_eq!(Owner::of_views(&given, &["near", "wide", "pet"]), [Owner::Metastasis, Owner::All, Owner::All]);
        assert_eq!(Owner::of_views(&BTreeMap::new(), &["near"]), [Owner::All], "a single view is everybody's");
    }

    #[test]
    fn a_task_trains_the_views_of_its_dimension_and_reads_the_others() {
        let tasks = TaskSet::new(&[Joint, Region, Metastasis, Where, Measures], 3, 4).unwrap();
        let owners = [Owner::Metastasis, Owner::Region];
        let accesses = |config: &DbrConfig| -> Vec<Vec<Access>> {
            let reading = Reading::by_owner(&tasks, &owners, config).unwrap();
            reading.private.into_iter().map(|reader| reader.0).collect()
        };
        use Access::{Detached, Hidden, Trained};
        let both = vec![Trained, Trained];
        let (status, region) = (vec![Trained, Detached], vec![Detached, Trained]);
        let expected = [both.clone(), region, status.clone(), both.clone(), status];
        assert_eq!(accesses(&DbrConfig::default()), expected);
        let trained = DbrConfig { other_view: OtherView::Trained, ..DbrConfig::default() };
        assert_eq!(accesses(&trained), vec![both; 5]);
        let hidden = DbrConfig { other_view: OtherView::Hidden, ..DbrConfig::default() };
        assert_eq!(accesses(&hidden)[1], [Hidden, Trained]);
        let reading = Reading::by_owner(&tasks, &owners, &hidden).unwrap();
        assert_eq!(reading.widths(1, &[7, 5]).unwrap(), [5, 12]);
        assert_eq!(reading.seen(1).unwrap(), SeenViews { private: vec![1], gate: vec![0, 1] });
        assert_eq!([reading.trained_by(0, false), reading.trained_by(1, false)], [4, 3]);
        assert_eq!(reading.trained_by(0, true), 4, "gates do not train trunks where there are several views");
    }

    #[test]
    fn a_task_without_a_view_of_its_own_is_refused_where_it_reads_no_other() {
        let tasks = TaskSet::new(&[Region, Metastasis], 3, 0).unwrap();
        let config = DbrConfig { other_view: OtherView::Hidden, ..DbrConfig::default() };
        let error = Reading::by_owner(&tasks, &[Owner::Metastasis; 2], &config).unwrap_err().to_string();
        assert!(error.contains("dbr.other_view") && error.contains("`region`"), "{error}");
        let config = DbrConfig { gate_views: GateViews::Own, ..DbrConfig::default() };
        assert!(Reading::by_owner(&tasks, &[Owner::Metastasis; 2], &config).is_err());
    }
}
