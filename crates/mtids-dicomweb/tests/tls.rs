//! TLS: a server whose authority is trusted, the same one where it is not or has another name, and one without TLS.
//!
//! `tests/data/tls` holds a certificate for 127.0.0.1, its key, and the authority that signed it; they are used here and nowhere else.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mtids_dicomweb::{Client, Connection, DicomWebError, Retry, Uid};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A server that knows one study. It lasts as long as the test.
fn server() -> String {
    let certificate = CertificateDer::from_pem_file(data("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}/dicom-web", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that does not trust us goes away.
            let _ = answer(stream.unwrap(), &config);
        }
    });
    address
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = r#"[{"0020000D":{"vr":"UI","Value":["1.2"]}}]"#;
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let stream = reader.get_mut();
    stream.write_all((head + body).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn has_study(address: &str, trusted: Option<PathBuf>) -> Result<bool, DicomWebError> {
    let retry = Retry { attempts: 3, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };
    let client = Client::new(address, Connection { trusted, retry, ..Connection::default() })?;
    client.has_study(&Uid::parse("1.2").unwrap())
}

#[test]
fn an_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let address = server();
    assert!(has_study(&address, Some(data("ca.pem"))).unwrap());
    let error = has_study(&address, None).unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("--ca-file"), "{error}");
    assert!(has_study(&address, Some(data("no-such.pem"))).unwrap_err().to_string().contains("no-such.pem"));
}

#[test]
fn each_fault_is_told_with_its_own_advice() {
    let other_name = server().replace("127.0.0.1", "localhost");
    let error = has_study(&other_name, Some(data("ca.pem"))).unwrap_err().to_string();
    assert!(error.contains("another name") && !error.contains("--ca-file"), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let without_tls = format!("https://{}/dicom-web", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The whole greeting is taken, so that the end of the connection does not overtake the answer.
            if stream.read(&mut [0; 16 << 10]).is_ok_and(|read| read > 0) {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        }
    });
    let error = has_study(&without_tls, Some(data("ca.pem"))).unwrap_err().to_string();
    assert!(error.contains("does not speak TLS") && !error.contains("--ca-file"), "{error}");
}
