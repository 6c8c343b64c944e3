"""Fetches from an Orthanc server, builds, and sends answers back: the programs against somebody else's DICOMweb.

    python tests/parity/orthanc_check.py FOLDER-OF-PROGRAMS [STUDIES] [KILLS]

Needs Orthanc with its DICOMweb plugin (Debian: orthanc, orthanc-dicomweb), and nothing from PyPI. It installs nothing. The server is started here with a
configuration and a database of its own, on a free port of this machine, once with OverwriteInstances on and once with it off. Prints what was compared.
"""

import base64
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

if len(sys.argv) < 2:
    sys.exit(__doc__)
programs = Path(sys.argv[1]).resolve()
studies = int(sys.argv[2]) if len(sys.argv) > 2 else 20
kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
root = Path(__file__).resolve().parents[2]
orthanc = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
plugins = [Path(place) for place in ("/usr/share/orthanc/plugins", "/usr/lib/orthanc/plugins", "/usr/local/share/orthanc/plugins")]
plugin = [folder for folder in plugins if list(folder.glob("*OrthancDicomWeb*"))]
if not orthanc or not plugin:
    print("needs Orthanc with its DICOMweb plugin; on Debian: apt-get install orthanc orthanc-dicomweb")
    sys.exit(2)

USER, PASSWORD = "mtids", "a-password"
VIEWS = "views={patch={size=[6,12,12],spacing_mm=[9.5,6.0,6.0]}}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """An Orthanc of its own, until it is stopped."""

    def __init__(self, folder, overwrite):
        folder.mkdir()
        self.address = f"http://127.0.0.1:{free_port()}"
        configuration = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "HttpPort": int(self.address.rsplit(":", 1)[1]),
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "OverwriteInstances": overwrite,
            "Plugins": [str(plugin[0])],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self.log = open(folder / "orthanc.log", "wb")
        self.process = subprocess.Popen([orthanc, str(folder / "orthanc.json")], stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                self.call("/system")
                break
            except OSError:
                time.sleep(0.2)
        else:
            sys.exit(f"Orthanc did not start: {(folder / 'orthanc.log').read_text()}")

    @property
    def dicomweb(self):
        return f"{self.address}/dicom-web"

    def call(self, path, data=None, method=None):
        text = self.call_raw(path, data, method)
        return json.loads(text) if text else None

    def call_raw(self, path, data=None, method=None):
        request = urllib.request.Request(self.address + path, data=data, method=method)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        request.add_header("Accept", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)
        self.log.close()

    def count(self, modality):
        """Instances of a modality, by Orthanc's own index."""
        query = {"Level": "Instance", "Query": {"Modality": modality}}
        return len(self.call("/tools/find", json.dumps(query).encode()))


def environment(password=PASSWORD):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MTIDS_")}
    return kept | {"MTIDS_DICOMWEB_USER": USER, "MTIDS_DICOMWEB_PASSWORD": password}


def run(program, *arguments, code=0, password=PASSWORD):
    command = [str(programs / program), *map(str, arguments)]
    done = subprocess.run(command, cwd=root, env=environment(password), capture_output=True, text=True)
    said = f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), f"exit code {done.returncode}\n{said}"
    assert PASSWORD not in done.stdout + done.stderr and "panicked" not in done.stderr, said
    return done


def fetch(server, out, *more, code=0, password=PASSWORD):
    arguments = ["fetch", "--server", server.dicomweb, "--out", out, "--json", "--attempts", "2", *more]
    done = run("mtids-prep", *arguments, code=code, password=password)
    return json.loads(done.stdout) if done.stdout else done.stderr


def build(dicom, cohort, out):
    fixed = ["build", "--config", "pipelines/demo-short/dataset.toml", "--set", VIEWS, "--annotations", cohort / "annotations.csv"]
    run("mtids-prep", *fixed, "--data", dicom, "--out", out)
    return (out / "manifest.json").read_bytes()


