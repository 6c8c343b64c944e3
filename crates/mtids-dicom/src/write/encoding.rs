//! How a data set and its pixels are encoded, and the file around them.
//!
//! Invariants: the same input gives the same bytes; a compressed frame is one fragment, behind an empty offset table. Units: samples of 16
//! bits, row by row.

use std::io::Write;
use std::path::Path;

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::dataset::chain;
use crate::error::DicomError;
use crate::prescan::skeleton::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
use crate::uid::uid_from;
use crate::write::parts::put_words;
use crate::write::{jpeg_ls, rle};

/// How the data set and the pixels of a written image are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Implicit VR Little Endian, 1.2.840.10008.1.2.
    ImplicitLittle,
    /// Explicit VR Little Endian, 1.2.840.10008.1.2.1.
    #[default]
    ExplicitLittle,
    /// Explicit VR Big Endian, 1.2.840.10008.1.2.2; retired, and still in archives.
    ExplicitBig,
    /// Deflated Explicit VR Little Endian, 1.2.840.10008.1.2.1.99.
    Deflated,
    /// RLE Lossless, 1.2.840.10008.1.2.5.
    Rle,
    /// JPEG-LS Lossless, 1.2.840.10008.1.2.4.80.
    JpegLs,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Transfer syntax UID.
    pub fn transfer_syntax(self) -> &'static str {
        match self {
            Self::ImplicitLittle => IMPLICIT_LE,
            Self::ExplicitLittle => EXPLICIT_LE,
            Self::ExplicitBig => EXPLICIT_BE,
            Self::Deflated => uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
            Self::Rle => uids::RLE_LOSSLESS,
            Self::JpegLs => uids::JPEGLS_LOSSLESS,
        }
    }

    /// Puts frames of `columns` samples in a row as pixel data.
    ///
    /// # Errors
    /// A sentence for frames that cannot be encoded.
    pub(crate) fn put_frames(
        self,
        object: &mut InMemDicomObject,
        frames: Vec<Vec<u16>>,
        columns: u16,
    ) -> Result<(), String> {
        let compress = |frame: &Vec<u16>| match self {
            Self::JpegLs => jpeg_ls::encode(frame, columns),
            _ => {
                let bytes: Vec<u8> = frame.iter().flat_map(|word| word.to_le_bytes()).collect();
                Ok(rle::encode(&bytes, 2, columns.into()))
            }
        };
        match self {
            Self::ImplicitLittle | Self::ExplicitLittle | Self::ExplicitBig | Self::Deflated => {
                put_words(object, frames.concat());
            }
            Self::Rle | Self::JpegLs => {
                let mut fragments = frames.iter().map(compress).collect::<Result<Vec<_>, _>>()?;
                for fragment in &mut fragments {
                    pad(fragment);
                }
                let sequence = PixelFragmentSequence::new_fragments(fragments);
                object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, sequence));
            }
        }
        Ok(())
    }

    /// Writes the object, whose pixels [`Encoding::put_frames`] has put, with fixed implementation identifiers.
    ///
    /// # Errors
    /// [`DicomError::Write`] naming the file.
    pub(crate) fn write(
        self,
        path: &Path,
        object: InMemDicomObject,
        class: &str,
        instance: &str,
    ) -> Result<(), DicomError> {
        let fail = |error: &dyn std::error::Error| DicomError::write(path, chain(error));
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.transfer_syntax())
            .media_storage_sop_class_uid(class)
            .media_storage_sop_instance_uid(instance)
            .implementation_class_uid(uid_from(&["mtids", "implementation"]))
            .implementation_version_name("MTIDS_0_1");
        let object = object.with_meta(meta).map_err(|error| fail(&error))?;
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        object.write_meta(&mut bytes).map_err(|error| fail(&error))?;
        let data_set = match self {
            Self::ImplicitLittle => IMPLICIT_LE,
            Self::ExplicitBig => EXPLICIT_BE,
            Self::ExplicitLittle | Self::Deflated | Self::Rle | Self::JpegLs => EXPLICIT_LE,
        };
        let syntax = TransferSyntaxRegistry.get(data_set);
        let syntax = syntax.ok_or_else(|| DicomError::write(path, format!("no writer for {data_set}")))?;
        if self == Self::Deflated {
            let mut plain = Vec::new();
            object.write_dataset_with_ts(&mut plain, syntax).map_err(|error| fail(&error))?;
            let mut deflater = DeflateEncoder::new(Vec::new(), Compression::default());
            let mut deflated =
                deflater.write_all(&plain).and_then(|()| deflater.finish()).map_err(|error| fail(&error))?;
            pad(&mut deflated);
            bytes.extend(deflated);
        } else {
            object.write_dataset_with_ts(&mut bytes, syntax).map_err(|error| fail(&error))?;
        }
        mtids_runtime::atomic::write(path, &bytes).map_err(|error| fail(&error))
    }
}

/// To an even length, as every value of DICOM has.
fn pad(bytes: &mut Vec<u8>) {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
}
