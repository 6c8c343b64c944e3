//! Parts of the model card on the page.

use maud::{Markup, html};
use mtids_report::page::table;

use crate::card::CardSection;

/// Parts of a card, one below the other.
pub(super) fn card(sections: &[CardSection]) -> Markup {
    html! {
        @for section in sections {
            h3 { (section.title) }
            @for paragraph in &section.paragraphs { p { (paragraph) } }
            @if let Some(found) = &section.table { (table(&found.columns, &found.rows)) }
        }
    }
}
