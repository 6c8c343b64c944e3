//! The words a user reads first: `--help` of every program and command.

use crate::support::run;

#[test]
fn help_texts() {
    for (program, commands) in [
        (
            "mtids-prep",
            [
                "phantom",
                "insert",
                "fetch",
                "inventory",
                "probe",
                "build",
                "commit",
                "diff",
                "verify",
                "prune",
                "push",
                "pull",
            ]
            .as_slice(),
        ),
        ("mtids-audit", ["report", "compare", "suspects"].as_slice()),
        (
            "mtids-train",
            ["fit", "evaluate", "calibrate", "predict", "track", "inspect", "export", "compare"].as_slice(),
        ),
    ] {
        insta::assert_snapshot!(program.to_owned(), run(program, ["--help"]).expect_code(0).stdout);
        for command in commands {
            let help = run(program, [command, "--help"]).expect_code(0).stdout;
            assert!(help.lines().all(|line| line.chars().count() <= 140), "{program} {command}: a line is too long");
            assert!(help.contains(&format!("Example: {program} {command}")), "{program} {command}: no example");
            insta::assert_snapshot!(format!("{program}-{command}"), help);
        }
    }
}

#[test]
fn wrong_use_ends_with_2() {
    for program in ["mtids-prep", "mtids-audit", "mtids-train"] {
        run(program, ["dance"]).expect_code(2);
        run(program, Vec::<String>::new()).expect_code(2);
        assert!(run(program, ["--version"]).expect_code(0).stdout.starts_with(program));
    }
}
