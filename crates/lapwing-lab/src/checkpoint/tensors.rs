//! Reading and writing safetensors, tensor by tensor.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::CheckpointError;

/// The type that weights are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, as they are.
    #[default]
    F32,
    /// 16 bits with the exponent of 32.
    Bf16,
    /// 16 bits of IEEE 754.
    F16,
}

impl Precision {
    /// PyTorch's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
            Self::F16 => Dtype::F16,
        }
    }

    /// Bytes of an element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// Reads every tensor of a file: `place` is told each one's name and shape and says where its values go, or nothing to skip it.
pub fn read_tensors<'a>(
    path: &Path,
    mut place: impl FnMut(&str, &[usize]) -> Result<Option<&'a mut [f32]>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let mut file = File::open(path).map_err(CheckpointError::io("open", path))?;
    let (metadata, start) = header(path, &mut file)?;
    let mut bytes = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let Some(values) = place(&name, &info.shape)? else { continue };
        let (from, to) = info.data_offsets;
        bytes.resize(to - from, 0);
        file.seek(SeekFrom::Start(start + from as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(CheckpointError::io("read", path))?;
        match info.dtype {
            Dtype::F32 => fill(values, &bytes, f32::from_le_bytes),
            Dtype::BF16 => fill(values, &bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F16 => fill(values, &bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            other => {
                let found = format!("{other:?}");
                return Err(CheckpointError::Type { path: path.to_owned(), name, found });
            }
        }
    }
    Ok(())
}

fn fill<const N: usize>(values: &mut [f32], bytes: &[u8], convert: impl Fn([u8; N]) -> f32) {
    let (elements, _) = bytes.as_chunks::<N>();
    for (value, bytes) in values.iter_mut().zip(elements) {
        *value = convert(*bytes);
    }
}

/// The header of a file whose length it has been held against, and where the tensors begin.
fn header(path: &Path, file: &mut File) -> Result<(Metadata, u64), CheckpointError> {
    let io = || CheckpointError::io("read", path);
    let found = file.metadata().map_err(io())?.len();
    let truncated =
        |expected| CheckpointError::Truncated { path: path.to_owned(), expected, found };
    if found < 8 {
        return Err(truncated(8));
    }
    let mut bytes = vec![0; 8];
    file.read_exact(&mut bytes).map_err(io())?;
    let length = bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
    let start = length.saturating_add(8);
    if start > found {
        return Err(truncated(start));
    }
    file.take(length).read_to_end(&mut bytes).map_err(io())?;
    let metadata: Metadata = serde_json::from_slice(&bytes[8..]).map_err(|error| {
        CheckpointError::Header { path: path.to_owned(), reason: error.to_string() }
    })?;
    let expected = start + metadata.data_len() as u64;
    if expected != found {
        return Err(truncated(expected));
    }
    Ok((metadata, start))
}

/// Writes tensors, each with its name and shape, to one file.
pub fn write_tensors<'a>(
    path: &Path,
    precision: Precision,
    tensors: impl IntoIterator<Item = (String, &'a [usize], &'a [f32])>,
) -> Result<(), CheckpointError> {
    let mut end = 0;
    let mut entries = Vec::new();
    let mut buffers = Vec::new();
    for (name, shape, values) in tensors {
        let start = end;
        end += values.len() * precision.bytes();
        let (dtype, shape) = (precision.dtype(), shape.to_vec());
        entries.push((name, TensorInfo { dtype, shape, data_offsets: (start, end) }));
        buffers.push(values);
    }
    // PyTorch's readers ask for this.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), entries).map_err(|error| {
        CheckpointError::Header { path: path.to_owned(), reason: error.to_string() }
    })?;
    let mut header = serde_json::to_vec(&metadata).map_err(CheckpointError::json(path))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    write(path, precision, &header, &buffers).map_err(CheckpointError::io("write", path))
}

fn write(path: &Path, precision: Precision, header: &[u8], buffers: &[&[f32]]) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header)?;
    for value in buffers.iter().copied().flatten() {
        match precision {
            Precision::F32 => file.write_all(&value.to_le_bytes())?,
            Precision::Bf16 => file.write_all(&bf16::from_f32(*value).to_le_bytes())?,
            Precision::F16 => file.write_all(&f16::from_f32(*value).to_le_bytes())?,
        }
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let values = vec![1.0; 1 << 16];
        let tensor = ("a".to_owned(), &[1 << 16][..], &values[..]);
        let error = write_tensors(Path::new("/dev/full"), Precision::F32, [tensor]).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /dev/full: "), "{error}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these numbers have few bits")]
    fn a_file_that_ends_early_says_how_much_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_tensors(&path, Precision::Bf16, [("a".to_owned(), &[3][..], &[1.0, -2.0, 0.5][..])])
            .unwrap();
        let mut values = [0.0; 3];
        let mut slot = Some(&mut values[..]);
        read_tensors(&path, |_, _| Ok(slot.take())).unwrap();
        assert_eq!(values, [1.0, -2.0, 0.5]);

        let whole = std::fs::read(&path).unwrap();
        for length in [0, 5, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read_tensors(&path, |_, _| Ok(None)).unwrap_err();
            let expected = format!("has {length} bytes, and its header promises");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}
