"""Seconds to read the segments of the SEG that `read_segmentation` wrote, with highdicom; its peer.

    python scripts/benchmarks/read_segmentation.py FOLDER SEGMENTS
"""

import pathlib
import sys
import time

import highdicom

start = time.perf_counter()
seg = highdicom.seg.segread(pathlib.Path(sys.argv[1]) / "many-segments.dcm")
slices = [item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
voxels = 0
for number in seg.segment_numbers:
    # One segment at a time: all of them together would not fit into memory.
    mask = seg.get_pixels_by_source_instance(
        slices, segment_numbers=[number], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    voxels += int(mask.sum())
print(f"{time.perf_counter() - start:.6f} {voxels}")
