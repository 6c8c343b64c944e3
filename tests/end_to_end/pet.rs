//! PET as a second channel: from the files of a real chest CT and its PET to the voxels of a row, and into training.

use std::fs;
use std::path::Path;

use mtids_shards::{Channel, Dataset, Split, read_row_group};

use crate::support::{build_arguments, check_objects, run, shared_data, text};

#[test]
#[ignore = "needs ../shared/data"]
fn the_pet_of_a_study_lies_over_its_ct() {
    let data = shared_data("chest-ct-lung1");
    let folder = tempfile::tempdir().unwrap();
    let (out, key) = (folder.path().join("dataset"), folder.path().join("key"));
    fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    let arguments = |pet: &str| -> Vec<String> {
        ["build", "--data", text(&data), "--out", text(&out), "--annotations", "data/demo-real/made-up-labels.csv"]
            .into_iter()
            .map(str::to_owned)
            .chain([
                "--set".into(),
                format!("pseudonym.key_file=\"{}\"", text(&key)),
                "--set".into(),
                format!("pet={pet}"),
                "--set".into(),
                "patch.size=[24,56,56]".into(),
            ])
            .collect()
    };
    run("mtids-prep", arguments("true")).expect_code(0);
    let dataset = Dataset::open(&out).unwrap();
    let (description, totals) = (&dataset.manifest().description, &dataset.manifest().totals);
    let [view] = description.views.as_slice() else { panic!("{:?}", description.views) };
    assert_eq!(view.channels, [Channel::Ct, Channel::Pet]);
    // 20 slices of CT, 33 of PET, 3 SEG and the report on one; the table lies elsewhere.
    assert_eq!((totals.used, totals.skipped_by_reason.get("pet-not-asked-for")), (57, None), "{totals:?}");
    let group = read_row_group(&dataset, 0, 0).unwrap();
    assert!(group.labels[0].pet);
    let [d, h, w] = view.geometry.size;
    let (ct, pet) = group.views[0].row(0).split_at(d * h * w);
    // The patch is centred on the lesion, whose SUV peaks at about 8.2 (pet_expected.json).
    let middle = ((d / 2) * h + h / 2) * w + w / 2;
    assert!((600..=850).contains(&pet[middle]), "{} hundredths of an SUV in the lesion", pet[middle]);
    assert!((0..=120).contains(&ct[middle]), "{} HU in the lesion", ct[middle]);
    assert!(pet.iter().all(|&suv| suv <= 900) && pet.iter().filter(|&&suv| suv > 400).count() < pet.len() / 20);

    run("mtids-prep", arguments("false")).expect_code(0);
    let plain = Dataset::open(&out).unwrap();
    assert_eq!(plain.manifest().description.views[0].channels, [Channel::Ct]);
    assert_eq!(plain.manifest().totals.skipped_by_reason["pet-not-asked-for"], 33);
    assert_eq!(read_row_group(&plain, 0, 0).unwrap().views[0].row(0), ct, "the CT is the same either way");
}

#[test]
#[ignore = "needs ../shared/data"]
fn a_prediction_measures_the_uptake_of_a_candidate() {
    let data = shared_data("chest-ct-lung1");
    let folder = tempfile::tempdir().unwrap();
    let table = data.join("annotations_mm.csv");
    let places = ["--data", text(&data), "--annotations", text(&table), "--out", text(folder.path())];
    let fixed = ["predict", "--measure-only", "--no-dicom", "--set", "pet=true"];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let answer = fs::read(folder.path().join("prediction.json")).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let node = &answer["patients"][0]["nodes"][0];
    // The lesion's peak is about 8.2 (pet_expected.json).
    let uptake = node["mask"]["suv_max"].as_f64().or(node["grown"]["suv_max"].as_f64()).unwrap();
    assert!((7.5..8.8).contains(&uptake), "{uptake}");
}

#[test]
#[ignore = "needs ../shared/data, dciodvfy and dsrdump, Python readers (.venv)"]
fn other_readers_accept_the_objects_of_a_real_study_and_of_phantoms_with_pet() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let predict = |data: &Path, table: &Path, out: &Path| {
        let places = ["--data", text(data), "--annotations", text(table), "--out", text(out)];
        run("mtids-train", ["predict", "--measure-only", "--set", "pet=true"].into_iter().chain(places)).expect_code(0);
        let answer: serde_json::Value =
            serde_json::from_slice(&fs::read(out.join("prediction.json")).unwrap()).unwrap();
        let nodes = answer["patients"].as_array().unwrap().iter().flat_map(|one| one["nodes"].as_array().unwrap());
        let has_uptake = |node: &&serde_json::Value| {
            ["grown", "mask"].iter().any(|name| node[name].get("suv_max").is_some_and(|uptake| uptake.is_f64()))
        };
        // Around a small node no region may grow.
        assert!(2 * nodes.clone().filter(has_uptake).count() > nodes.count(), "uptake is measured");
        check_objects(out)
    };
    let real = shared_data("chest-ct-lung1");
    assert_eq!(predict(&real, &real.join("annotations_mm.csv"), &place("real")), 1);
    let mut phantom = vec!["phantom", "--out"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    phantom.push(text(&place("cohort")).to_owned());
    for setting in ["patients=2", "pet_fraction=1.0", "dimensions=[80,80,40]", "spacing_mm=[4.5,4.5,6.0]"] {
        phantom.extend(["--set".to_owned(), setting.to_owned()]);
    }
    run("mtids-prep", phantom).expect_code(0);
    let cohort = place("cohort");
    assert_eq!(predict(&cohort.join("dicom"), &cohort.join("annotations.csv"), &place("phantoms")), 2);
}

#[test]
fn a_dataset_with_an_empty_pet_channel_trains() {
    let folder = tempfile::tempdir().unwrap();
    let (out, run_folder) = (folder.path().join("dataset"), folder.path().join("run"));
    let mut arguments = build_arguments(&out);
    arguments.extend(["--set".to_owned(), "pet=true".into()]);
    run("mtids-prep", arguments).expect_code(0);
    let dataset = Dataset::open(&out).unwrap();
    let shard = dataset.shards(Split::Train).next().unwrap();
    let group = read_row_group(&dataset, shard, 0).unwrap();
    let view = &group.views[0];
    assert!(group.labels.iter().all(|row| !row.pet));
    assert!(view.row(0)[view.row_len / 2..].iter().all(|&suv| suv == 0));
    let fit =
        ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(&out), "--run", text(&run_folder)];
    run("mtids-train", fit.into_iter().chain(["--set", "max_steps=2"])).expect_code(0);
    run("mtids-train", ["evaluate", "--run", text(&run_folder), "--dataset", text(&out)]).expect_code(0);
}
