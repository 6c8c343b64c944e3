//! A server for tests: objects as S3 and as plain files, with conditions, and faults as often as a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mtids_runtime::digest::Digest;

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Behaviour {
    /// Of a thousand requests, so many meet a fault.
    pub(crate) faults: u64,
    /// Answers that come too late are among the faults.
    pub(crate) slow: bool,
    /// Bytes of answers may be other ones.
    pub(crate) flips: bool,
    /// Conditions are ignored: `If-None-Match`, `If-Match`.
    pub(crate) ignores: [bool; 2],
    /// Ranges are ignored.
    pub(crate) ignores_ranges: bool,
    /// Objects have no ETag.
    pub(crate) no_tags: bool,
    /// Every request gets this status and body.
    pub(crate) dead: Option<(u16, &'static str)>,
}

#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Every content that an object was given, in order.
    pub(crate) history: Vec<(String, Vec<u8>)>,
    pub(crate) behaviour: Behaviour,
    /// Head of every request.
    pub(crate) heads: Vec<String>,
}

/// A running server. It lasts as long as the test.
pub(crate) struct Stub {
    pub(crate) address: String,
    objects: Arc<Mutex<Objects>>,
    /// Faults so far.
    pub(crate) faults: Arc<AtomicU64>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    /// 503 and nothing done.
    Busy,
    /// 503 although it was done.
    BusyAfter,
    /// The connection ends and nothing was done.
    Reset,
    /// The connection ends although it was done.
    ResetAfter,
    /// The body ends early.
    Short,
    /// The body ends early, and the header agrees with it.
    ShortAsSaid,
    /// The answer comes too late.
    Slow,
    /// A bit of the body is another one.
    Flip,
}

impl Stub {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let objects = Arc::new(Mutex::new(Objects { behaviour, ..Objects::default() }));
        let faults = Arc::new(AtomicU64::new(0));
        let (shared, counted) = (Arc::clone(&objects), Arc::clone(&faults));
        std::thread::spawn(move || {
            let lot = Arc::new(AtomicU64::new(1));
            for stream in listener.incoming() {
                let (shared, counted, lot) = (Arc::clone(&shared), Arc::clone(&counted), Arc::clone(&lot));
                std::thread::spawn(move || serve(&stream.unwrap(), &shared, &counted, &lot));
            }
        });
        Self { address, objects, faults }
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }
}

