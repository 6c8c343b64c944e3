//! A DICOMweb server for tests: it serves the objects of a folder, keeps what it is sent, and fails where a test wants it to.

use std::collections::BTreeMap;
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
    /// A storage request is answered without a word on what was stored.
    pub(crate) says_nothing: bool,
    /// Objects for which there is room.
    pub(crate) room: Option<usize>,
    /// The value that the header `Authorization` must have.
    pub(crate) authorization: Option<String>,
    /// Requests that are answered with 503 from now on.
    pub(crate) busy: u32,
    /// Objects that are cut in the middle from now on.
    pub(crate) cut: u32,
    /// UIDs of objects that the server refuses, and the status; 0 stands for an answer that is cut each time.
    pub(crate) broken: BTreeMap<String, u16>,
    /// The status with which all objects are refused.
    pub(crate) dead: Option<u16>,
    /// Lists are refused as well, as soon as an object has been.
    pub(crate) dead_lists: bool,
    /// Requests for objects that were refused.
    pub(crate) refused: u32,
    /// How lists of series and instances are wrong.
    pub(crate) lists: Lists,
    /// Keys of queries are ignored.
    pub(crate) ignores_keys: bool,
    /// Objects that are sent before the server goes away for good.
    pub(crate) downloads_left: Option<u32>,
    /// Objects that were sent whole.
    pub(crate) downloads: u32,
}

/// Lists that a server should not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lists {
    /// They are right.
    #[default]
    Right,
    /// 404, as of a server that has lost its index.
    NotFound,
    /// Status 200 without content, as of a proxy.
    Empty,
    /// They begin behind their first entry.
    Shifted,
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

/// The value of a key of a query.
fn asked<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn list(entries: Vec<Value>, query: &str) -> Vec<u8> {
    let number = |name: &str| asked(query, name).map(|value| value.parse::<usize>().unwrap());
    // As some servers do, it gives fewer than it is asked for.
    let limit = number("limit").unwrap_or(usize::MAX).min(10);
    let page: Vec<Value> = entries.into_iter().skip(number("offset").unwrap_or(0)).take(limit).collect();
    whole("200 OK", "application/dicom+json", Value::from(page).to_string().as_bytes())
}

/// SOPInstanceUID of the object in the body of a storage request.
fn stored_uid(body: &[u8]) -> Option<String> {
    let begin = body.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let boundary = body.split(|byte| *byte == b'\r').next()?;
    let end = body.len() - boundary.len() - b"\r\n--\r\n".len();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), body.get(begin..end)?).unwrap();
    Some(instance(file.path())?.uid)
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
        if self.dead_lists && self.refused > 0 && matches!(parts.last(), Some(&("studies" | "series" | "instances"))) {
            return Some(whole("502 Bad Gateway", "text/plain", b"nobody behind"));
        }
        match (parts.as_slice(), self.lists) {
            (["studies", _, "series"] | ["studies", _, "series", _, "instances"], Lists::NotFound) => {
                return Some(whole("404 Not Found", "text/plain", b"none"));
            }
            (["studies", _, "series"] | ["studies", _, "series", _, "instances"], Lists::Empty) => {
                return Some(whole("200 OK", "application/dicom+json", b""));
            }
            _ => {}
        }
        let uid = |name: &str| asked(query, name);
        match parts.as_slice() {
            ["studies"] => Some(list(self.studies(query), query)),
            ["studies", study] => Some(self.store(study, body)),
            ["studies", _, "instances"] => {
                let kept = self.stored.iter().filter_map(|body| stored_uid(body));
                let kept = kept.filter(|kept| uid("SOPInstanceUID").is_none_or(|asked| asked == kept));
                Some(list(kept.map(|uid| json!({ "00080018": { "Value": [uid] } })).collect(), query))
            }
            ["studies", study, "series"] => {
                let of_study = self.instances.iter().filter(|one| one.study == *study);
                let series = of_study.map(|one| (one.series.clone(), one.modality.clone()));
                let mut series: BTreeMap<String, String> = series.collect();
                series.retain(|series, _| uid("SeriesInstanceUID").is_none_or(|asked| asked == series));
                let entry =
                    |(uid, modality)| json!({ "0020000E": { "Value": [uid] }, "00080060": { "Value": [modality] } });
                Some(list(series.into_iter().map(entry).collect(), query))
            }
            ["studies", study, "series", series, "instances"] => {
                let of_series = self.instances.iter().filter(|one| one.study == *study && one.series == *series);
                let of_series = of_series.filter(|one| uid("SOPInstanceUID").is_none_or(|asked| asked == one.uid));
                let skipped = usize::from(self.lists == Lists::Shifted && uid("SOPInstanceUID").is_none());
                let of_series = of_series.skip(skipped);
                Some(list(of_series.map(|one| json!({ "00080018": { "Value": [one.uid] } })).collect(), query))
            }
            ["studies", study, "series", series, "instances", uid] => {
                let is_it = |one: &&Instance| one.study == *study && one.series == *series && one.uid == *uid;
                let status = self.dead.or_else(|| self.broken.get(*uid).copied());
                if let Some(status) = status {
                    self.refused += 1;
                    self.cut += u32::from(status == 0);
                    if status > 0 {
                        return Some(whole(&format!("{status} Refused"), "text/plain", b"no such file"));
                    }
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
        let is = |name: &str, said: &str| {
            self.ignores_keys || asked(query, name).is_none_or(|asked| asked == "*" || asked == said)
        };
        let fits = |one: &&Instance| {
            is("PatientID", &one.patient)
                && is("StudyInstanceUID", &one.study)
                && is("ModalitiesInStudy", &one.modality)
        };
        let studies = self.instances.iter().filter(fits).map(|one| (one.study.clone(), one.patient.clone()));
        let studies: BTreeMap<String, String> = studies.collect();
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
        if self.room.is_some_and(|room| self.stored.len() >= room) {
            let failed = json!({ "00081198": { "Value": [{ "00081197": { "Value": [0xA700] } }] } });
            return whole("409 Conflict", json_type, failed.to_string().as_bytes());
        }
        let Some(uid) = stored_uid(&body) else { return whole("400 Bad Request", json_type, b"{}") };
        self.stored.push(body);
        if self.says_nothing {
            return whole("200 OK", json_type, b"");
        }
        let stored = json!({ "00081199": { "Value": [{ "00081155": { "Value": [uid] } }] } });
        whole("200 OK", json_type, stored.to_string().as_bytes())
    }
}
