"""Opens the DICOM objects of `mtids-train predict` with pydicom and highdicom, and compares them with its prediction.json.

Argument: the folder of the answer. Prints `SEG <segments> segments, SR <groups> groups, <points> points`, or fails with what differs.
"""

import json
import sys
from pathlib import Path

import highdicom
import numpy
import pydicom

# How far from its segment a centre may lie, mm: about a voxel of the coarse phantoms.
BESIDE_MM = 4.5

answer_folder = Path(sys.argv[1])
answer = json.loads((answer_folder / "prediction.json").read_text())
segments_read = groups_read = points_read = 0
for patient in answer["patients"]:
    nodes = {f"node {node['number']}": node for node in patient["nodes"]}
    labels = {
        name: f"{name}: {node['status']['region']}, {'metastatic' if node['status']['metastatic'] else 'benign'}"
        for name, node in nodes.items()
    }
    for name in patient["objects"]:
        path = answer_folder / "dicom" / name
        if name.endswith(".seg.dcm"):
            segmentation = highdicom.seg.segread(path)
            assert segmentation.PatientID == patient["patient_id"]
            for number in segmentation.segment_numbers:
                description = segmentation.get_segment_description(number)
                node = nodes[description.tracking_id]
                assert description.segment_label == labels[description.tracking_id]
                volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True)
                voxels = numpy.argwhere(volume.array > 0)
                assert len(voxels) > 0
                # Points are snapped to soft tissue nearby before a region is grown, so the centre may lie beside it.
                places = volume.map_indices_to_reference(voxels)
                low, high = places.min(axis=0) - BESIDE_MM, places.max(axis=0) + BESIDE_MM
                center = numpy.array(node["center_mm"])
                assert ((center >= low) & (center <= high)).all(), (description.segment_label, center, low, high)
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
                items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}
                node = nodes[items["Tracking Identifier"].TextValue]
                word = "metastatic" if node["status"]["metastatic"] else "benign"
                meaning = lambda name: items[name].ConceptCodeSequence[0].CodeMeaning
                assert meaning("Status of the lymph node") == word
                assert meaning("Region of the IASLC map") == node["status"]["region"]
                probability = float(items["Probability of metastasis"].MeasuredValueSequence[0].NumericValue)
                assert abs(probability - node["status"]["probability"]) < 1e-9, (probability, node["status"])
                if "Image Region" in items:
                    points_read += 1
                    point = numpy.array(items["Image Region"].GraphicData)
                    assert abs(point - numpy.array(node["center_mm"])).max() < 1e-3
                else:
                    assert "Referenced Segment" in items
                groups_read += 1
    assert groups_read > 0
print(f"SEG {segments_read} segments, SR {groups_read} groups, {points_read} points")
