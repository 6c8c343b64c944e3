//! Studies from a DICOMweb server into a folder that `build` reads.
//!
//! Purpose: [`fetch`] asks which studies fulfil a query, lists their instances, and downloads those that the folder does not have. Run again, it goes
//! on, takes what was added on the server and names what was removed. Invariants: a file gets its name only after our header reader has judged it and
//! it says that it is the instance that was asked for; the server changes no path; nothing that was fetched is lost by an error, a signal, a kill, or a
//! list that is too short.

mod download;
mod folder;
mod patience;
mod pseudonyms;
mod reason;
mod removed;
mod request;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_dicomweb::{Client, DicomWebError, InstanceAddress, Presence, Uid};
use mtids_report::format::counted;
use mtids_report::progress::Progress;
use rayon::prelude::*;

use crate::error::PrepError;
use download::{Downloaded, download};
use folder::{FetchFolder, ListedStudy};
use patience::Patience;

pub use pseudonyms::Pseudonyms;
pub use reason::FetchReason;
pub use request::{FetchOptions, FetchRequest, days_of, uids_of};
pub use summary::{FetchSummary, InstanceName, RefusedInstance};

/// Fetches what `request` asks for into `out`, with as many requests at once as the current thread pool has threads.
///
/// # Errors
/// [`PrepError::DicomWeb`] for a server that does not answer, [`PrepError::Nothing`] where it has no such study, [`PrepError::Config`] for a folder of
/// another server, or an error of writing. What was fetched before stays, and the same call goes on.
pub fn fetch(
    client: &Client,
    request: &FetchRequest,
    out: &Path,
    options: &FetchOptions<'_>,
) -> Result<FetchSummary, PrepError> {
    if let Some(pseudonyms) = options.pseudonyms {
        pseudonyms.check(out, options.prune)?;
    }
    let mut folder = FetchFolder::open(out, client.server(), options.pseudonyms)?;
    let mut summary = FetchSummary::new(folder.dicom(), options.prune);
    let wanted = wanted_studies(client, request, &mut summary)?;
    let mut known = folder.listed()?;
    if wanted.is_empty() && known.is_empty() {
        let others = match summary.left_out.len() as u64 {
            0 => String::new(),
            number => format!(" ({} that do not were listed)", counted(number, "study", "studies")),
        };
        let detail = format!(
            "no study fulfils the query{others}; look at the patient, dates and UIDs, and whether this account sees all studies"
        );
        return Err(PrepError::Nothing { path: client.server().into(), detail });
    }
    folder.begin()?;
    summary.studies = wanted.len() as u64;
    let progress = Progress::new("instances", None, options.show_progress);
    let patience = Patience::new(client);
    let mut work =
        Work { client, request, folder: &folder, options, progress: &progress, patience: &patience, summary };
    for (number, study) in wanted.iter().enumerate() {
        progress.set_message(format!("study {} of {}", number + 1, wanted.len()));
        work.study(study, known.remove(&options.stored_uid(study)).unwrap_or_default())?;
    }
    work.other_studies(known)?;
    progress.finish();
    Ok(work.summary)
}

/// The studies that fulfil the query. What was named without any, and what was listed and does not fulfil it, goes into the summary.
fn wanted_studies(
    client: &Client,
    request: &FetchRequest,
    summary: &mut FetchSummary,
) -> Result<BTreeSet<Uid>, PrepError> {
    let (mut wanted, mut left_out) = (BTreeSet::new(), BTreeSet::new());
    for (name, queries) in request.queries() {
        let mut has_study = false;
        for query in queries {
            let listed = client.studies(&query)?;
            summary.unusable_uids += listed.unusable as u64;
            has_study |= !listed.found.is_empty();
            wanted.extend(listed.found);
            left_out.extend(listed.left_out);
        }
        if !has_study {
            summary.without_study.push(name);
        }
    }
    summary.left_out = left_out.difference(&wanted).map(Uid::to_string).collect();
    let missing = request.studies.iter().filter(|study| !wanted.contains(*study));
    summary.missing_studies = missing.map(Uid::to_string).collect();
    summary.narrowed = !(request.patients.is_empty() && request.days.is_none());
    Ok(wanted)
}

