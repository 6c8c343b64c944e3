//! What lies in the folder and is not on the server any more.
//!
//! Invariant: a list that lacks an instance is a reason to name it, and none to remove it. It goes only after the server, asked for this very instance,
//! has answered with an explicit "none"; lists may be cut, shifted, or come from a server that is half up.

use std::collections::BTreeSet;

use mtids_dicomweb::{InstanceAddress, Presence, Uid};
use mtids_report::format::counted;

use super::Work;
use super::folder::ListedStudy;
use super::summary::InstanceName;
use crate::error::PrepError;

impl Work<'_> {
    /// Names what is not on the server any more, and removes it if asked; returns what the study still has. `may_prune` says whether the answers
    /// on the study as a whole allow it. UIDs are those of the folder.
    pub(super) fn settle_removed(
        &mut self,
        study: &Uid,
        before: ListedStudy,
        on_server: &BTreeSet<(Uid, Uid)>,
        may_prune: bool,
    ) -> Result<ListedStudy, PrepError> {
        let mut after = ListedStudy::default();
        let (mut kept, mut doubtful) = (0, 0);
        for (series, instance) in before.instances() {
            let at = InstanceAddress { study: study.clone(), series: series.clone(), instance: instance.clone() };
            if on_server.contains(&(series.clone(), instance.clone())) {
                after.add(series, instance);
                continue;
            }
            if !self.folder.has(&at) {
                continue;
            }
            let original = self.options.original(&at);
            let name = InstanceName::of(original.as_ref().unwrap_or(&at));
            if !self.options.prune {
                self.summary.removed.push(name);
                kept += 1;
            } else if may_prune
                && let Some(original) = &original
                && self.client.presence_of_instance(original)? == Presence::Absent
            {
                self.folder.remove(&at)?;
                self.summary.removed.push(name);
                continue;
            } else {
                self.summary.doubtful.push(name);
                doubtful += 1;
            }
            after.add(series, instance);
        }
        if kept > 0 {
            let kept = counted(kept, "instance", "instances");
            tracing::warn!("study {study}: {kept} not on the server any more, kept here; --prune removes them");
        }
        if doubtful > 0 {
            let doubtful = counted(doubtful, "instance", "instances");
            tracing::warn!(
                "study {study}: {doubtful} not listed, and the server does not say that they are gone; kept here"
            );
        }
        Ok(after)
    }
}
