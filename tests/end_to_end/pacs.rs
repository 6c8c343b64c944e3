//! A DICOMweb server for tests: it serves the objects of a folder, keeps what it is sent, and fails where a test wants it to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use dicom_dictionary_std::tags;
use mtids_dicom::Limits;
use mtids_dicom::dataset::{Elements, open};
use mtids_dicom::element::text;
use serde_json::{Value, json};

/// An object of the server.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) study: String,
    pub(crate) series: String,
    pub(crate) uid: String,
    pub(crate) patient: String,
    pub(crate) modality: String,
    pub(crate) bytes: Vec<u8>,
}

/// What the server has, and how it behaves.
#[derive(Debug, Default)]
pub(crate) struct Pacs {
    pub(crate) instances: Vec<Instance>,
    /// Bodies of storage requests.
    pub(crate) stored: Vec<Vec<u8>>,
    /// The value that the header `Authorization` must have.
    pub(crate) authorization: Option<String>,
    /// Requests that are answered with 503 from now on.
    pub(crate) busy: u32,
    /// Objects that are cut in the middle from now on.
    pub(crate) cut: u32,
    /// UID of an object that the server cannot read.
    pub(crate) broken: Option<String>,
    /// Objects that are sent before the server goes away for good.
    pub(crate) downloads_left: Option<u32>,
    /// Objects that were sent whole.
    pub(crate) downloads: u32,
}

/// A running server. It lasts as long as the test.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    pacs: Arc<Mutex<Pacs>>,
}

impl Server {
    /// Serves the objects below a folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let instances = files(folder).iter().filter_map(|path| instance(path)).collect();
        let pacs = Arc::new(Mutex::new(Pacs { instances, ..Pacs::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/dicom-web", listener.local_addr().unwrap());
        let shared = Arc::clone(&pacs);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that is killed in the middle is no fault of the server.
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { address, pacs }
    }

    pub(crate) fn pacs(&self) -> MutexGuard<'_, Pacs> {
        self.pacs.lock().unwrap()
    }
}

/// All files below a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn instance(path: &Path) -> Option<Instance> {
    let object = open(path, &Limits::default(), Elements::All).ok()?.object;
    Some(Instance {
        study: text(&object, tags::STUDY_INSTANCE_UID)?,
        series: text(&object, tags::SERIES_INSTANCE_UID)?,
        uid: text(&object, tags::SOP_INSTANCE_UID)?,
        patient: text(&object, tags::PATIENT_ID)?,
        modality: text(&object, tags::MODALITY)?,
        bytes: fs::read(path).unwrap(),
    })
}

/// Answers the requests of a connection, until the other side or a fault ends it.
fn serve(stream: TcpStream, shared: &Mutex<Pacs>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return Some(());
        }
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let target = first.split(' ').nth(1)?.trim_start_matches("/dicom-web/").to_owned();
        let bytes = shared.lock().unwrap().answer(&target, authorization, body)?;
        reader.get_mut().write_all(&bytes).ok()?;
        if bytes.starts_with(CUT) {
            return None;
        }
    }
}

/// How an answer begins behind which the connection ends.
const CUT: &[u8] = b"HTTP/1.1 200 Cut";

fn whole(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn list(entries: Vec<Value>, query: &str) -> Vec<u8> {
    let number = |name: &str| {
        let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.parse::<usize>().unwrap())
    };
    // As some servers do, it gives fewer than it is asked for.
    let limit = number("limit").unwrap_or(usize::MAX).min(10);
    let page: Vec<Value> = entries.into_iter().skip(number("offset").unwrap_or(0)).take(limit).collect();
    whole("200 OK", "application/dicom+json", Value::from(page).to_string().as_bytes())
}

