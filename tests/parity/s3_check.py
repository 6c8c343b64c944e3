"""A dataset in a bucket: published, read, raced for, killed half-way, through faults. The programs against moto's S3 server.

    python tests/parity/s3_check.py FOLDER-OF-PROGRAMS [FAULTS] [KILLS]

Needs tests/parity/s3_requirements.txt from PyPI. The server runs in this process on a free port of this machine. mtids-prep has to be there; what needs
mtids-audit or mtids-train is said not to be run where they are not. Prints what was compared.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from s3_server import Server

if len(sys.argv) < 2:
    sys.exit(__doc__)
programs = Path(sys.argv[1]).resolve()
faults_wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 300
kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
root = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-the-check"
server = Server()
client = boto3.client(
    "s3",
    endpoint_url=server.address,
    region_name="us-east-1",
    aws_access_key_id="check",
    aws_secret_access_key=SECRET,
    config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=64),
)
client.create_bucket(Bucket="lung")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MTIDS_", "AWS_")) and "proxy" not in name.lower()}
    bucket = {
        "AWS_ACCESS_KEY_ID": "check",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.address,
        "AWS_ALLOW_HTTP": "true",
    }
    return kept | bucket | more


def run(program, *arguments, code=0, **more):
    command = [str(programs / program), *map(str, arguments)]
    done = subprocess.run(command, cwd=root, env=environment(**more), capture_output=True, text=True)
    said = f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), f"exit code {done.returncode}\n{said}"
    assert SECRET not in said and "panicked" not in said, said
    return done


def begun(*arguments):
    command = [str(programs / "mtids-prep"), *map(str, arguments)]
    return subprocess.Popen(command, cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def push(dataset, url, *more):
    return json.loads(run("mtids-prep", "push", dataset, url, "--json", *more).stdout)


def verified(place, **more):
    """Digest of a dataset whose every byte is as published."""
    found = json.loads(run("mtids-prep", "verify", place, "--json", **more).stdout)
    assert found["damage"] == [] and found["stale_copies"] == [], found
    return found["dataset_digest"]


def has(program):
    if (programs / program).exists():
        return True
    print(f"{program} is not there: not run with it")
    return False


def build(place):
    """Two versions of a small dataset."""
    cohort = place / "cohort"
    run("mtids-prep", "phantom", "--out", cohort, *sets("patients=12", "dimensions=[56,56,24]", "spacing_mm=[6.0,6.0,9.5]"))
    for name, jitter in (("dataset", "1"), ("other", "2")):
        fixed = ["build", "--config", "pipelines/demo-short/dataset.toml", "--data", cohort / "dicom", "--annotations", cohort / "annotations.csv"]
        run("mtids-prep", *fixed, *sets("patients_per_shard=1", f"jitter_mm={jitter}"), "--out", place / name, code=(0, 1))
    return place / "dataset", place / "other"


def sets(*settings):
    return [word for setting in settings for word in ("--set", setting)]


def shards(dataset):
    return {path.relative_to(dataset).as_posix() for path in (dataset / "shards").rglob("*.parquet")}


def publish_and_read(dataset, place):
    digest = verified(dataset)
    first = push(dataset, "s3://lung/dataset")
    assert first["written_files"] == first["files"] and first["dataset_digest"] == digest, first
    assert verified("s3://lung/dataset") == digest
    again = push(dataset, "s3://lung/dataset", "--reverify")
    assert again["written_files"] == 0, again
    # One object is lost, another one damaged.
    names = sorted(shards(dataset))
    client.delete_object(Bucket="lung", Key=f"dataset/{names[0]}")
    content = bytearray((dataset / names[1]).read_bytes())
    content[len(content) // 2] ^= 1
    client.put_object(Bucket="lung", Key=f"dataset/{names[1]}", Body=bytes(content))
    said = run("mtids-prep", "verify", "s3://lung/dataset", code=1).stdout
    assert names[0] in said and names[1] in said, said
    assert push(dataset, "s3://lung/dataset")["written_files"] == 1
    assert push(dataset, "s3://lung/dataset", "--reverify")["written_files"] == 1
    assert verified("s3://lung/dataset") == digest
    run("mtids-prep", "pull", "s3://lung/dataset", place / "pulled")
    run("mtids-prep", "diff", dataset, place / "pulled")
    same = {path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file() and not path.relative_to(dataset).parts[0].startswith(".")}
    assert all((dataset / path).read_bytes() == (place / "pulled" / path).read_bytes() for path in same)
    print(f"published, verified, repaired and pulled: {first['files']} files, {first['written_bytes']} bytes, dataset digest {digest}")
    return digest


def cached(dataset, place):
    """The second reading through a cache asks the server for less, and a damaged cache is no harm."""
    cache = {"MTIDS_CACHE_DIR": str(place / "cache"), "MTIDS_CACHE_MIB": "64"}

    def asked(**more):
        before = len(server.requests)
        run("mtids-prep", "diff", "s3://lung/dataset", dataset, **more)
        return sum(request.startswith("GET") for request in server.requests[before:])

    without, filling, filled = asked(), asked(**cache), asked(**cache)
    files = [path for path in (place / "cache").rglob("*") if path.is_file()]
    assert files and filled < filling == without, (without, filling, filled)
    for path in files:
        path.write_bytes(b"x" * path.stat().st_size)
    assert asked(**cache) == filling, "a damaged part was taken from the cache"
    run("mtids-prep", "diff", "s3://lung/dataset", dataset, code=2, MTIDS_CACHE_DIR="only")
    print(f"cache: {without} requests for bytes without, {filled} with it; a damaged one is read again from the server")


def audit_and_train(dataset, place):
    if has("mtids-audit"):
        for name, where in (("here", dataset), ("there", "s3://lung/dataset")):
            run("mtids-audit", "report", where, "--out", place / f"audit-{name}", "--pictures", 1, code=(0, 1))
        for file in ("audit.json", "worklist.csv", "audit.html"):
            assert (place / "audit-here" / file).read_bytes() == (place / "audit-there" / file).read_bytes(), file
        print("audit: the same report, worklist and pictures")
    if has("mtids-train"):
        cache = {"MTIDS_CACHE_DIR": str(place / "cache-of-training"), "MTIDS_CACHE_MIB": "64"}
        for name, where in (("here", dataset), ("there", "s3://lung/dataset")):
            fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", where, "--run", place / f"run-{name}"]
            run("mtids-train", *fixed, *sets("max_steps=8"), **cache)
            run("mtids-train", "evaluate", "--run", place / f"run-{name}", "--dataset", where, code=(0, 1), **cache)
        losses = [(place / f"run-{name}" / "losses.jsonl").read_bytes() for name in ("here", "there")]
        assert losses[0] == losses[1], "another training"
        print("training: the same losses, and evaluated")


def refusals(dataset):
    said = run("mtids-prep", "push", dataset, "s3://absent/dataset", code=3).stderr
    assert "no such bucket" in said, said
    said = run("mtids-prep", "verify", "s3://lung/absent", code=3).stderr
    assert "is not a dataset" in said, said
    said = run("mtids-prep", "push", dataset, f"{server.address}/lung/dataset", code=2).stderr
    assert "is no bucket" in said, said
    said = run("mtids-prep", "verify", f"{server.address}/lung/dataset", code=3).stderr
    assert "no permission" in said, said
    said = run("mtids-prep", "verify", "gs://lung/dataset", code=2).stderr
    assert "not supported" in said, said
    said = run("mtids-prep", "verify", "s3://lung/dataset", code=2, AWS_ALLOW_HTTP="").stderr
    assert "AWS_ALLOW_HTTP" in said, said
    run("mtids-prep", "push", dataset, "s3://lung/logged", RUST_LOG="trace")
    print("refusals say what is wrong; the secret is in no message and no line of the finest log")


def from_web_server(dataset, place):
    """The same objects without signature, as a web server has them."""
    for one in client.list_objects_v2(Bucket="lung", Prefix="dataset/")["Contents"]:
        client.put_object_acl(Bucket="lung", Key=one["Key"], ACL="public-read")
    url = f"{server.address}/lung/dataset"
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert verified(url, **nothing) == verified(dataset)
    run("mtids-prep", "pull", url, place / "from-web", **nothing)
    run("mtids-prep", "diff", dataset, place / "from-web")
    print("from a web server: verified and pulled")


def one_of_racing_puts():
    """The server that all this relies on lets one of 1,000 racing puts win."""
    won, lost = [], []

    def race(number):
        try:
            client.put_object(Bucket="lung", Key="raced", Body=str(number).encode(), IfNoneMatch="*")
            won.append(number)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412, error
            lost.append(number)

    def several(first):
        for number in range(first, 1000, 40):
            race(number)

    threads = [threading.Thread(target=several, args=(first,)) for first in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 999, (len(won), len(lost))
    print("of 1,000 racing puts one won")


def racing_publications(dataset, other):
    """Two writers who have seen the same state: one wins, the other is told."""
    digests = {str(place): verified(place) for place in (dataset, other)}
    for number in range(10):
        url = f"s3://lung/raced-{number}"
        server.meeting = threading.Barrier(2)
        # The probes of both writers are no manifests and do not wait.
        children = {str(place): begun("push", place, url) for place in (dataset, other)}
        ended = {place: (child.communicate(), child.returncode) for place, child in children.items()}
        server.meeting = None
        codes = sorted(code for _, code in ended.values())
        assert codes == [0, 2], ended
        winner = next(place for place, (_, code) in ended.items() if code == 0)
        loser = next(said[1] for said, code in ended.values() if code == 2)
        assert "another writer has published here" in loser, loser
        assert json.loads(run("mtids-prep", "verify", url, "--json").stdout)["dataset_digest"] == digests[winner]
        assert len(server.published[f"/lung/raced-{number}/manifest.json"]) == 1
    print("two writers at once, 10 times: one won, the other was told, the dataset is the winner's")


def killed_uploads(dataset, other):
    """A push is killed at any moment; what was published stays, and the next push completes it."""
    old, new = verified(dataset), verified(other)
    push(dataset, "s3://lung/killed")
    server.delay = 0.02
    done = amid = 0
    versions = [(other, new), (dataset, old)]
    while done < kills:
        target, digest = versions[done % 2]
        before = verified("s3://lung/killed")
        # The files of the version to come have to be uploaded again.
        for name in shards(target) - shards(versions[(done + 1) % 2][0]):
            client.delete_object(Bucket="lung", Key=f"killed/{name}")
        url = "s3://lung/killed"
        seen = len(server.requests)
        child = begun("push", target, url, "--parallel", "2")
        puts = random.randint(1, 12)
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            if sum(request.startswith("PUT") for request in server.requests[seen:]) >= puts:
                break
            time.sleep(0.001)
        child.kill()
        child.communicate()
        after = json.loads(run("mtids-prep", "verify", url, "--json", code=(0, 1)).stdout)
        assert after["damage"] == [] and after["dataset_digest"] in (before, digest), after
        amid += after["dataset_digest"] == before
        push(target, url)
        assert verified(url) == digest
        done += 1
    server.delay = 0.0
    assert amid > 0
    print(f"{done} uploads killed, {amid} of them before they were published: the older dataset was whole, the next push completed the new one")


def through_faults(dataset, other, place):
    """Several publish and read at once, each at places of their own."""
    digests = {place: verified(place) for place in (dataset, other)}
    before = len(server.requests)
    # Eight requests in a row meet a fault once in four million times.
    server.share = 0.15
    published = []

    def lane(number):
        rounds = 0
        while sum(server.faults.values()) < faults_wanted:
            target = (dataset, other)[rounds % 2]
            # Always a new place, so that all files are uploaded.
            url = f"s3://lung/faults-{number}-{rounds}"
            push(target, url, "--parallel", "16")
            published.append(url)
            assert len(server.published[f"/{url.removeprefix('s3://')}/manifest.json"]) == 1, "published twice"
            assert json.loads(run("mtids-prep", "verify", url, "--json").stdout)["dataset_digest"] == digests[target]
            shutil.rmtree(place / f"through-{number}", ignore_errors=True)
            run("mtids-prep", "pull", url, place / f"through-{number}", "--parallel", "16")
            assert verified(place / f"through-{number}") == digests[target]
            rounds += 1

    with ThreadPoolExecutor(6) as lanes:
        list(lanes.map(lane, range(6)))
    server.share = 0.0
    print(
        f"{sum(server.faults.values())} faults in {len(server.requests) - before} requests {server.faults}: {len(published)} datasets published "
        "once each, every byte read as published"
    )


with tempfile.TemporaryDirectory() as place:
    place = Path(place)
    dataset, other = build(place)
    publish_and_read(dataset, place)
    cached(dataset, place)
    refusals(dataset)
    from_web_server(dataset, place)
    one_of_racing_puts()
    racing_publications(dataset, other)
    killed_uploads(dataset, other)
    through_faults(dataset, other, place)
    audit_and_train(dataset, place)
server.stop()
