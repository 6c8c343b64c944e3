//! The model card of a run: what it is, what it was trained and judged on, and which reporting items are known.
//!
//! Purpose: `model-card.md` in the run folder, and the same on the page. Invariants: everything that is stated comes from the run, its dataset or its
//! evaluation; what they do not know is left to the author by name. No path, host or time of day.

mod claim;
mod facts;
mod item;
mod section;
mod sections;
mod tripod;

pub(crate) use facts::Facts;
pub(crate) use section::CardSection;

/// A model card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// Title.
    title: String,
    /// What the model is, and what it is worth.
    pub(crate) model: Vec<CardSection>,
    /// Items of reporting guidelines.
    pub(crate) reporting: Vec<CardSection>,
}

impl Card {
    /// The card of what is known.
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        Self {
            title: format!("Model card: {}", facts.evaluation.architecture.title()),
            model: sections::of(facts),
            reporting: vec![tripod::section(facts), claim::section(facts)],
        }
    }

    /// The card as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for section in self.model.iter().chain(&self.reporting) {
            text.push_str(&section.markdown());
        }
        text
    }
}
