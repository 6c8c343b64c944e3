"""How often the conformal sets of a run hold the true class on phantom patients that nobody has seen.

    python3 scripts/cohorts/coverage.py PROGRAMS RUN SETTINGS OUT PATIENTS SEED [KEY=VALUE ..]

SETTINGS is the folder of the run's pipeline: phantom.toml, and dataset.toml there or beside it. The cohort has another seed than the run's and
a pseudonym key of its own: phantoms of all seeds have the same patient ids, and would be taken for patients of the training. KEY=VALUE are more
settings of the build. The run is evaluated as a copy, so that its own figures stay. Exit code 1 where the interval over patients does not hold
the level of the sets.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

programs, run, settings, out = (Path(argument) for argument in sys.argv[1:5])
patients, seed, more = sys.argv[5], sys.argv[6], sys.argv[7:]
cohort, dataset, copy, key = (out / name for name in ("cohort", "dataset", "run", "pseudonym.key"))
build = next(path for path in (settings / "dataset.toml", settings.parent / "dataset.toml") if path.exists())


def call(program, *arguments, allowed=(0,)):
    code = subprocess.run([programs / program, *arguments], stdout=subprocess.DEVNULL, check=False).returncode
    if code not in allowed:
        sys.exit(code)


def sets(*pairs):
    return [argument for pair in pairs for argument in ("--set", pair)]


out.mkdir(parents=True, exist_ok=True)
# What is there is of these patients and this seed: both stand in the folder's name.
if not (dataset / "manifest.json").exists():
    key.write_text("fresh phantoms: no secret, only another key than that of every pipeline\n")
    drawn = sets(f"seed={seed}", f"patients={patients}")
    call("mtids-prep", "phantom", "--config", settings / "phantom.toml", *drawn, "--out", cohort)
    candidates = ["--data", cohort / "dicom", "--annotations", cohort / "annotations.csv", "--annotations", cohort / "masks"]
    own = sets("pseudonym.demo=false", f'pseudonym.key_file="{key}"')
    held_out = sets("split.train=0.0", "split.validation=0.0", "split.test=1.0")
    arguments = ["--config", build, *candidates, *own, *held_out, *sets(*more), "--out", dataset]
    # 1 says: done, some input was refused, as the cohort's defects ask for.
    call("mtids-prep", "build", *arguments, allowed=(0, 1))
    # 5 GB for 600 patients.
    shutil.rmtree(cohort / "dicom")
shutil.rmtree(copy, ignore_errors=True)
shutil.copytree(run, copy)
figures = copy / "fresh"
call("mtids-train", "evaluate", "--run", copy, "--dataset", dataset, "--out", figures)

evaluation = json.loads((figures / "evaluation.json").read_text())
assert not evaluation["seen"]["seen"], "patients of the training are among the fresh ones"
found = evaluation["coverage"]
if found is None:
    sys.exit("the run is not calibrated, or too few patients have region and status")
low, high, level = found["interval"]["low"], found["interval"]["high"], found["level"]
verdict = "below the level" if high < level else "above the level" if low > level else "holds the level"
print(
    f"{found['nodes']} nodes of {found['patients']} fresh patients (seed {seed}): the set holds the class of {found['share']:.3f} "
    f"[{low:.3f}, {high:.3f}], {found['mean_size']:.2f} classes on average; the interval {verdict} {level:g}"
)
drawn = found["redrawn"]
if drawn is not None:
    print(
        f"{drawn['calibrations']} calibrations on {drawn['patients']} of these patients each, measured on the others: {drawn['mean']:.3f} on "
        f"average, 95 % of them within [{drawn['range']['low']:.3f}, {drawn['range']['high']:.3f}]"
    )
sys.exit(0 if low <= level <= high else 1)