def objects(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def begun(server, out, *more):
    """A fetch of everything that goes on beside this check."""
    command = [programs / "mtids-prep", "fetch", "--server", server.dicomweb, "--out", out, "--patient", "*", *more]
    return subprocess.Popen(command, cwd=root, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed(server, out, seconds):
    """Fetches and is killed after a time; false where it ended before."""
    child = begun(server, out)
    try:
        child.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        return child.returncode == -signal.SIGKILL


def killed_again_and_again(server, out, total):
    """Kills fetches into one folder, at any time that a whole one takes; says how many of them left a part of the objects."""
    started = time.monotonic()
    assert fetch(server, out, "--patient", "*")["fetched"] == total
    lasted = time.monotonic() - started
    shutil.rmtree(out)
    done = parts = 0
    while done < kills:
        if killed(server, out, random.uniform(0.003, lasted)):
            done += 1
            parts += 0 < len(objects(out / "dicom")) < total
        else:
            # It came to its end: from the beginning again.
            shutil.rmtree(out)
    assert done == kills and (parts > 0 or kills < 5), f"{done} kills, {parts} of them amid objects"
    return parts


def goes_away(server, out, whole):
    """The server is killed amid a fetch into a new folder."""
    child = begun(server, out, "--attempts", "2", "--parallel", "1")
    deadline = time.monotonic() + 60
    while not (out / "dicom").exists() or not objects(out / "dicom"):
        assert child.poll() is None and time.monotonic() < deadline, "no object came"
        time.sleep(0.002)
    server.stop(signal.SIGKILL)
    said = child.communicate(timeout=120)[1]
    assert child.returncode == 3 and "no answer" in said, (child.returncode, said)
    came = [path.read_bytes() for path in objects(out / "dicom")]
    assert 0 < len(came) < len(whole) and set(came) <= whole, f"{len(came)} of {len(whole)} objects"
    return len(came)


def check(folder, cohort, overwrite):
    server = Server(folder / "server", overwrite)
    try:
        files = objects(cohort / "dicom")
        ids = [server.call("/instances", path.read_bytes())["ID"] for path in files]
        out = folder / "studies"
        parts = killed_again_and_again(server, out, len(files))
        whole = fetch(server, out, "--patient", "*")
        assert whole["fetched"] + whole["kept"] == len(files) and whole["studies"] == studies, whole
        received = objects(out / "dicom")
        assert {path.read_bytes() for path in received} == {path.read_bytes() for path in files}, "other bytes than were stored"
        same = build(out / "dicom", cohort, folder / "of-server") == build(cohort / "dicom", cohort, folder / "of-folder")
        assert same, "another dataset than that of the folder"

        said = fetch(server, folder / "never", "--patient", "*", code=2, password="wrong")
        assert "HTTP status 401" in said, said
        missing = fetch(server, out, "--study", "1.2.3.4", code=(1, 3))
        assert "1.2.3.4" in str(missing), missing

        # Removed, added again, and other bytes under the same UID.
        server.call(f"/instances/{ids[0]}", method="DELETE")
        assert len(fetch(server, out, "--patient", "*", code=1)["removed"]) == 1
        server.call("/instances", files[0].read_bytes())
        assert fetch(server, out, "--patient", "*")["removed"] == []
        changed = bytearray(files[0].read_bytes())
        changed[-1] ^= 1
        server.call("/instances", bytes(changed))
        replaced = fetch(server, out, "--patient", "*", "--reverify", code=(0, 1))["replaced"]
        assert len(replaced) == (1 if overwrite else 0), (overwrite, replaced)

        answer = folder / "answer"
        # The phantom studies hold such objects themselves.
        before = {name: server.count(name) for name in ("SEG", "SR")}
        fixed = ["predict", "--measure-only", "--config", "pipelines/demo-short/dataset.toml", "--out", answer]
        for _ in range(2):
            run("mtids-train", *fixed, "--data", cohort / "dicom", "--annotations", cohort / "annotations.csv", "--send", server.dicomweb, code=(0, 1))
        sent = len(objects(answer / "dicom"))
        found = {name: server.count(name) - before[name] for name in before}
        assert sum(found.values()) == sent and sent >= 2, (before, found, sent)

        stored = {bytes(server.call_raw(f"/instances/{one}/file")) for one in server.call("/instances")}
        came = goes_away(server, folder / "gone", stored)
        said = fetch(server, out, "--patient", "*", code=3)
        assert "no answer" in said, said
        kept = {path.read_bytes() for path in objects(out / "dicom")}
        assert len(kept) == len(files), "something was lost when the server went away"
        print(
            f"OverwriteInstances {overwrite}: {studies} studies, {len(files)} objects, killed {kills} times, {parts} of them amid objects, same bytes "
            f"and same dataset; {sent} objects sent back, found as {found}; {came} objects kept when the server was killed"
        )
    finally:
        if server.process.poll() is None:
            server.stop()


with tempfile.TemporaryDirectory() as place:
    place = Path(place)
    cohort = place / "cohort"
    size = ["--set", f"patients={studies}", "--set", "dimensions=[56,56,24]", "--set", "spacing_mm=[6.0,6.0,9.5]"]
    run("mtids-prep", "phantom", "--out", cohort, *size)
    for overwrite in (True, False):
        folder = place / f"overwrite-{overwrite}"
        folder.mkdir()
        check(folder, cohort, overwrite)
