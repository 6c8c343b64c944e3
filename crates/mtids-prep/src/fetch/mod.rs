//! Studies from a DICOMweb server into a folder that `build` reads.
//!
//! Purpose: [`fetch`] asks which studies fulfil a query, lists their instances, and downloads those that the folder does not have. Run again, it goes
//! on, takes what was added on the server and names what was removed. Invariants: a file gets its name only after our header reader has judged it and
//! it says that it is the instance that was asked for; the server changes no path; nothing that was fetched is lost by an error, a signal or a kill.

mod download;
mod folder;
mod reason;
mod request;
mod summary;

use std::collections::BTreeSet;
use std::path::Path;

use mtids_dicomweb::{Client, DicomWebError, InstanceAddress, Uid};
use mtids_report::format::counted;
use mtids_report::progress::Progress;
use rayon::prelude::*;

use crate::error::PrepError;
use download::{Downloaded, download};
use folder::{FetchFolder, ListedStudy};

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
    let folder = FetchFolder::open(out, client.server())?;
    let mut summary = FetchSummary::new(folder.dicom(), options.prune);
    let mut wanted = BTreeSet::new();
    for query in request.queries() {
        let listed = client.studies(&query)?;
        summary.unusable_uids += listed.unusable as u64;
        wanted.extend(listed.found.into_iter().map(|study| study.uid));
    }
    let missing = request.studies.iter().filter(|study| !wanted.contains(*study));
    summary.missing_studies = missing.map(Uid::to_string).collect();
    let mut known = folder.listed()?;
    if wanted.is_empty() && known.is_empty() {
        let detail = "no study fulfils the query; look at the patient, dates and UIDs, and whether this account sees all studies".into();
        return Err(PrepError::Nothing { path: client.server().into(), detail });
    }
    summary.studies = wanted.len() as u64;
    let progress = Progress::new("instances", None, options.show_progress);
    let mut work = Work { client, request, folder: &folder, options, progress: &progress, summary };
    for (number, study) in wanted.iter().enumerate() {
        progress.set_message(format!("study {} of {}", number + 1, wanted.len()));
        work.study(study, known.remove(study).unwrap_or_default())?;
    }
    for (study, before) in known {
        work.other_study(&study, before)?;
    }
    progress.finish();
    Ok(work.summary)
}

/// A fetch under way.
struct Work<'a> {
    client: &'a Client,
    request: &'a FetchRequest,
    folder: &'a FetchFolder,
    options: &'a FetchOptions<'a>,
    progress: &'a Progress,
    summary: FetchSummary,
}

impl Work<'_> {
    /// Lists a study, writes down what it should have, and downloads that.
    fn study(&mut self, study: &Uid, before: ListedStudy) -> Result<(), PrepError> {
        let listed = self.client.series(study)?;
        self.summary.unusable_uids += listed.unusable as u64;
        let (mut on_server, mut asked_for) = (BTreeSet::new(), Vec::new());
        for series in listed.found {
            let admitted = self.request.admits(series.modality.as_deref());
            if !admitted && !before.has_series(&series.uid) {
                continue;
            }
            let instances = self.client.instances(study, &series.uid)?;
            self.summary.unusable_uids += instances.unusable as u64;
            for instance in instances.found {
                let at = InstanceAddress { study: study.clone(), series: series.uid.clone(), instance };
                on_server.insert((at.series.clone(), at.instance.clone()));
                if admitted {
                    asked_for.push(at);
                }
            }
        }
        let mut after = self.settle_removed(study, before, &on_server)?;
        asked_for.iter().for_each(|at| after.add(&at.series, &at.instance));
        // Written before the files: whatever comes to lie in the folder is known to the next call.
        self.folder.write_listed(study, &after)?;
        let (client, folder, options, progress) = (self.client, self.folder, self.options, self.progress);
        let done = asked_for
            .into_par_iter()
            .map(|at| {
                if options.interrupt.is_raised() {
                    return Err(DicomWebError::Interrupted.into());
                }
                let downloaded = download(client, folder, &at, options)?;
                progress.inc(1);
                Ok((at, downloaded))
            })
            .collect::<Result<Vec<(InstanceAddress, Downloaded)>, PrepError>>()?;
        done.into_iter().for_each(|(at, downloaded)| self.summary.add(&at, downloaded));
        Ok(())
    }

    /// A study of an earlier call that this query does not name: it is still there, or the server has removed it.
    fn other_study(&mut self, study: &Uid, before: ListedStudy) -> Result<(), PrepError> {
        if !self.client.has_study(study)? {
            let after = self.settle_removed(study, before, &BTreeSet::new())?;
            self.folder.write_listed(study, &after)?;
        }
        Ok(())
    }

    /// Names what lies in the folder and is not on the server any more, and removes it if asked; returns what the study still has.
    fn settle_removed(
        &mut self,
        study: &Uid,
        before: ListedStudy,
        on_server: &BTreeSet<(Uid, Uid)>,
    ) -> Result<ListedStudy, PrepError> {
        let mut after = ListedStudy::default();
        let mut gone = 0;
        for (series, instance) in before.instances() {
            let at = InstanceAddress { study: study.clone(), series: series.clone(), instance: instance.clone() };
            if on_server.contains(&(series.clone(), instance.clone())) {
                after.add(series, instance);
            } else if self.folder.has(&at) {
                self.summary.removed.push(InstanceName::of(&at));
                gone += 1;
                if self.options.prune {
                    self.folder.remove(&at)?;
                } else {
                    after.add(series, instance);
                }
            }
        }
        if gone > 0 && !self.options.prune {
            let gone = counted(gone, "instance", "instances");
            tracing::warn!("study {study}: {gone} not on the server any more, kept here; --prune removes them");
        }
        Ok(after)
    }
}
