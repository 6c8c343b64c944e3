"""Writes crates/mtids-dicom/tests/data: one made-up slice in encodings of which no public file lies beside the project.

    pip install pydicom==3.0.2 numpy imagecodecs==2026.3.6 pylibjpeg-openjpeg==2.6.0
    python tests/python/make_codec_fixtures.py

The encoders are other people's (OpenJPH, libjxl, OpenJPEG through imagecodecs and pydicom), so that the decoders are not tested against
themselves. The files are small and committed; this script is run by hand when an encoding is added.
"""

import gzip
import pathlib
import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID, CTImageStorage, DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian,
    HTJ2KLossless, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLossless, RLELossless,
)

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates/mtids-dicom/tests/data"
ROWS, COLUMNS = 40, 56
JPEGXLLossless = UID("1.2.840.10008.1.2.4.110")
DEFLATED_FRAME = UID("1.2.840.10008.1.2.8.1")


def image(bits, seed):
    """A disc with noise around it: smooth and rough parts, the smallest and the largest value."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    top = 2**bits - 1
    values = (top * 0.25 + top * 0.4 * (np.hypot(y - 20, x - 25) < 12) + random.normal(0, top * 0.01, (ROWS, COLUMNS))).clip(0, top)
    values = values.astype(np.uint16)
    values[0, 0], values[0, 1] = 0, top
    return values


def slice_of(bits, signed=False):
    one = Dataset()
    one.SOPClassUID = CTImageStorage
    one.SOPInstanceUID = "2.25.1001"
    one.PatientID, one.PatientName = "MADE-UP", "MADE^UP"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "2.25.1", "2.25.2", "2.25.3"
    one.Modality, one.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness = [0.7, 0.8], 2
    one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, bits, bits - 1, int(signed)
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    return one


def save(one, name, syntax, data, fragments=None):
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.PixelData = data
    one["PixelData"].VR = "OW" if fragments is None else "OB"
    if fragments is not None:
        one["PixelData"].is_undefined_length = True
    if syntax in (JPEGXLLossless, DEFLATED_FRAME):
        # Newer than pydicom's list.
        one.preamble = bytes(128)
        one.save_as(OUT / name, implicit_vr=False, little_endian=True, force_encoding=True)
    else:
        one.save_as(OUT / name, enforce_file_format=True)


def compressed(bits, name, syntax, encoded):
    one = slice_of(bits)
    save(one, name, syntax, encapsulate([encoded]), fragments=1)


def group(**sequences):
    item = Dataset()
    for key, content in sequences.items():
        inner = Dataset()
        for name, value in content.items():
            setattr(inner, name, value)
        setattr(item, key, Sequence([inner]))
    return item


def enhanced(frames):
    one = slice_of(12)
    for name in ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept"]:
        delattr(one, name)
    one.SOPClassUID, one.NumberOfFrames = EnhancedCTImageStorage, frames
    one.SharedFunctionalGroupsSequence = Sequence([
        group(
            PixelMeasuresSequence={"PixelSpacing": [0.7, 0.8], "SliceThickness": 2},
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            PixelValueTransformationSequence={"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"},
        )
    ])
    # Stored from the head down: the order of frames is not that of space.
    one.PerFrameFunctionalGroupsSequence = Sequence([
        group(PlanePositionSequence={"ImagePositionPatient": [0, 0, 2 * (frames - 1 - n)]}) for n in range(frames)
    ])
    return one


OUT.mkdir(parents=True, exist_ok=True)
twelve, sixteen = image(12, 1), image(16, 2)
for bits, pixels in [(12, twelve), (16, sixteen)]:
    save(slice_of(bits), f"native_{bits}.dcm", ExplicitVRLittleEndian, pixels.tobytes())
    compressed(bits, f"htj2k_{bits}.dcm", HTJ2KLossless, imagecodecs.htj2k_encode(pixels, reversible=True))
    compressed(bits, f"jpeg_xl_{bits}.dcm", JPEGXLLossless, imagecodecs.jpegxl_encode(pixels, lossless=True, bitspersample=bits))
    # Predictor 1 is .70; the .57 of these files may use any, and 6 is as good as another.
    compressed(bits, f"jpeg_lossless_57_{bits}.dcm", JPEGLossless, imagecodecs.ljpeg_encode(pixels, bitspersample=bits))
save(slice_of(12), "implicit.dcm", ImplicitVRLittleEndian, twelve.tobytes())
save(slice_of(12), "big_endian.dcm", ExplicitVRBigEndian, twelve.astype(">u2").tobytes())
save(slice_of(12), "deflated.dcm", DeflatedExplicitVRLittleEndian, twelve.tobytes())
deflater = zlib.compressobj(wbits=-15)
compressed(12, "deflated_frame.dcm", DEFLATED_FRAME, deflater.compress(twelve.tobytes()) + deflater.flush())
rle = slice_of(12)
save(rle, "rle.dcm", ExplicitVRLittleEndian, twelve.tobytes())
rle.compress(RLELossless, generate_instance_uid=False)
rle.save_as(OUT / "rle.dcm")

frames = [image(12, seed) for seed in (3, 4, 5)]
native = enhanced(3)
save(native, "enhanced_native.dcm", ExplicitVRLittleEndian, b"".join(frame.tobytes() for frame in frames))
encoded = [imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k", bitspersample=12) for frame in frames]
# Two fragments a frame: which belong together, only the offset table says.
save(enhanced(3), "enhanced_basic_table.dcm", JPEG2000Lossless, encapsulate(encoded, fragments_per_frame=2), fragments=2)
extended = enhanced(3)
data, offsets, lengths = encapsulate_extended(encoded)
extended.ExtendedOffsetTable, extended.ExtendedOffsetTableLengths = offsets, lengths
save(extended, "enhanced_extended_table.dcm", JPEG2000Lossless, data, fragments=1)
# A mask of 6 × 5 × 4 voxels with two labels, as seeds of the fuzzer.
mask = np.zeros((4, 5, 6), np.uint8)
mask[1, 2, 1:4], mask[3, 0, 5] = 1, 2
nifti = bytearray(352)
struct.pack_into("<i", nifti, 0, 348)
struct.pack_into("<8h", nifti, 40, 3, 6, 5, 4, 1, 1, 1, 1)
struct.pack_into("<2h", nifti, 70, 2, 8)
struct.pack_into("<8f", nifti, 76, 1, 2, 2, 3, 0, 0, 0, 0)
struct.pack_into("<3f", nifti, 108, 352, 1, 0)
struct.pack_into("<2h", nifti, 252, 0, 1)
struct.pack_into("<12f", nifti, 280, -2, 0, 0, 5, 0, -2, 0, 6, 0, 0, 3, 7)
nifti[344:348] = b"n+1\0"
(OUT / "mask.nii").write_bytes(bytes(nifti) + mask.tobytes())
(OUT / "mask.nii.gz").write_bytes(gzip.compress(bytes(nifti) + mask.tobytes(), mtime=0))
header = (
    "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
    "space directions: (2,0,0) (0,2,0) (0,0,3)\nspace origin: (-5,-6,7)\nencoding: {}\n\n"
)
(OUT / "mask_raw.nrrd").write_bytes(header.format("raw").encode() + mask.tobytes())
(OUT / "mask_gzip.nrrd").write_bytes(header.format("gzip").encode() + gzip.compress(mask.tobytes(), mtime=0))
print(sum(path.stat().st_size for path in OUT.iterdir()), "bytes in", len(list(OUT.iterdir())), "files")
