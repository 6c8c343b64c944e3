//! Stations as radiologists write them: a station, a region, or unknown and counted; never another station.

use std::path::Path;

use super::study::Ct;
use super::{Case, Expect, Found, check_all, run_in};

const PLACES: [[f64; 3]; 3] = [[0.0, -59.5, -285.0], [9.0, -47.5, -292.5], [15.0, -40.0, -287.5]];

/// A CT and a table of rows with these stations.
fn write(folder: &Path, stations: [&str; 3]) {
    let ct = Ct::new();
    ct.write(folder);
    let rows: Vec<([f64; 3], String)> =
        PLACES.into_iter().zip(stations.map(|station| format!("\"{station}\",1,A"))).collect();
    let rows: Vec<([f64; 3], &str)> = rows.iter().map(|(place, rest)| (*place, rest.as_str())).collect();
    std::fs::write(folder.join("nodes.csv"), ct.table(&rows)).unwrap();
}

/// The findings at the three places with `(station, region)`, empty where unknown.
const fn found(labels: [(&'static str, &'static str); 3]) -> [Found; 3] {
    [
        Found::at(0.0, -59.5, -285.0).station(labels[0].0).region(labels[0].1),
        Found::at(9.0, -47.5, -292.5).station(labels[1].0).region(labels[1].1),
        Found::at(15.0, -40.0, -287.5).station(labels[2].0).region(labels[2].1),
    ]
}

const SIDES: [Found; 3] = found([("", "upper"), ("1L", "supraclavicular"), ("1R", "supraclavicular")]);
const RANGES: [Found; 3] = found([("", "hilar"), ("", "hilar"), ("12-14R", "peripheral")]);
const APART: [Found; 3] = found([("", ""), ("", ""), ("7", "subcarinal")]);
const NECK: [Found; 3] = found([("1R", "supraclavicular"), ("", "upper"), ("", "")]);
const TABLE: &[&str] = &["--annotations", "nodes.csv"];

const CASES: &[Case] = &[
    Case {
        name: "sides-in-words",
        source: "PMC4367620, table 1: #1 (left/right), #L1 and #R1",
        make: |folder| write(folder, ["#4 (left/right)", "#L1", "station 1, right"]),
        arguments: TABLE,
        expect: Expect::found(&SIDES),
    },
    Case {
        name: "several-of-one-region",
        source: "PMC4367620, table 1: hilar 10 and interlobar 11 form one zone",
        make: |folder| write(folder, ["10-11R", "stations 10 and 11", "12-14 R"]),
        arguments: TABLE,
        expect: Expect::found(&RANGES),
    },
    Case {
        name: "several-regions",
        source: "PMC4367620, table 1: 4 is of the upper zone, 7 of the subcarinal, 11 of the hilar, 12 of the peripheral",
        make: |folder| write(folder, ["4R+7", "11L/12L", "7.0"]),
        arguments: TABLE,
        expect: Expect {
            counts: &[("/unplaced_stations", 2)],
            ..Expect::found(&APART).says(&["line 2: `4R+7` (stations of different regions)"])
        },
    },
    Case {
        name: "levels-of-the-neck",
        source: "Grégoire et al., Radiother Oncol 2014;110:172 (doi 10.1016/j.radonc.2013.10.010)",
        make: |folder| write(folder, ["Level IV right", "VII", "IIA"]),
        arguments: &["--annotations", "nodes.csv", "--set", "station_map=neck"],
        expect: Expect { counts: &[("/unplaced_stations", 1)], ..Expect::found(&NECK) },
    },
    Case {
        name: "levels-without-map",
        source: "obophenotype/uberon#2892: station 7 is 2, 8 and 10 of another map",
        make: |folder| write(folder, ["level 4R", "IVb", "7"]),
        arguments: TABLE,
        expect: Expect {
            counts: &[("/unplaced_stations", 2)],
            ..Expect::found(&APART).says(&["line 2: `level 4R` (a number of another map"])
        },
    },
    Case {
        name: "doubt-and-nonsense",
        source: "doi 10.1097/JTO.0b013e318249a9dd: borders of stations are disputed, so a mark of doubt is no label",
        make: |folder| write(folder, ["4R?", "4RL", "4.0"]),
        arguments: TABLE,
        expect: Expect::refused(
            3,
            &["line 2, column `station`: `4R?`", "line 3, column `station`: `4RL`", "line 4, column `station`: `4.0`"],
        ),
    },
];

#[test]
fn stations_are_read_as_they_are_written() {
    check_all(CASES);
}

#[test]
fn names_are_shown_before_a_build() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.txt"), "LN 10-11R\nLN 4R+7\nHeart\n").unwrap();
    std::fs::write(
        folder.path().join("rules.toml"),
        "[[class]]\nname = '^LN (?<station>.+)$'\n[[class]]\nname = '.'\nignore = true\n",
    )
    .unwrap();
    let arguments = ["classes", "--test", "names.txt", "--classes", "rules.toml", "--json"];
    let done = run_in(folder.path(), "mtids-prep", &arguments);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let shown: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let of = |n: usize, key: &str| shown[n][key].as_str().unwrap_or_default().to_owned();
    assert_eq!([of(0, "outcome"), of(0, "region"), of(0, "station")], ["kept", "hilar", "10R or 11R"]);
    assert_eq!([of(1, "region"), of(1, "station")], ["", "none"]);
    assert!(of(1, "note").contains("different regions"));
    assert_eq!(shown[2]["rule"].as_u64(), Some(1));
    assert_eq!(of(2, "outcome"), "ignored");
}
