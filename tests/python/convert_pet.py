"""Converts a folder of single-frame PET to one legacy converted enhanced PET with highdicom, and prints what it says of itself.

Usage: convert_pet.py FOLDER OUT.dcm
"""

import sys
import warnings
from pathlib import Path

import pydicom
from highdicom.legacy.sop import LegacyConvertedEnhancedPETImage

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
warnings.simplefilter("ignore")
slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
converted = LegacyConvertedEnhancedPETImage(
    slices,
    series_instance_uid="2.25.77",
    series_number=9,
    sop_instance_uid="2.25.78",
    instance_number=1,
)
converted.save_as(out)
print(f"{converted.NumberOfFrames} frames of {converted.SOPClassUID}")