impl Pacs {
    /// The bytes of an answer; `None` where the server does not answer any more.
    fn answer(&mut self, target: &str, authorization: Option<String>, body: Vec<u8>) -> Option<Vec<u8>> {
        if self.downloads_left == Some(0) {
            return None;
        }
        if self.authorization.is_some() && self.authorization != authorization {
            return Some(whole("401 Unauthorized", "text/plain", b"no"));
        }
        if self.busy > 0 {
            self.busy -= 1;
            return Some(whole("503 Service Unavailable", "text/plain", b"busy"));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["studies"] => Some(list(self.studies(query), query)),
            ["studies", study] => Some(self.store(study, body)),
            ["studies", study, "series"] => {
                let of_study = self.instances.iter().filter(|one| one.study == *study);
                let series = of_study.map(|one| (one.series.clone(), one.modality.clone()));
                let series: std::collections::BTreeMap<String, String> = series.collect();
                let entry =
                    |(uid, modality)| json!({ "0020000E": { "Value": [uid] }, "00080060": { "Value": [modality] } });
                Some(list(series.into_iter().map(entry).collect(), query))
            }
            ["studies", study, "series", series, "instances"] => {
                let of_series = self.instances.iter().filter(|one| one.study == *study && one.series == *series);
                Some(list(of_series.map(|one| json!({ "00080018": { "Value": [one.uid] } })).collect(), query))
            }
            ["studies", study, "series", series, "instances", uid] => {
                let is_it = |one: &&Instance| one.study == *study && one.series == *series && one.uid == *uid;
                if self.broken.as_deref() == Some(*uid) {
                    return Some(whole("500 Internal Server Error", "text/plain", b"no such file"));
                }
                match self.instances.iter().find(is_it).cloned() {
                    Some(found) => Some(self.download(&found)),
                    None => Some(whole("404 Not Found", "text/plain", b"none")),
                }
            }
            _ => Some(whole("404 Not Found", "text/plain", b"none")),
        }
    }

    fn studies(&self, query: &str) -> Vec<Value> {
        let asked = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let is = |name: &str, said: &str| asked(name).is_none_or(|asked| asked == "%2A" || asked == said);
        let fits = |one: &&Instance| {
            is("PatientID", &one.patient)
                && is("StudyInstanceUID", &one.study)
                && is("ModalitiesInStudy", &one.modality)
        };
        let studies = self.instances.iter().filter(fits).map(|one| (one.study.clone(), one.patient.clone()));
        let studies: std::collections::BTreeMap<String, String> = studies.collect();
        let entry = |(uid, patient)| json!({ "0020000D": { "Value": [uid] }, "00100020": { "Value": [patient] } });
        studies.into_iter().map(entry).collect()
    }

    fn download(&mut self, found: &Instance) -> Vec<u8> {
        let head = b"--part\r\nContent-Type: application/dicom\r\n\r\n".as_slice();
        let body = [head, &found.bytes, b"\r\n--part--\r\n"].concat();
        let content_type = "multipart/related; type=\"application/dicom\"; boundary=part";
        if self.cut > 0 {
            self.cut -= 1;
            // Without a length, the end of the connection is the end of the answer.
            let head = format!("{}\r\nContent-Type: {content_type}\r\n\r\n", String::from_utf8_lossy(CUT));
            return [head.as_bytes(), &body[..body.len() / 2]].concat();
        }
        self.downloads += 1;
        self.downloads_left = self.downloads_left.map(|left| left - 1);
        whole("200 OK", content_type, &body)
    }

    fn store(&mut self, study: &str, body: Vec<u8>) -> Vec<u8> {
        let json_type = "application/dicom+json";
        if !self.instances.iter().any(|one| one.study == study) {
            return whole("409 Conflict", json_type, b"{}");
        }
        if self.stored.contains(&body) {
            let failed = json!({ "00081198": { "Value": [{ "00081197": { "Value": [0x0111] } }] } });
            return whole("409 Conflict", json_type, failed.to_string().as_bytes());
        }
        self.stored.push(body);
        whole("200 OK", json_type, b"{}")
    }
}
