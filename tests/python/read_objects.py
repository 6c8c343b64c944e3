"""Reads the CT, SEG, SR and PET of a folder with pydicom and highdicom and prints what they hold; see tests/it/validators.rs."""

import pathlib
import sys

import highdicom
import pydicom

folder = pathlib.Path(sys.argv[1])
ct = pydicom.dcmread(folder / "IM0001.dcm")
seg = highdicom.seg.segread(folder / "SEG.dcm")
voxels = sum(int(seg.get_pixels_by_source_instance(
    [item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence],
    segment_numbers=[number],
    ignore_spatial_locations=True,
    assert_missing_frames_are_empty=True,
).sum()) for number in seg.segment_numbers)
sr = highdicom.sr.srread(folder / "SR.dcm")
groups = sr.content.get_volumetric_roi_measurement_groups()
sizes = {float(measurement.value) for group in groups for measurement in group.get_measurements()}
pet = sorted(folder.glob("PT*.dcm"))
ready = all(pydicom.dcmread(path).RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 3e8 for path in pet)
print(
    f"CT {ct.pixel_array.size} pixels, SEG {seg.number_of_segments} segments with {voxels} voxels, "
    f"SR {len(groups)} groups of {'/'.join(f'{size:g}' for size in sorted(sizes))} mm, "
    f"PT {len(pet)} slices {'with' if ready else 'without'} SUV"
)
