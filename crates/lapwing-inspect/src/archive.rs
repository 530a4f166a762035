//! Writes a ZIP archive of Zstandard members, as Inspect does.
//!
//! Written here and not by the `zip` crate for one reason: a member is a row of Zstandard frames of at most 200 MiB, because the
//! viewer of Inspect cannot decode a longer one. ZIP: APPNOTE.TXT 6.3.10 of PKWARE; method 93 is Zstandard.

use std::io::{self, Seek as _, SeekFrom, Write};

use zstd::stream::write::Encoder;

/// Input bytes of a Zstandard frame.
const FRAME: u64 = 200 << 20;
const LEVEL: i32 = 3;
const ZSTD: u16 = 93;
/// A size or offset of 32 bits that says: see the ZIP64 field.
const IN_ZIP64: u64 = 0xffff_ffff;
/// 1 January 1980, midnight: equal runs make equal bytes.
const DATE: u16 = 0x21;

/// An archive that is being written, from its start to its end without going back.
pub(crate) struct Archive<W> {
    out: W,
    at: u64,
    members: Vec<Member>,
}

struct Member {
    name: String,
    offset: u64,
    crc: u32,
    size: u64,
    packed: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0, members: Vec::new() }
    }

    /// Adds a member of the bytes that `write` writes. They are packed into a temporary file first, so that its header can tell
    /// their size.
    pub(crate) fn add<E: From<io::Error>>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut frames = Frames::new(tempfile::tempfile()?)?;
        write(&mut frames)?;
        let (mut packed, crc, size) = frames.finish()?;
        let n_packed = packed.stream_position()?;
        packed.seek(SeekFrom::Start(0))?;
        let name = name.to_owned();
        let member = Member { name, offset: self.at, crc, size, packed: n_packed };
        let mut head = 0x0403_4b50_u32.to_le_bytes().to_vec();
        head.extend(member.common());
        let zip64 = member.zip64(false);
        head.extend((member.name.len() as u16).to_le_bytes());
        head.extend((zip64.len() as u16).to_le_bytes());
        head.extend(member.name.as_bytes());
        head.extend(zip64);
        self.write(&head)?;
        self.at += io::copy(&mut packed, &mut self.out)?;
        self.members.push(member);
        Ok(())
    }

    /// Writes the directory and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let directory = self.at;
        for member in std::mem::take(&mut self.members) {
            self.write(&member.entry())?;
            self.members.push(member);
        }
        let (n, size) = (self.members.len() as u64, self.at - directory);
        if n >= 0xffff || size >= IN_ZIP64 || directory >= IN_ZIP64 {
            let end = self.at;
            let mut tail = 0x0606_4b50_u32.to_le_bytes().to_vec();
            tail.extend(44_u64.to_le_bytes());
            tail.extend([63, 3, 63, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for number in [n, n, size, directory] {
                tail.extend(number.to_le_bytes());
            }
            tail.extend(0x0706_4b50_u32.to_le_bytes());
            tail.extend(0_u32.to_le_bytes());
            tail.extend(end.to_le_bytes());
            tail.extend(1_u32.to_le_bytes());
            self.write(&tail)?;
        }
        let mut tail = 0x0605_4b50_u32.to_le_bytes().to_vec();
        tail.extend([0; 4]);
        tail.extend((n.min(0xffff) as u16).to_le_bytes());
        tail.extend((n.min(0xffff) as u16).to_le_bytes());
        tail.extend((size.min(IN_ZIP64) as u32).to_le_bytes());
        tail.extend((directory.min(IN_ZIP64) as u32).to_le_bytes());
        tail.extend([0; 2]);
        self.write(&tail)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl Member {
    /// What both headers have: version, flags (names are UTF-8), method, time, checksum, sizes.
    fn common(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [63, 0x0800, ZSTD, 0, DATE] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.crc.to_le_bytes());
        let is_long = self.is_long();
        for size in [self.packed, self.size] {
            let size = if is_long { IN_ZIP64 } else { size };
            bytes.extend((size as u32).to_le_bytes());
        }
        bytes
    }

    fn is_long(&self) -> bool {
        self.size >= IN_ZIP64 || self.packed >= IN_ZIP64
    }

    fn zip64(&self, with_offset: bool) -> Vec<u8> {
        let mut numbers = if self.is_long() { vec![self.size, self.packed] } else { Vec::new() };
        if with_offset && self.offset >= IN_ZIP64 {
            numbers.push(self.offset);
        }
        if numbers.is_empty() {
            return Vec::new();
        }
        let mut bytes = 1_u16.to_le_bytes().to_vec();
        bytes.extend((numbers.len() as u16 * 8).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    /// The member in the directory.
    fn entry(&self) -> Vec<u8> {
        let zip64 = self.zip64(true);
        let mut bytes = 0x0201_4b50_u32.to_le_bytes().to_vec();
        bytes.extend([63, 3]);
        bytes.extend(self.common());
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend((zip64.len() as u16).to_le_bytes());
        // Comment, disk, kind of file.
        bytes.extend([0; 6]);
        bytes.extend((0o100_644_u32 << 16).to_le_bytes());
        bytes.extend((self.offset.min(IN_ZIP64) as u32).to_le_bytes());
        bytes.extend(self.name.as_bytes());
        bytes.extend(zip64);
        bytes
    }
}

/// Packs what is written to it into frames.
struct Frames {
    encoder: Option<Encoder<'static, std::fs::File>>,
    crc: crc32fast::Hasher,
    size: u64,
    in_frame: u64,
}

impl Frames {
    fn new(file: std::fs::File) -> io::Result<Self> {
        let encoder = Some(Encoder::new(file, LEVEL)?);
        Ok(Self { encoder, crc: crc32fast::Hasher::new(), size: 0, in_frame: 0 })
    }

    fn finish(mut self) -> io::Result<(std::fs::File, u32, u64)> {
        let encoder = self.encoder.take().ok_or_else(broken)?;
        Ok((encoder.finish()?, self.crc.finalize(), self.size))
    }
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.in_frame == FRAME {
            let file = self.encoder.take().ok_or_else(broken)?.finish()?;
            self.encoder = Some(Encoder::new(file, LEVEL)?);
            self.in_frame = 0;
        }
        let room = usize::try_from(FRAME - self.in_frame).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        let written = self.encoder.as_mut().ok_or_else(broken)?.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.size += written as u64;
        self.in_frame += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier frame could not be written")
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    #[test]
    fn another_implementation_reads_what_is_written_and_nothing_follows_it() {
        let mut archive = Archive::new(Vec::new());
        for (name, text) in [("a.json", "{}".to_owned()), ("samples/ü b.json", "x".repeat(70_000))]
        {
            let written: io::Result<()> = archive.add(name, |out| out.write_all(text.as_bytes()));
            written.unwrap();
        }
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes[..4], *b"PK\x03\x04");
        assert_eq!(bytes[bytes.len() - 22..][..4], *b"PK\x05\x06");
        let mut read = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names = read.file_names().map(|name| name.unwrap().into_owned());
        assert_eq!(names.collect::<Vec<_>>(), ["a.json", "samples/ü b.json"]);
        let mut member = read.by_index(1).unwrap();
        assert_eq!(member.compression(), zip::CompressionMethod::Zstd);
        let mut text = String::new();
        member.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x".repeat(70_000));
    }

    #[test]
    fn a_long_member_is_a_row_of_frames() {
        let mut archive = Archive::new(Vec::new());
        let piece = vec![b'x'; 1 << 20];
        let written: io::Result<()> =
            archive.add("a", |out| (0..=200).try_for_each(|_| out.write_all(&piece)));
        written.unwrap();
        let bytes = archive.finish().unwrap();
        let frames = bytes.windows(4).filter(|four| *four == [0x28, 0xb5, 0x2f, 0xfd]).count();
        assert_eq!(frames, 2);
        let mut read = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let size = io::copy(&mut read.by_index(0).unwrap(), &mut io::sink()).unwrap();
        assert_eq!(size, 201 << 20);
    }
}
