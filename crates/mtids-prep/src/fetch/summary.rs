//! What a fetch did, for an operator and as JSON.
//!
//! Invariant: every instance that was asked for is counted once: fetched, kept, replaced or refused. Units: bytes. It names raw UIDs, as the folder does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mtids_dicomweb::InstanceAddress;
use mtids_report::format::{count, counted};
use mtids_report::table::{Align, Table};
use serde::Serialize;

use super::download::Downloaded;

/// Most instances that the terminal lists of a kind.
const LISTED: usize = 20;

/// UIDs of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceName {
    /// StudyInstanceUID.
    pub study: String,
    /// SeriesInstanceUID.
    pub series: String,
    /// SOPInstanceUID.
    pub instance: String,
}

impl InstanceName {
    pub(super) fn of(at: &InstanceAddress) -> Self {
        let [study, series, instance] = [&at.study, &at.series, &at.instance].map(ToString::to_string);
        Self { study, series, instance }
    }
}

/// An instance that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedInstance {
    /// Which one.
    #[serde(flatten)]
    pub name: InstanceName,
    /// Reason code.
    pub reason: &'static str,
    /// A sentence for the operator.
    pub detail: String,
}

/// The outcome of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FetchSummary {
    /// Folder for `mtids-prep build --data`.
    pub data: PathBuf,
    /// Studies that fulfil the query.
    pub studies: u64,
    /// Instances that came.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Instances that the folder had.
    pub kept: u64,
    /// Those of `kept` that came again with the same bytes.
    pub verified: u64,
    /// Instances that came again with other bytes, which took their place.
    pub replaced: Vec<InstanceName>,
    /// Instances that were not kept.
    pub refused: Vec<RefusedInstance>,
    /// Instances of the folder that the server does not have any more.
    pub removed: Vec<InstanceName>,
    /// They were removed here as well.
    pub pruned: bool,
    /// Instances that were to be removed here, which the server does not list, and does not say to be gone. They were kept.
    pub doubtful: Vec<InstanceName>,
    /// Studies that were named and that the server does not have, or that do not fulfil the rest of the query.
    pub missing_studies: Vec<String>,
    /// There is a rest of the query.
    pub narrowed: bool,
    /// Parts of the query that no study fulfils. PatientIDs are told by their place.
    pub without_study: Vec<String>,
    /// Studies that the server listed, and that do not fulfil the query: it does not know a key.
    pub left_out: Vec<String>,
    /// Studies and series that the server lists, and of which it lists no content.
    pub without_content: Vec<String>,
    /// Studies of earlier calls that the server could not be asked for.
    pub not_compared: Vec<String>,
    /// Entries of the server's lists without usable UID.
    pub unusable_uids: u64,
}

impl FetchSummary {
    pub(super) fn new(data: PathBuf, pruned: bool) -> Self {
        Self {
            data,
            studies: 0,
            fetched: 0,
            fetched_bytes: 0,
            kept: 0,
            verified: 0,
            replaced: Vec::new(),
            refused: Vec::new(),
            removed: Vec::new(),
            pruned,
            doubtful: Vec::new(),
            missing_studies: Vec::new(),
            narrowed: false,
            without_study: Vec::new(),
            left_out: Vec::new(),
            without_content: Vec::new(),
            not_compared: Vec::new(),
            unusable_uids: 0,
        }
    }

    pub(super) fn add(&mut self, at: &InstanceAddress, downloaded: Downloaded) {
        match downloaded {
            Downloaded::New(bytes) => {
                self.fetched += 1;
                self.fetched_bytes += bytes;
            }
            Downloaded::Kept => self.kept += 1,
            Downloaded::Same => {
                self.kept += 1;
                self.verified += 1;
            }
            Downloaded::Replaced => self.replaced.push(InstanceName::of(at)),
            Downloaded::Refused(reason, detail) => {
                self.refused.push(RefusedInstance { name: InstanceName::of(at), reason, detail });
            }
        }
    }

    /// There is something to look at.
    pub fn has_issues(&self) -> bool {
        !(self.refused.is_empty()
            && self.replaced.is_empty()
            && self.doubtful.is_empty()
            && self.missing_studies.is_empty()
            && self.without_study.is_empty()
            && self.without_content.is_empty()
            && self.not_compared.is_empty()
            && self.unusable_uids == 0)
            || (!self.removed.is_empty() && !self.pruned)
    }

