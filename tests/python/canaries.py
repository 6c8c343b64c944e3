"""Identifying text in studies, and the search for it in what was published.

    python tests/python/canaries.py plant DICOM_TREE          writes unique strings into every file, prints them as JSON
    python tests/python/canaries.py search CANARIES DATASET   searches raw bytes and every column of every Parquet file
"""

import json
import pathlib
import sys

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

# One or more elements of each text VR that can carry an identity. Manufacturer, model and kernel are published on purpose.
TEXT = {
    "PatientName": "PN", "OtherPatientNames": "PN", "ReferringPhysicianName": "PN", "OperatorsName": "PN",
    "PhysiciansOfRecord": "PN", "PerformingPhysicianName": "PN", "NameOfPhysiciansReadingStudy": "PN",
    "PatientBirthName": "PN", "PatientMotherBirthName": "PN", "ResponsiblePerson": "PN",
    "InstitutionName": "LO", "InstitutionalDepartmentName": "LO", "StudyDescription": "LO", "SeriesDescription": "LO",
    "ProtocolName": "LO", "DeviceSerialNumber": "LO", "OtherPatientIDs": "LO", "MedicalRecordLocator": "LO",
    "PatientAddress": "LO", "AdmissionID": "LO", "InsurancePlanIdentification": "LO", "MilitaryRank": "LO",
    "PatientReligiousPreference": "LO", "IssuerOfPatientID": "LO", "ServiceEpisodeID": "LO", "Allergies": "LO",
    "ContrastBolusAgent": "LO", "SoftwareVersions": "LO", "RequestingService": "LO", "CurrentPatientLocation": "LO",
    "StationName": "SH", "StudyID": "SH", "AccessionNumber": "SH", "Occupation": "SH", "EthnicGroup": "SH",
    "PatientTelephoneNumbers": "SH", "PerformedProcedureStepID": "SH", "RequestedProcedureID": "SH",
    "InstitutionAddress": "ST", "CommentsOnThePerformedProcedureStep": "ST", "DerivationDescription": "ST",
    "AdditionalPatientHistory": "LT", "PatientComments": "LT", "ImageComments": "LT", "StudyComments": "LT",
    "TextComments": "LT", "LabelText": "UT", "RequestAttributesNote": None,
}


def plant(tree: str) -> None:
    canaries = set()
    for number, path in enumerate(sorted(pathlib.Path(tree).rglob("*.dcm"))):
        data = pydicom.dcmread(path)
        study = path.relative_to(tree).parts[0]
        counter = 0

        def canary() -> str:
            nonlocal counter
            counter += 1
            # 16 characters at the most, for SH; the same in every file of a study.
            text = f"Cnry{abs(hash_of(study)) % 10**6:06d}x{counter}"
            canaries.add(text)
            return text

        for keyword, vr in TEXT.items():
            if vr is not None and pydicom.datadict.tag_for_keyword(keyword):
                setattr(data, keyword, canary())
        data.PatientID = canary()
        data.PatientBirthDate, data.StudyDate, data.SeriesDate = "19190729", "20190817", "20190817"
        canaries.update(["19190729", "20190817"])
        block = data.private_block(0x0019, "CANARY", create=True)
        for offset, vr in enumerate(["LO", "SH", "LT", "UT", "PN"]):
            block.add_new(offset, vr, canary())
        nested = Dataset()
        nested.CodeMeaning, nested.PatientName = canary(), canary()
        inner = Dataset()
        inner.TextValue, inner.PersonName = canary(), canary()
        nested.ContentSequence = Sequence([inner])
        data.RequestAttributesSequence = Sequence([nested])
        # Raw identifiers are canaries as they are; the annotation table refers to them.
        canaries.update(map(str, [data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID, data.FrameOfReferenceUID]))
        data.save_as(path)
        named = path.with_name(f"{canary()}-{number}.dcm")
        path.rename(named)
    print(json.dumps(sorted(canaries)))


def hash_of(text: str) -> int:
    return sum(ord(letter) * 131**place for place, letter in enumerate(text))


def search(canaries: str, dataset: str) -> None:
    import pyarrow.parquet as pq

    wanted = [text.encode() for text in json.load(open(canaries, encoding="utf-8"))]
    hits = []
    for path in sorted(pathlib.Path(dataset).rglob("*")):
        if not path.is_file():
            continue
        haystacks = [path.read_bytes(), str(path.relative_to(dataset)).encode()]
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            haystacks.append(str(table.schema.metadata).encode())
            narrow = [name for name in table.column_names if not name.startswith("voxels_")]
            haystacks.append(json.dumps(table.select(narrow).to_pylist(), default=str).encode())
        hits += [f"{path.name}: {text.decode()}" for text in wanted for haystack in haystacks if text in haystack]
    print(f"{len(wanted)} canaries, {len(hits)} hits")
    if hits:
        sys.exit("\n".join(hits[:20]))


if sys.argv[1] == "plant":
    plant(sys.argv[2])
else:
    search(sys.argv[2], sys.argv[3])
