"""A training by processes under mpirun beside one by a single process, on one machine.

Arguments: the trainer built with `--features mpi`, the trainer built without, a dataset, settings, and a page for the figures. Every check ends the program
when it fails. Called by `make mpi-check`. Times are printed as they were and never judged, except that a lost process must end the others within 30 s.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import between_marks  # noqa: E402

TRAINER, PLAIN, DATASET, SETTINGS, PAGE = sys.argv[1:6]
STEPS = 10
# A root in a container is told so; several processes may share a core here.
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "RAYON_NUM_THREADS": "1"}
OUT = Path(tempfile.mkdtemp())


def command(ranks, run, sets, program=TRAINER):
    fit = [program, "fit", "--dataset", DATASET, "--run", str(OUT / run), "--config", SETTINGS]
    fit += [word for setting in sets for word in ("--set", setting)]
    return ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *fit] if ranks > 1 else fit


def start(ranks, run, sets=(), program=TRAINER):
    return subprocess.Popen(
        command(ranks, run, sets, program), env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def train(ranks, run, sets=(), expected=0):
    process = start(ranks, run, sets)
    said, _ = process.communicate()
    if process.returncode != expected:
        sys.exit(f"{run}: exit code {process.returncode}, expected {expected}\n{said}")
    return said


def losses(run):
    lines = (OUT / run / "losses.jsonl").read_text().splitlines()
    return [[loss for loss in json.loads(line)["losses"].values() if loss is not None] for line in lines]


def apart(one, other, limit):
    """The largest difference of two trainings' losses."""
    one, other = losses(one), losses(other)
    if [len(step) for step in one] != [len(step) for step in other]:
        sys.exit(f"{len(one)} steps beside {len(other)}")
    largest = max(abs(a - b) for one, other in zip(one, other) for a, b in zip(one, other))
    if not largest <= limit:
        sys.exit(f"losses differ by {largest:.2e}")
    return largest


def weights(run):
    folder = OUT / run / "checkpoints"
    return (folder / (folder / "latest").read_text().strip() / "weights.safetensors").read_bytes()


def processes(run):
    """Process numbers of the ranks of a run, in their order."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0].decode() != TRAINER or str(OUT / run).encode() not in words:
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, UnicodeDecodeError):
            continue
        rank = [int(word.split(b"=")[1]) for word in variables if word.startswith(b"OMPI_COMM_WORLD_RANK=")]
        if rank:
            found[rank[0]] = int(folder.name)
    return found


def step(run):
    try:
        return len((OUT / run / "losses.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


def hit(run, rank, number, sets=()):
    """Sends a signal to a rank when some steps are done; the exit code, the seconds until all ended, and what they said."""
    process = start(3, run, sets)
    while step(run) < 8 and process.poll() is None:
        time.sleep(0.02)
    if process.poll() is not None:
        sys.exit(f"{run} ended before the signal:\n{process.communicate()[0]}")
    os.kill(processes(run)[rank], number)
    began = time.monotonic()
    said, _ = process.communicate(timeout=30)
    seconds = time.monotonic() - began
    if processes(run):
        sys.exit(f"{run}: processes are left")
    return process.returncode, seconds, said


def main():
    lines = []

    def tell(line):
        print(line, flush=True)
        lines.append(line)

    rows = []
    methods = ("dd-gb", "famo", "graddrop")
    cases = [(scope, method, "group", 3e-4, 1e-5) for scope in ("boundary", "exact") for method in methods]
    # A rounding that opens a rectifier for one process and not for two moves gradients by 1e-5 at once, and the update moves all losses by as much as its
    # rate is large. So the rate of the demo, and batch norm, which passes it on to every sample, have limits of their own.
    cases += [(scope, "dd-gb", "batch", 3e-4, 1e-4) for scope in ("boundary", "exact")]
    cases += [("boundary", "dd-gb", "group", 3e-3, 1e-2)]
    for scope, method, norm, rate, limit in cases:
        sets = [f"max_steps={STEPS}", f"scope={scope}", f'balancer={{method="{method}"}}']
        sets += [f"model.backbone.norm={norm}", f"schedule.peak={rate}"]
        name = f"{scope}-{method}-{norm}-{rate}"
        train(1, f"{name}-1", sets)
        figures = []
        for ranks in (2, 4):
            train(ranks, f"{name}-{ranks}", sets)
            figures.append(f"{apart(f'{name}-1', f'{name}-{ranks}', limit):.1e}")
        rows.append(f"| {scope} | {method} | {norm} | {rate:.0e} | {figures[0]} | {figures[1]} | {limit:.0e} |")
        print(rows[-1], flush=True)
    lines += [f"Largest difference of a task's loss over {STEPS} steps in single precision, beside one process:", ""]
    lines += ["| scope | balancer | norm | rate | 2 ranks | 4 ranks | limit |", "|---|---|---|---|---|---|---|", *rows, ""]

    sets = ["schedule.peak=1e-4", "max_steps=24"]
    train(1, "one", sets)
    train(2, "two", sets)
    train(2, "again", sets)
    logs = [(OUT / run / "losses.jsonl").read_bytes() for run in ("two", "again")]
    if logs[0] != logs[1] or weights("two") != weights("again"):
        sys.exit("the same ranks twice give other bytes")
    tell(f"* {len(losses('two'))} steps by 2 ranks, twice: the same bytes of losses and weights; {apart('one', 'two', 1e-3):.1e} from one process.")

    code, seconds, said = hit("killed", 1, signal.SIGKILL, sets)
    if code == 0 or "rank 1" not in said:
        sys.exit(f"a killed rank is not named (exit code {code}):\n{said}")
    tell(f"* Rank 1 of 3 killed after step {step('killed')}: all ended in {seconds:.1f} s, exit code {code}, and mpirun names rank 1.")
    weights("killed")
    train(4, "killed", sets)
    tell(f"* Resumed by 4 ranks: its losses differ by {apart('one', 'killed', 1e-3):.1e} from those of one unbroken process.")

    code, seconds, said = hit("stopped", 2, signal.SIGTERM, sets)
    if code != 4 or "a checkpoint was written" not in said:
        sys.exit(f"a rank that was asked to stop: exit code {code}\n{said}")
    tell(f"* SIGTERM to rank 2 of 3: all stopped at step {step('stopped')} with a checkpoint, in {seconds:.1f} s, exit code 4.")
    train(1, "stopped", sets)
    tell(f"* Resumed by one process: losses differ by {apart('one', 'stopped', 1e-3):.1e}.")

    (OUT / "failing").mkdir()
    (OUT / "failing" / "checkpoints").write_text("no folder")
    said = train(2, "failing", sets, expected=3)
    if "error: rank 0 of 2: " not in said:
        sys.exit(f"a rank that fails does not say so:\n{said}")
    tell("* Rank 0 cannot write its checkpoint: it says so with its number, all end with exit code 3.")

    process = start(2, "plain", sets, PLAIN)
    said, _ = process.communicate()
    if process.returncode != 2 or "--features mpi" not in said:
        sys.exit(f"a program without MPI under mpirun: exit code {process.returncode}\n{said}")
    tell("* A program without the feature under mpirun: refused, exit code 2.")
    between_marks.write(Path(PAGE), "ranks", "\n".join(lines))


try:
    main()
finally:
    shutil.rmtree(OUT)
