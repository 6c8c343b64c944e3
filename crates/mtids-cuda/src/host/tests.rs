//! The launcher's messages and its search for libraries, without a card.

use std::fs;

use super::*;

#[test]
fn messages_name_the_library_and_the_cure() {
    let linked = [Linked { name: "libcublas.so.12345".into(), path: None }];
    let found = missing_libraries(&linked, 12);
    let [absent] = &found[..] else { panic!("{found:?}") };
    let absent = absent.to_string();
    assert!(absent.starts_with("libcublas.so.12345 is not found"), "{absent}");
    assert!(absent.contains("`nvidia-cublas-cu12`") && absent.ends_with("LD_LIBRARY_PATH"), "{absent}");
    let absent = Missing::Driver { reason: "no such file".into(), version: 12 }.to_string();
    assert!(absent.contains("no NVIDIA driver") && absent.contains("525 or later"), "{absent}");
    let old = Missing::OldDriver { found: 12_040, version: 13 }.to_string();
    assert!(old.contains("CUDA 12.4 at most, and 13.0 is needed") && old.contains("580"), "{old}");
    assert!(Missing::NoCard { status: 100 }.to_string().starts_with("no card: the driver finds no NVIDIA GPU"));
}

/// An empty library, by the compiler that builds the kernels.
fn library(folder: &Path, name: &str, source: &str) {
    let code = folder.join(format!("{name}.c"));
    fs::write(&code, source).unwrap();
    let mut make = Command::new("cc");
    make.args(["-shared", "-fPIC", "-o"]).arg(folder.join(name)).arg(format!("-Wl,-soname,{name}")).arg(&code);
    let made = make.status().unwrap();
    assert!(made.success());
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mtids-cuda-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_parts_that_cudnn_opens_by_itself_are_looked_for_beside_it() {
    let folder = Folder::new("parts");
    let path = Some(folder.0.join("libcudnn.so.9"));
    library(&folder.0, "libcudnn.so.9", "");
    let linked = [Linked { name: "libcudnn.so.9".into(), path }];
    let names = || -> Vec<String> {
        let name = |missing: Missing| match missing {
            Missing::Library { library, package, .. } => {
                assert_eq!(package, "nvidia-cudnn-cu13");
                library
            }
            other => panic!("{other:?}"),
        };
        missing_libraries(&linked, 13).into_iter().map(name).collect()
    };
    assert_eq!(names(), OF_CUDNN);
    for part in &OF_CUDNN[1..] {
        library(&folder.0, part, "");
    }
    assert_eq!(names(), OF_CUDNN[..1]);
    library(&folder.0, OF_CUDNN[0], "");
    assert!(names().is_empty());
}

#[test]
fn a_driver_is_asked_for_its_version_then_for_cards() {
    let folder = Folder::new("driver");
    let asked = |name: &str, version: i32, start: i32, cards: i32| {
        let source = format!(
            "int cuDriverGetVersion(int *n) {{ *n = {version}; return 0; }} int cuInit(unsigned f) {{ return {start}; }} int cuDeviceGetCount(int *n) {{ *n = {cards}; return 0; }}"
        );
        library(&folder.0, name, &source);
        driver(&open(folder.0.join(name).as_os_str()).unwrap(), 13)
    };
    assert_eq!(asked("old.so", 12_080, 0, 1), Some(Missing::OldDriver { found: 12_080, version: 13 }));
    assert_eq!(asked("bare.so", 13_000, 100, 0), Some(Missing::NoCard { status: 100 }));
    assert_eq!(asked("empty.so", 13_000, 0, 0), Some(Missing::NoCard { status: 0 }));
    assert_eq!(asked("whole.so", 13_010, 0, 1), None);
}

#[test]
fn a_program_is_asked_what_it_is_linked_with() {
    let folder = Folder::new("program");
    // A program that is linked with a library of CUDA 12 which is gone when it is started.
    library(&folder.0, "libcublas.so.12", "int product(void) { return 0; }");
    let code = folder.0.join("main.c");
    fs::write(&code, "int product(void); int main(void) { return product(); }").unwrap();
    let program = folder.0.join("program");
    let mut link = Command::new("cc");
    link.arg("-o").arg(&program).arg(&code).arg(folder.0.join("libcublas.so.12"));
    assert!(link.status().unwrap().success());
    assert_eq!(linked(program.as_os_str()), [Linked { name: "libcublas.so.12".into(), path: None }]);
    // A script says nothing.
    let script = folder.0.join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    assert_eq!(linked(script.as_os_str()), usual());
}