    /// The outcome in words.
    pub fn text(&self) -> String {
        let mut table = Table::new([("instances", Align::Left), ("count", Align::Right), ("", Align::Left)]);
        let mut row = |what: &str, number: usize, note: String| {
            table.row([what.to_owned(), count(number as u64), note]);
        };
        let mebibytes = format!("{:.1} MiB", self.fetched_bytes as f64 / f64::from(1 << 20));
        row("fetched", self.fetched as usize, mebibytes);
        let verified =
            if self.verified > 0 { format!("{} with the same bytes", count(self.verified)) } else { String::new() };
        row("kept", self.kept as usize, verified);
        if !self.replaced.is_empty() {
            row("replaced", self.replaced.len(), "the server has other bytes under the same UID".into());
        }
        for (reason, number) in self.refused_by_reason() {
            row("refused", number, format!("{reason}; mtids-prep explain {reason}"));
        }
        if !self.removed.is_empty() {
            let what = if self.pruned {
                "not on the server any more, removed here"
            } else {
                "not on the server any more, kept here"
            };
            row("removed", self.removed.len(), what.into());
        }
        if !self.doubtful.is_empty() {
            row("doubtful", self.doubtful.len(), "not listed, and not said to be gone; kept here".into());
        }
        let studies = counted(self.studies, "study", "studies");
        let mut text = format!("{}: {studies}\n\n{}", self.data.display(), table.render());
        let removed = self.removed.iter().map(|name| ("removed", &name.instance));
        let replaced = self.replaced.iter().map(|name| ("replaced", &name.instance));
        let refused = self.refused.iter().map(|refused| ("refused", &refused.name.instance));
        let doubtful = self.doubtful.iter().map(|name| ("doubtful", &name.instance));
        let missing = if self.narrowed { "does not fulfil the query, or is not there" } else { "no such study" };
        let missing = self.missing_studies.iter().map(|study| (missing, study));
        let without_study = self.without_study.iter().map(|part| ("without any study", part));
        let without_content = self.without_content.iter().map(|uid| ("listed without content", uid));
        let not_compared = self.not_compared.iter().map(|study| ("of an earlier call, not compared", study));
        let left_out = self.left_out.iter().map(|study| ("listed, but does not fulfil the query", study));
        let named = without_study.chain(missing).chain(without_content).chain(replaced).chain(refused).chain(doubtful);
        let named: Vec<(&str, &String)> = named.chain(removed).chain(not_compared).chain(left_out).collect();
        if !named.is_empty() {
            text.push('\n');
        }
        named.iter().take(LISTED).for_each(|(what, uid)| text.push_str(&format!("  {what}: {uid}\n")));
        if let Some(more) = named.len().checked_sub(LISTED).filter(|&more| more > 0) {
            text.push_str(&format!("  {more} more; --json names all\n"));
        }
        if !self.left_out.is_empty() {
            let others = counted(self.left_out.len() as u64, "study", "studies");
            text.push_str(&format!(
                "  {others} listed that do not fulfil the query, left out: the server ignores a key\n"
            ));
        }
        if self.unusable_uids > 0 {
            let entries = counted(self.unusable_uids, "entry", "entries");
            text.push_str(&format!("  {entries} of the server's lists without usable UID, left out\n"));
        }
        text.push_str(&format!("\n  mtids-prep build --data {} --annotations … --out …\n", self.data.display()));
        text
    }

    fn refused_by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for refused in &self.refused {
            *counts.entry(refused.reason).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_dicomweb::Uid;

    #[test]
    fn what_needs_a_look_is_said_and_named() {
        let at = |instance: &str| {
            let [study, series, instance] = ["1.2", "1.2.3", instance].map(|uid| Uid::parse(uid).unwrap());
            InstanceAddress { study, series, instance }
        };
        let mut summary = FetchSummary::new("studies/dicom".into(), false);
        summary.add(&at("1.1"), Downloaded::New(3 << 20));
        summary.add(&at("1.2"), Downloaded::Kept);
        summary.add(&at("1.3"), Downloaded::Same);
        assert!(!summary.has_issues());
        assert!(summary.text().contains("3.0 MiB") && summary.text().contains("1 with the same bytes"));
        (10..40).for_each(|n| summary.add(&at(&format!("1.{n}")), Downloaded::Refused("truncated", "cut".into())));
        assert!(summary.has_issues());
        let text = summary.text();
        assert!(text.contains("refused: 1.10\n") && text.contains("10 more; --json names all"), "{text}");
        summary.refused.clear();
        summary.removed.push(InstanceName::of(&at("1.9")));
        assert!(summary.has_issues());
        summary.pruned = true;
        summary.left_out.push("1.2.9".into());
        assert!(!summary.has_issues(), "what was asked for is no issue, nor what was left out");
        assert!(summary.text().contains("does not fulfil the query: 1.2.9\n"), "{}", summary.text());
        summary.missing_studies.push("1.2.8".into());
        assert!(summary.text().contains("no such study: 1.2.8\n"), "{}", summary.text());
        summary.narrowed = true;
        assert!(summary.text().contains("does not fulfil the query, or is not there: 1.2.8\n"), "{}", summary.text());
        for kind in [
            |summary: &mut FetchSummary| {
                summary.doubtful.push(InstanceName::of(&InstanceAddress {
                    study: Uid::parse("1.2").unwrap(),
                    series: Uid::parse("1.2").unwrap(),
                    instance: Uid::parse("1.2").unwrap(),
                }));
            },
            |summary: &mut FetchSummary| summary.without_study.push("--patient number 1".into()),
            |summary: &mut FetchSummary| summary.without_content.push("1.2".into()),
            |summary: &mut FetchSummary| summary.not_compared.push("1.2".into()),
        ] {
            let mut summary = FetchSummary::new("studies/dicom".into(), true);
            kind(&mut summary);
            assert!(summary.has_issues(), "{summary:?}");
        }
    }
}
