"""Sends a run to a tracking server of MLflow and reads it back with MLflow's own client.

    python tests/parity/mlflow_check.py PROGRAM RUN

Starts `mlflow server` with SQLite on this machine, calls `PROGRAM track` twice, and compares every value with the run's logs. Prints what was compared.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

program, run = sys.argv[1], Path(sys.argv[2])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def lines(name):
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


with tempfile.TemporaryDirectory() as folder:
    address = f"http://127.0.0.1:{free_port()}"
    database = f"sqlite:///{folder}/mlflow.db"
    arguments = ["server", "--backend-store-uri", database, "--default-artifact-root", folder, "--workers", "1"]
    port = ["--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1]]
    log = open(Path(folder) / "server.log", "wb")
    server = subprocess.Popen([sys.executable, "-m", "mlflow", *arguments, *port], stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", int(port[-1])), timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        track = [program, "track", "--run", str(run), "--mlflow", address, "--experiment", "a check"]
        said = [subprocess.run(track, check=True, capture_output=True, text=True).stdout for _ in range(2)]
        assert said[0] == said[1], said
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("a check")
        [found] = client.search_runs([experiment.experiment_id])
        assert found.info.status == "FINISHED", found.info
        assert found.info.run_name == run.resolve().name, found.info
        compared = 0
        history = {}
        for task in lines("losses.jsonl")[0]["losses"]:
            sent = client.get_metric_history(found.info.run_id, f"loss/{task}")
            history[task] = {metric.step: metric.value for metric in sent}
            assert len(history[task]) == len(sent), "a value was sent twice"
        for line in lines("losses.jsonl"):
            for task, loss in line["losses"].items():
                if loss is not None:
                    assert history[task][line["step"]] == loss, (line["step"], task)
                    compared += 1
        epochs = [line for line in lines("epochs.jsonl") if line["validation_score"] is not None]
        scores = client.get_metric_history(found.info.run_id, "validation/macro_f1")
        assert [(score.step, score.value) for score in scores] == [
            (line["step"], line["validation_score"]) for line in epochs
        ]
        compared += len(scores)
        params = found.data.params
        print(f"MLflow {mlflow.__version__}: {compared} values equal, {len(params)} settings, sent twice and there once")
    finally:
        server.terminate()
        server.wait()
