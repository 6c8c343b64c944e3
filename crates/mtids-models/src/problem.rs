//! What a model is built for: regions, measures, and the views of a sample.
//!
//! Invariants: there is at least one view; names of views are unique and can be a part of a parameter's name. Shapes are
//! `[C, D, H, W]`: windows, slices (to the head), rows (to the back), columns (to the left).

use crate::error::{Result, config_error};

/// The name of a view in a data set that has only one and does not name it.
pub const ONLY_VIEW: &str = "patch";

/// One view as the network is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewInput {
    /// Its name in the data set.
    pub name: String,
    /// Shape `[C, D, H, W]` of one sample.
    pub shape: [usize; 4],
}

/// Classes, measures and views of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Number of regions K.
    pub regions: usize,
    /// Number of measures M that the task `measures` predicts; 0 where there is no such task.
    pub measures: usize,
    /// The views, in the order of a batch's tensors.
    pub views: Vec<ViewInput>,
}

impl Problem {
    /// Of one view named `patch`, without measures.
    pub fn of_one_view(regions: usize, shape: [usize; 4]) -> Self {
        Self { regions, measures: 0, views: vec![ViewInput { name: ONLY_VIEW.to_owned(), shape }] }
    }

    /// Names of the views, in order.
    pub fn view_names(&self) -> Vec<&str> {
        self.views.iter().map(|view| view.name.as_str()).collect()
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] without views, for a name twice, and for a name that is empty or holds a dot.
    pub fn validate(&self) -> Result<()> {
        if self.views.is_empty() {
            return Err(config_error("views", "a model needs at least one view"));
        }
        for (place, view) in self.views.iter().enumerate() {
            if view.name.is_empty() || view.name.contains('.') {
                return Err(config_error(
                    "views",
                    format!("`{}` cannot name a view: use letters and digits", view.name),
                ));
            }
            if self.views.iter().take(place).any(|other| other.name == view.name) {
                return Err(config_error("views", format!("two views are named `{}`", view.name)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_need_names_of_their_own() {
        let with = |names: &[&str]| Problem {
            regions: 2,
            measures: 0,
            views: names.iter().map(|name| ViewInput { name: (*name).to_owned(), shape: [1; 4] }).collect(),
        };
        assert!(with(&["near", "wide"]).validate().is_ok());
        for names in [&[][..], &["near", "near"], &["near.stem"], &[""]] {
            assert!(with(names).validate().is_err(), "{names:?}");
        }
        assert_eq!(Problem::of_one_view(3, [1; 4]).view_names(), ["patch"]);
    }
}