fn fate(behaviour: &Behaviour, lot: &AtomicU64) -> Fate {
    // A fixed sequence; threads share it out in any order.
    let drawn = Digest::of_bytes(&lot.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    let drawn = u64::from_le_bytes(drawn.as_bytes()[..8].try_into().unwrap());
    if drawn % 1000 >= behaviour.faults {
        return Fate::Good;
    }
    let drawn = drawn / 1000;
    if behaviour.slow && drawn % 100 == 0 {
        return Fate::Slow;
    }
    let mut fates = vec![Fate::Busy, Fate::BusyAfter, Fate::Reset, Fate::ResetAfter, Fate::Short, Fate::ShortAsSaid];
    if behaviour.flips {
        fates.push(Fate::Flip);
    }
    fates[(drawn / 100) as usize % fates.len()]
}

/// Answers the requests of a connection until one of the two ends it.
fn serve(stream: &TcpStream, objects: &Mutex<Objects>, faults: &AtomicU64, lot: &AtomicU64) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let header = |name: &str| {
            head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        };
        let header = |name: &str| header(name).map(|(_, value)| value.to_owned());
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let behaviour = objects.lock().unwrap().behaviour;
        let fate = fate(&behaviour, lot);
        if fate != Fate::Good {
            faults.fetch_add(1, Ordering::Relaxed);
        }
        match fate {
            Fate::Reset => return,
            Fate::Busy => {
                if send(stream, 503, &[], b"", Fate::Good, false).is_err() {
                    return;
                }
                continue;
            }
            Fate::Slow => std::thread::sleep(Duration::from_millis(400)),
            _ => {}
        }
        let is_head = head.starts_with("HEAD");
        let (status, headers, answer) = objects.lock().unwrap().answer(&head, &header, body);
        let sent = match fate {
            Fate::ResetAfter => return,
            Fate::BusyAfter => send(stream, 503, &[], b"", Fate::Good, is_head),
            fate => send(stream, status, &headers, &answer, fate, is_head),
        };
        if sent.is_err() || matches!(fate, Fate::Short | Fate::Slow) {
            return;
        }
    }
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &[u8],
    fate: Fate,
    is_head: bool,
) -> std::io::Result<()> {
    let mut body = body.to_vec();
    let said = if fate == Fate::ShortAsSaid && !is_head { body.len() / 2 } else { body.len() };
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {said}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let (Fate::Flip, 200..300, middle) = (fate, status, body.len() / 2)
        && let Some(byte) = body.get_mut(middle)
    {
        *byte ^= 4;
    }
    if matches!(fate, Fate::Short | Fate::ShortAsSaid) {
        body.truncate(body.len() / 2);
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if !is_head {
        stream.write_all(&body)?;
    }
    stream.flush()
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Objects {
    fn tag(bytes: &[u8]) -> String {
        format!("\"{}\"", Digest::of_bytes(bytes).short())
    }

    fn store(&mut self, name: &str, bytes: Vec<u8>) {
        self.history.push((name.to_owned(), bytes.clone()));
        self.blobs.insert(name.to_owned(), bytes);
    }

    fn answer(&mut self, head: &str, header: &dyn Fn(&str) -> Option<String>, body: Vec<u8>) -> Answer {
        self.heads.push(head.to_owned());
        if let Some((status, body)) = self.behaviour.dead {
            return (status, Vec::new(), body.into());
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let name = path.trim_start_matches('/').to_owned();
        let of_query = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).map(str::to_owned);
        let plain = |status| (status, Vec::new(), Vec::new());
        match method {
            "GET" if query.contains("list-type=2") => {
                let prefix = of_query("prefix=").unwrap_or_default().replace("%2F", "/");
                let entry = |(key, bytes): (&str, &Vec<u8>)| {
                    format!(
                        "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                        Self::tag(bytes).replace('"', "&quot;"),
                        bytes.len()
                    )
                };
                let in_bucket = self.blobs.iter().filter_map(|(key, bytes)| Some((key.split_once('/')?.1, bytes)));
                let list: String = in_bucket.filter(|(key, _)| key.starts_with(&prefix)).map(entry).collect();
                (
                    200,
                    Vec::new(),
                    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{list}</ListBucketResult>").into(),
                )
            }
            "GET" | "HEAD" => {
                let tag = self.blobs.get(&name).map(|bytes| Self::tag(bytes));
                match header("if-match") {
                    Some(wanted) if tag.is_some_and(|tag| tag != wanted) => plain(412),
                    _ => self.read(&name, header("range")),
                }
            }
            "PUT" => match (of_query("partNumber="), of_query("uploadId=")) {
                (Some(number), Some(upload)) => match self.uploads.get_mut(&upload) {
                    Some(parts) => {
                        let tag = Self::tag(&body);
                        parts.insert(number.parse().unwrap(), body);
                        (200, vec![("etag", tag)], Vec::new())
                    }
                    None => plain(404),
                },
                _ => {
                    let present = self.blobs.get(&name).map(|bytes| Self::tag(bytes));
                    let [ignores_absent, ignores_match] = self.behaviour.ignores;
                    let wants_absent = header("if-none-match").is_some() && !ignores_absent;
                    let wanted = header("if-match").filter(|_| !ignores_match);
                    if (wants_absent && present.is_some()) || (wanted.is_some() && wanted != present) {
                        return (412, Vec::new(), b"<Error><Code>PreconditionFailed</Code></Error>".to_vec());
                    }
                    let tag = Self::tag(&body);
                    self.store(&name, body);
                    (200, vec![("etag", tag)], Vec::new())
                }
            },
            "POST" if query.starts_with("uploads") => {
                let upload = format!("upload{}", self.uploads.len());
                self.uploads.insert(upload.clone(), BTreeMap::new());
                let text = format!(
                    "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                );
                (200, Vec::new(), text.into())
            }
            "POST" => match of_query("uploadId=").and_then(|upload| self.uploads.remove(&upload)) {
                Some(parts) => {
                    let bytes = parts.into_values().flatten().collect();
                    self.store(&name, bytes);
                    (
                        200,
                        Vec::new(),
                        b"<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>".to_vec(),
                    )
                }
                None => plain(404),
            },
            "DELETE" => {
                self.blobs.remove(&name);
                plain(204)
            }
            _ => plain(405),
        }
    }

    fn read(&self, name: &str, range: Option<String>) -> Answer {
        let Some(bytes) = self.blobs.get(name) else { return (404, Vec::new(), Vec::new()) };
        let mut headers = vec![("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned())];
        if !self.behaviour.no_tags {
            headers.push(("etag", Self::tag(bytes)));
        }
        let range = range.filter(|_| !self.behaviour.ignores_ranges);
        let Some((start, end)) = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return (200, headers, bytes.clone());
        };
        let (start, last): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap_or(usize::MAX));
        if start >= bytes.len() {
            return (416, Vec::new(), Vec::new());
        }
        let end = last.saturating_add(1).min(bytes.len());
        headers.push(("content-range", format!("bytes {start}-{}/{}", end - 1, bytes.len())));
        (206, headers, bytes[start..end].to_vec())
    }
}