/// A fetch under way.
struct Work<'a> {
    client: &'a Client,
    request: &'a FetchRequest,
    folder: &'a FetchFolder,
    options: &'a FetchOptions<'a>,
    progress: &'a Progress,
    patience: &'a Patience,
    summary: FetchSummary,
}

impl Work<'_> {
    /// Lists a study, writes down what it should have, and downloads that.
    fn study(&mut self, study: &Uid, before: ListedStudy) -> Result<(), PrepError> {
        let listed = self.client.series(study)?;
        self.summary.unusable_uids += listed.unusable as u64;
        let has_series = !listed.found.is_empty();
        if !has_series {
            self.summary.without_content.push(study.to_string());
        }
        let (mut on_server, mut asked_for) = (BTreeSet::new(), Vec::new());
        for series in listed.found {
            let admitted = self.request.admits(series.modality.as_deref());
            if !admitted && !before.has_series(&self.options.stored_uid(&series.uid)) {
                continue;
            }
            let instances = self.client.instances(study, &series.uid)?;
            self.summary.unusable_uids += instances.unusable as u64;
            if instances.found.is_empty() {
                self.summary.without_content.push(series.uid.to_string());
            }
            for instance in instances.found {
                let at = InstanceAddress { study: study.clone(), series: series.uid.clone(), instance };
                let stored = self.options.stored(&at);
                on_server.insert((stored.series, stored.instance));
                if admitted {
                    asked_for.push(at);
                }
            }
        }
        // A study that was listed a moment ago, and has nothing now, is asked for once more.
        let may_prune = self.options.prune && (has_series || self.client.presence_of_study(study)? == Presence::Absent);
        let stored_study = self.options.stored_uid(study);
        let mut after = self.settle_removed(&stored_study, before, &on_server, may_prune)?;
        asked_for.iter().map(|at| self.options.stored(at)).for_each(|at| after.add(&at.series, &at.instance));
        if let Some(pseudonyms) = self.options.pseudonyms {
            pseudonyms.note(asked_for.iter().flat_map(|at| [&at.study, &at.series, &at.instance]).map(Uid::as_str))?;
        }
        // Written before the files: whatever comes to lie in the folder is known to the next call.
        self.folder.write_listed(&stored_study, &after)?;
        let (patience, folder, options, progress) = (self.patience, self.folder, self.options, self.progress);
        let done = asked_for
            .into_par_iter()
            .map(|at| {
                if options.interrupt.is_raised() {
                    return Err(DicomWebError::Interrupted.into());
                }
                let downloaded = download(patience.client(), folder, &at, options)?;
                patience.judge(&at.study, &downloaded)?;
                progress.inc(1);
                Ok((at, downloaded))
            })
            .collect::<Result<Vec<(InstanceAddress, Downloaded)>, PrepError>>()?;
        done.into_iter().for_each(|(at, downloaded)| self.summary.add(&at, downloaded));
        Ok(())
    }

    /// Studies of earlier calls. What was asked for is here already: where the server cannot say more, that is named, and nothing fails.
    fn other_studies(&mut self, known: BTreeMap<Uid, ListedStudy>) -> Result<(), PrepError> {
        let mut is_answered = true;
        for (study, before) in known {
            if is_answered && let Some(original) = self.options.original_uid(&study) {
                match self.other_study(&original, &study, before) {
                    Err(PrepError::DicomWeb(error)) if !matches!(error, DicomWebError::Interrupted) => {
                        is_answered = false;
                        tracing::warn!("studies of earlier calls are not compared any more: {error}");
                    }
                    done => {
                        done?;
                        continue;
                    }
                }
            }
            self.summary.not_compared.push(study.to_string());
        }
        Ok(())
    }

    /// A study of an earlier call that this query does not name: it is still there, or the server has removed the whole of it.
    fn other_study(&mut self, original: &Uid, study: &Uid, before: ListedStudy) -> Result<(), PrepError> {
        if self.client.presence_of_study(original)? == Presence::Absent {
            let after = self.settle_removed(study, before, &BTreeSet::new(), true)?;
            self.folder.write_listed(study, &after)?;
        }
        Ok(())
    }
}
