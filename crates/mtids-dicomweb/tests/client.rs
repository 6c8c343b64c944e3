//! The client against a server that answers what a test has written down.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mtids_dicomweb::{
    Client, Connection, Credentials, DicomWebError, Failure, InstanceAddress, Presence, Retry, Stored, StudyQuery, Uid,
};
use mtids_runtime::exit::{Exit, ExitStatus};

/// A request as the server saw it: its first line and its headers, and its body.
#[derive(Clone, Debug)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }
}

/// A server that gives the answers in turn, each to one connection, and closes it behind. It lasts as long as the test.
fn server(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/dicom-web", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            seen.lock().unwrap().push(Request { head, body });
            reader.get_mut().write_all(&answer).unwrap();
        }
    });
    (address, requests)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn json(text: &str) -> Vec<u8> {
    answer("200 OK", "Content-Type: application/dicom+json\r\n", text.as_bytes())
}

fn dicom(content: &[u8]) -> Vec<u8> {
    let headers = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=\"x y\"\r\n";
    answer("200 OK", headers, &part(content))
}

fn part(content: &[u8]) -> Vec<u8> {
    [b"--x y\r\nContent-Type: application/dicom\r\n\r\n", content, b"\r\n--x y--\r\n"].concat()
}

const QUICK: Retry = Retry { attempts: 3, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

fn client(address: &str) -> Client {
    let credentials = Credentials::bearer("a-secret").unwrap();
    Client::new(address, Connection { credentials, retry: QUICK, ..Connection::default() }).unwrap()
}

fn uid(text: &str) -> Uid {
    Uid::parse(text).unwrap()
}

fn an_instance() -> InstanceAddress {
    InstanceAddress { study: uid("1.2"), series: uid("1.2.3"), instance: uid("1.2.3.4") }
}

fn retrieve(answers: Vec<Vec<u8>>, most: u64) -> (Result<Vec<u8>, DicomWebError>, Vec<Request>) {
    let (address, requests) = server(answers);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let result = client(&address).retrieve(&an_instance(), file.as_file_mut(), most);
    let result = result.map(|length| {
        let bytes = fs::read(file.path()).unwrap();
        assert_eq!(bytes.len() as u64, length);
        bytes
    });
    let requests = requests.lock().unwrap().clone();
    (result, requests)
}

#[test]
fn lists_are_asked_for_page_by_page_with_credentials() {
    let study = |uid: &str, patient: &str| {
        format!(r#"{{"0020000D":{{"vr":"UI","Value":["{uid}"]}},"00100020":{{"vr":"LO","Value":["{patient}"]}}}}"#)
    };
    let pages = [
        format!("[{},{}]", study("1.2", "A&B"), study("../1", "A&B")),
        format!("[{},{}]", study("1.1", "A&B"), study("1.3", "other")),
        format!("[{}]", study("1.1", "A&B")),
    ];
    let (address, requests) = server(pages.iter().map(|page| json(page)).collect());
    let query = StudyQuery { patient_id: Some("A&B".into()), modality: Some("CT".into()), ..StudyQuery::default() };
    let listed = client(&address).studies(&query).unwrap();
    assert_eq!((listed.found, listed.left_out), (vec![uid("1.1"), uid("1.2")], vec![uid("1.3")]));
    assert_eq!(listed.unusable, 1);
    let requests = requests.lock().unwrap();
    assert_eq!(
        requests[0].line(),
        "GET /dicom-web/studies?PatientID=A%26B&ModalitiesInStudy=CT&limit=100&offset=0 HTTP/1.1"
    );
    assert!(requests[1].line().contains("offset=2") && requests[2].line().contains("offset=4"), "{requests:?}");
    assert!(requests.iter().all(|request| request.head.to_lowercase().contains("authorization: bearer a-secret")));
}

#[test]
fn what_a_server_does_not_have_is_an_empty_list() {
    let (address, _) = server(vec![answer("404 Not Found", "", b""), answer("204 No Content", "", b"")]);
    let client = client(&address);
    assert!(client.series(&uid("1.2")).unwrap().found.is_empty());
    assert!(client.instances(&uid("1.2"), &uid("1.3")).unwrap().found.is_empty());
}

#[test]
fn only_an_explicit_empty_list_says_that_something_is_absent() {
    let gone = || answer("404 Not Found", "", b"");
    let entry = |key: &str, uid: &str| json(&format!(r#"[{{"{key}":{{"Value":["{uid}"]}}}}]"#));
    let (instance, series, study) = ("00080018", "0020000E", "0020000D");
    for (answers, expected) in [
        (vec![entry(instance, "1.2.3.4")], Presence::Listed),
        (vec![json("[]")], Presence::Absent),
        (vec![answer("204 No Content", "", b"")], Presence::Absent),
        // It ignores the key, and its list may be cut.
        (vec![entry(instance, "1.9"), json("[]")], Presence::Unclear),
        (vec![json(r#"[{"00080018":{"Value":["../1"]}}]"#)], Presence::Unclear),
        (vec![gone(), entry(series, "1.2.3")], Presence::Unclear),
        (vec![gone(), json("[]")], Presence::Absent),
        (vec![gone(), gone(), entry(study, "1.2")], Presence::Unclear),
        (vec![gone(), gone(), json("[]")], Presence::Absent),
    ] {
        let (address, requests) = server(answers);
        assert_eq!(client(&address).presence_of_instance(&an_instance()).unwrap(), expected);
        let asked = requests.lock().unwrap()[0].line().to_owned();
        assert!(asked.contains("/series/1.2.3/instances?SOPInstanceUID=1.2.3.4&"), "{asked}");
    }
    let (address, _) = server(vec![gone(), gone(), gone()]);
    assert!(matches!(client(&address).presence_of_instance(&an_instance()), Err(DicomWebError::NotFound { .. })));
}

#[test]
fn a_list_ends_where_nothing_new_comes_and_what_has_no_uid_is_counted() {
    let unusable = r#"{"00080018":{"Value":["none"]}},{}"#;
    let page = json(&format!(r#"[{{"00080018":{{"Value":["1.1"]}}}},{unusable}]"#));
    // The server ignores where a page begins.
    let (address, requests) = server(vec![page.clone(), page]);
    let listed = client(&address).instances(&uid("1.2"), &uid("1.3")).unwrap();
    assert_eq!((listed.found, listed.unusable, requests.lock().unwrap().len()), (vec![uid("1.1")], 2, 2));
    let (address, requests) = server(vec![json(&format!("[{unusable}]"))]);
    let listed = client(&address).instances(&uid("1.2"), &uid("1.3")).unwrap();
    assert_eq!((listed.found, listed.unusable, requests.lock().unwrap().len()), (Vec::new(), 2, 1));
}

#[test]
fn a_full_page_that_comes_twice_is_a_list_only_where_a_longer_page_shows_no_more() {
    let instances = |count: usize| {
        let entries = (0..count).map(|number| format!(r#"{{"00080018":{{"Value":["1.{number}"]}}}}"#));
        json(&format!("[{}]", entries.collect::<Vec<_>>().join(",")))
    };
    let ask = |longer: usize| {
        let (address, requests) = server(vec![instances(100), instances(100), instances(longer)]);
        let listed = client(&address).instances(&uid("1.2"), &uid("1.3"));
        let last = requests.lock().unwrap().last().unwrap().line().to_owned();
        assert!(last.contains("limit=101&offset=0"), "{last}");
        listed
    };
    assert_eq!(ask(100).unwrap().found.len(), 100);
    let error = ask(101).unwrap_err().to_string();
    assert!(error.contains("ignores `offset`"), "{error}");
}

#[test]
fn a_server_that_ignores_a_patient_with_wildcards_gives_no_other_patient() {
    let study = |uid: &str, patient: &str| {
        format!(r#"{{"0020000D":{{"Value":["{uid}"]}},"00100020":{{"Value":["{patient}"]}}}}"#)
    };
    let page = format!("[{},{},{}]", study("1.1", "LUNG-1"), study("1.2", "HEAD-1"), study("1.3", "lung-2"));
    let (address, _) = server(vec![json(&page), json("[]")]);
    let query = StudyQuery { patient_id: Some("LUNG-*".into()), ..StudyQuery::default() };
    let listed = client(&address).studies(&query).unwrap();
    assert_eq!((listed.found, listed.left_out), (vec![uid("1.1"), uid("1.3")], vec![uid("1.2")]));
}

#[test]
fn an_instance_comes_as_it_is_stored() {
    let content = [b"\r\n--x \r\n".as_slice(), &[0xFF; 100_000]].concat();
    let (result, requests) = retrieve(vec![dicom(&content)], 1 << 20);
    assert_eq!(result.unwrap(), content);
    assert_eq!(requests[0].line(), "GET /dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4 HTTP/1.1");
    assert!(requests[0].head.contains("transfer-syntax=*"), "{}", requests[0].head);
    let alone = answer("200 OK", "Content-Type: application/dicom; transfer-syntax=1.2\r\n", &content);
    assert_eq!(retrieve(vec![alone.clone()], 1 << 20).0.unwrap(), content);
    let cut = alone[..alone.len() - 1].to_vec();
    assert_eq!(
        retrieve(vec![cut, alone.clone()], 1 << 20).0.unwrap(),
        content,
        "what is shorter than announced is no whole"
    );
    // Without length and chunks, the end of the connection could be anywhere in the object.
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/dicom\r\n{more}\r\n");
    let endless = [head("").as_bytes(), &content].concat();
    assert_eq!(retrieve(vec![endless.clone(), alone], 1 << 20).0.unwrap(), content);
    let (result, requests) = retrieve(vec![endless.clone(), endless.clone(), endless], 1 << 20);
    assert!(matches!(result, Err(DicomWebError::Unreachable { failure: Failure::Cut, .. })), "{result:?}");
    assert_eq!(requests.len(), 3);
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let chunks = [chunked.as_bytes(), b"5\r\nwhole\r\n3\r\n it\r\n0\r\n\r\n"].concat();
    assert_eq!(retrieve(vec![chunks.clone()], 1 << 20).0.unwrap(), b"whole it");
    let cut = chunks[..chunks.len() - 12].to_vec();
    assert_eq!(retrieve(vec![cut, chunks], 1 << 20).0.unwrap(), b"whole it");
}

#[test]
fn what_may_pass_is_asked_again() {
    let cut = {
        let whole = dicom(&[7; 50_000]);
        whole[..whole.len() - 10_000].to_vec()
    };
    let busy = answer("503 Service Unavailable", "Retry-After: 3600\r\n", b"busy");
    let (result, requests) = retrieve(vec![busy.clone(), cut.clone(), dicom(b"whole")], 1 << 20);
    assert_eq!(result.unwrap(), b"whole", "nothing of the cut answer stays");
    assert_eq!(requests.len(), 3);
    // An answer without length ends with the connection, wherever it is cut.
    let endless = |length: usize| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=\"x y\"\r\n\r\n".to_vec();
        [head, part(&[7; 1000])[..length].to_vec()].concat()
    };
    assert_eq!(retrieve(vec![endless(900), Vec::new(), dicom(b"whole")], 1 << 20).0.unwrap(), b"whole");
    let (result, requests) = retrieve(vec![busy.clone(), busy, cut], 1 << 20);
    let error = result.unwrap_err();
    assert!(matches!(error, DicomWebError::Unreachable { attempts: 3, failure: Failure::Cut, .. }), "{error}");
    assert_eq!((requests.len(), error.exit()), (3, Exit::Data));
    let broken = answer("500 Internal Server Error", "", b"");
    let (result, _) = retrieve(vec![broken.clone(), broken.clone(), broken], 1 << 20);
    assert!(matches!(result, Err(DicomWebError::Unreachable { failure: Failure::Status(500), .. })));
}

#[test]
fn what_will_not_pass_is_said_at_once() {
    for (status, headers, body, expected) in [
        ("401 Unauthorized", "", "", "set MTIDS_DICOMWEB_TOKEN"),
        ("403 Forbidden", "", "", "set MTIDS_DICOMWEB_TOKEN"),
        ("404 Not Found", "", "", "does not have instance 1.2.3.4"),
        ("302 Found", "Location: http://elsewhere.example/\r\n", "", "another address"),
        ("406 Not Acceptable", "", "", "transfer syntaxes"),
        ("418 Teapot", "", "", "HTTP status 418"),
        ("200 OK", "Content-Type: text/html\r\n", "<html>", "neither application/dicom nor"),
        ("200 OK", "Content-Type: multipart/related; boundary=x\r\n", "--x--", "has no part"),
        (
            "200 OK",
            "Content-Type: multipart/related; boundary=x\r\n",
            "--x\r\nContent-Type: text/html\r\n\r\n\r\n--x--",
            "its part is not",
        ),
        (
            "200 OK",
            "Content-Type: multipart/related; boundary=x\r\n",
            "--x\r\n\r\n1\r\n--x\r\n\r\n2\r\n--x--",
            "several parts",
        ),
    ] {
        let (result, requests) = retrieve(vec![answer(status, headers, body.as_bytes())], 1 << 20);
        let text = result.unwrap_err().to_string();
        assert!(text.contains(expected) && text.starts_with("http://127.0.0.1:"), "{text}");
        assert!(!text.contains("a-secret") && !text.contains("elsewhere"), "{text}");
        assert_eq!(requests.len(), 1, "{status}");
    }
    let (result, _) = retrieve(vec![dicom(&[1; 2000])], 1999);
    assert!(matches!(result, Err(DicomWebError::TooLarge { limit: 1999, .. })));
}

#[test]
fn a_list_that_is_none_is_named() {
    for (text, expected) in
        [("<html>", "it is not JSON"), ("{}", "it is no list"), ("null", "it is no list"), ("", "it is empty")]
    {
        let (address, _) = server(vec![json(text)]);
        let error = client(&address).studies(&StudyQuery::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Port 9 of this machine: nobody listens there.
    let error = client("http://127.0.0.1:9/dicom-web").has_study(&uid("1.2")).unwrap_err();
    assert!(matches!(error, DicomWebError::Unreachable { failure: Failure::Connection, .. }), "{error}");
    let error = error.to_string();
    assert!(error.starts_with("http://127.0.0.1:9/dicom-web: no answer") && error.contains("asked 3 times"), "{error}");
}

#[test]
fn an_object_is_sent_to_its_study() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("series-0001.seg.dcm");
    fs::write(&file, b"an object").unwrap();
    let failed = |code: u16| format!(r#"{{"00081198":{{"Value":[{{"00081197":{{"Value":[{code}]}}}}]}}}}"#);
    let other = |code: u16| failed(code).replace("00081198", "0008119A");
    let stored = |uid: &str| format!(r#"{{"00081199":{{"Value":[{{"00081155":{{"Value":["{uid}"]}}}}]}}}}"#);
    let typed = "Content-Type: application/dicom+json\r\n";
    let listed = || json(r#"[{"00080018":{"Value":["1.2.9"]}}]"#);
    let none = || json("[]");
    for (status, body, lists, expected) in [
        ("200 OK", stored("1.2.9"), vec![], Ok(Stored::Now)),
        // A success that does not name the object is believed where the server lists it, now or soon.
        ("200 OK", "{}".to_owned(), vec![listed()], Ok(Stored::Now)),
        ("202 Accepted", String::new(), vec![none(), listed()], Ok(Stored::Now)),
        ("200 OK", stored("1.2.8"), vec![none(), none(), none()], Err("neither names nor lists it")),
        ("204 No Content", String::new(), vec![none(), none(), none()], Err("neither names nor lists it")),
        ("409 Conflict", failed(0x0111), vec![], Ok(Stored::Before)),
        ("202 Accepted", failed(0x0122), vec![], Err("objects of this class")),
        ("409 Conflict", failed(0xA700), vec![], Err("make room")),
        ("409 Conflict", failed(0xC122), vec![], Err("transfer syntax")),
        ("409 Conflict", String::new(), vec![listed()], Ok(Stored::Before)),
        ("409 Conflict", String::new(), vec![none()], Err("no reason that is known here")),
        ("200 OK", other(0x0110), vec![none()], Err("no reason that is known here")),
        ("200 OK", other(0x0110), vec![listed()], Ok(Stored::Before)),
        ("413 Too Large", String::new(), vec![], Err("too large for it")),
    ] {
        let asked = 1 + lists.len();
        let first = answer(status, typed, body.as_bytes());
        let (address, requests) = server([vec![first], lists].concat());
        let result = client(&address).store(&uid("1.2"), &uid("1.2.9"), &file);
        match expected {
            Ok(stored) => assert_eq!(result.unwrap(), stored, "{status} {body}"),
            Err(words) => {
                let text = result.unwrap_err().to_string();
                assert!(text.contains(words) && text.contains("series-0001.seg.dcm"), "{text}");
            }
        }
        let requests = requests.lock().unwrap().clone();
        assert_eq!(requests.len(), asked, "{status} {body}");
        assert_eq!(requests[0].line(), "POST /dicom-web/studies/1.2 HTTP/1.1");
        assert!(requests[0].body.windows(9).any(|window| window == b"an object"));
        for request in &requests[1..] {
            assert!(request.line().contains("/studies/1.2/instances?SOPInstanceUID=1.2.9&"), "{}", request.line());
        }
    }
    let (address, _) = server(vec![]);
    let missing = client(&address).store(&uid("1.2"), &uid("1.2.9"), &folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
}
