//! Starts a program that is linked with the driver, cuBLAS and cuDNN, or says what this host lacks.
//!
//! `mtids-cuda-start PROGRAM ARGUMENT…`. Exit code 2 where something is missing, and 126 where the program cannot be started; else the
//! program takes this one's place. It is built without the feature `cuda`, and so links none of these libraries.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let say = |text: String| {
        // Where nobody listens, the exit code is all there is to say.
        let _ = writeln!(std::io::stderr(), "mtids-cuda-start: {text}");
    };
    let Some(program) = arguments.next() else {
        say("usage: mtids-cuda-start PROGRAM ARGUMENT…".into());
        return ExitCode::from(2);
    };
    let missing = mtids_cuda::host::missing(&program);
    if !missing.is_empty() {
        missing.iter().for_each(|missing| say(missing.to_string()));
        return ExitCode::from(2);
    }
    let error = Command::new(&program).args(arguments).exec();
    say(format!("{}: {error}", program.to_string_lossy()));
    ExitCode::from(126)
}
