"""Opens the DICOM objects of `mtids-train predict` with pydicom and highdicom, and compares them with its prediction.json.

Argument: the folder of the answer. Prints `SEG <segments> segments (<grown> grown), SR <groups> groups, <points> points`, or fails with
what differs.
"""

import json
import sys
from pathlib import Path

import highdicom
import numpy
import pydicom

# How far from a region grown from it a centre may lie, mm: it is snapped to soft tissue first, about a voxel of the coarse phantoms.
BESIDE_MM = 4.5
# Measurements of a report, and the names of the measures in the answer.
MEASURES = {
    "Short Axis": "short_axis_mm",
    "Long Axis": "long_axis_mm",
    "Volume": "volume_mm3",
    "Mean": "mean_hu",
}

answer_folder = Path(sys.argv[1])
answer = json.loads((answer_folder / "prediction.json").read_text())
weights = [run["weights"] for run in answer["runs"]]
segments_read = grown_read = groups_read = points_read = 0


def word(node):
    return "metastatic" if node["status"]["metastatic"] else "benign"


def label(name, node):
    return f"{name}: {node['status']['region']}, {word(node)}" if node["status"] else name


def caution(node):
    outside = node["outside_training"]
    return f"caution, unlike the training: {'; '.join(outside)}" if outside else None


def check_segment(segmentation, number, nodes):
    description = segmentation.get_segment_description(number)
    node = nodes[description.tracking_id]
    assert description.segment_label == label(description.tracking_id, node)
    said = description.SegmentDescription
    if node["status"]:
        assert f"probability of metastasis {node['status']['probability']:.4f}" in said, said
    if caution(node):
        assert caution(node) in said, said
    volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True)
    voxels = numpy.argwhere(volume.array > 0)
    assert len(voxels) > 0
    places = volume.map_indices_to_reference(voxels)
    center = numpy.array(node["center_mm"])
    grown = "voxels grown from the candidate's centre" in said
    if grown:
        low, high = places.min(axis=0) - BESIDE_MM, places.max(axis=0) + BESIDE_MM
        assert ((center >= low) & (center <= high)).all(), (said, center, low, high)
    else:
        assert "voxels of the candidate's mask" in said, said
        # Half a voxel along each axis of the grid.
        middle, index = volume.map_reference_to_indices(numpy.stack([places.mean(axis=0), center]))
        assert abs(middle - index).max() <= 0.5, (said, middle, index)
    return grown


def check_group(group, nodes):
    items = {}
    for item in group.ContentSequence:
        items.setdefault(item.ConceptNameCodeSequence[0].CodeMeaning, []).append(item)
    codes = lambda name: [item.ConceptCodeSequence[0].CodeMeaning for item in items.get(name, [])]
    number = lambda name: float(items[name][0].MeasuredValueSequence[0].NumericValue)
    text = lambda name: items[name][0].TextValue
    node = nodes[text("Tracking Identifier")]
    assert codes("Station of the IASLC map, as given") == node["given_stations"]
    assert text("Algorithm Name") == "mtids"
    if node["status"]:
        assert codes("Status of the lymph node") == [word(node)]
        assert codes("Region of the IASLC map") == [node["status"]["region"]]
        probability = number("Probability of metastasis")
        assert abs(probability - node["status"]["probability"]) < 1e-9, (probability, node["status"])
        assert text("Algorithm Parameters") == "weights " + " ".join(weights)
    measures = node["mask"] or node["grown"]
    for meaning, name in MEASURES.items():
        assert (meaning in items) == (name in measures), (meaning, measures)
        if name in measures:
            assert abs(number(meaning) - measures[name]) <= 1e-5 * max(1, abs(measures[name])), (name, measures)
    assert [item.TextValue for item in items.get("Comment", [])] == [said for said in [caution(node)] if said]
    if "Image Region" in items:
        region = items["Image Region"][0]
        assert region.GraphicType == "POINT"
        assert abs(numpy.array(region.GraphicData) - numpy.array(node["center_mm"])).max() < 1e-3
        return True
    assert "Referenced Segment" in items
    return False


for patient in answer["patients"]:
    nodes = {f"node {node['number']}": node for node in patient["nodes"]}
    for name in patient["objects"]:
        path = answer_folder / "dicom" / name
        if name.endswith(".seg.dcm"):
            segmentation = highdicom.seg.segread(path)
            assert segmentation.PatientID == patient["patient_id"]
            for number in segmentation.segment_numbers:
                grown_read += check_segment(segmentation, number, nodes)
                segments_read += 1
        else:
            report = pydicom.dcmread(path)
            assert report.PatientID == patient["patient_id"]
            parsed = highdicom.sr.srread(path).content
            with_outline = parsed.get_volumetric_roi_measurement_groups()
            with_point = parsed.get_planar_roi_measurement_groups()
            groups = report.ContentSequence[-1].ContentSequence
            assert len(with_outline) + len(with_point) == len(groups)
            for group in groups:
                points_read += check_group(group, nodes)
                groups_read += 1
    assert groups_read > 0
print(f"SEG {segments_read} segments ({grown_read} grown), SR {groups_read} groups, {points_read} points")
