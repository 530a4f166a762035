//! The file of a log: an archive that anybody may have made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;
use zip::ZipArchive;

use crate::InspectError;
use crate::lenient::{Lenient, Meter};

/// Bytes that an archive may unpack to, whatever its own size.
const ALWAYS_ALLOWED: u64 = 4 << 30;
/// And how many times its own size.
const MOST_TIMES: u64 = 200;
const BUFFER: usize = 1 << 16;

/// An open log.
pub(crate) struct LogFile {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// A sample and the member that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) epoch: u32,
    /// `None` where the log has only its summary.
    pub(crate) member: Option<String>,
}

/// The reader of a member's JSON.
pub(crate) type MemberReader<'r> = BufReader<Lenient<BufReader<Whole<&'r mut dyn Read>>>>;

impl LogFile {
    pub(crate) fn open(path: &Path) -> Result<Self, InspectError> {
        let file = File::open(path).map_err(|error| InspectError::io(path, &error))?;
        let length = file.metadata().map_err(|error| InspectError::io(path, &error))?.len();
        let mut file = BufReader::new(file);
        let not_a_log =
            |why: &str| Err(InspectError::NotALog { path: path.to_owned(), why: why.to_owned() });
        let mut first = [0; 1];
        if file.read(&mut first).is_ok_and(|n| n == 1) && first == *b"{" {
            return not_a_log(
                "it is JSON; `inspect log convert --to eval` makes a log of it that can be read",
            );
        }
        let archive = match ZipArchive::new(file) {
            Ok(archive) => archive,
            Err(error) => return not_a_log(&format!("it is no ZIP archive ({error})")),
        };
        let mut log = Self { path: path.to_owned(), archive };
        log.check_sizes(length)?;
        Ok(log)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses what would unpack to far more than a log does, or says that it holds more than there is.
    fn check_sizes(&mut self, length: u64) -> Result<(), InspectError> {
        let (mut packed, mut unpacked) = (0_u64, 0_u64);
        for index in 0..self.archive.len() {
            let member = self
                .archive
                .by_index_raw(index)
                .map_err(|error| InspectError::damaged(&self.path, "", error))?;
            packed = packed.saturating_add(member.compressed_size());
            unpacked = unpacked.saturating_add(member.size());
        }
        if packed > length {
            let cause = format!("its members have {packed} bytes, the file has {length}");
            return Err(InspectError::damaged(&self.path, "", cause));
        }
        let most = ALWAYS_ALLOWED.max(length.saturating_mul(MOST_TIMES));
        if unpacked > most {
            let cause = format!("it unpacks to {unpacked} bytes, at most {most} are read");
            return Err(InspectError::damaged(&self.path, "", cause));
        }
        Ok(())
    }

    /// The header; of a log that was cut off, what was known at its start.
    pub(crate) fn header(&mut self) -> Result<Value, InspectError> {
        let mut header = self.value("header.json")?;
        if header.is_none() {
            header = self.value("_journal/start.json")?;
            if let Some(Value::Object(start)) = &mut header {
                start.insert("status".to_owned(), Value::from("started"));
            }
        }
        let Some(header) = header else {
            let why = "it has neither header.json nor _journal/start.json".to_owned();
            return Err(InspectError::NotALog { path: self.path.clone(), why });
        };
        if header["eval"]["model"].is_string() {
            return Ok(header);
        }
        Err(InspectError::NotALog { path: self.path.clone(), why: "it names no model".to_owned() })
    }

    /// The summaries by id and epoch; of those that are repeated the last.
    pub(crate) fn summaries(&mut self) -> Result<BTreeMap<(String, u32), Value>, InspectError> {
        let mut rows = Vec::new();
        if let Some(all) = self.value("summaries.json")? {
            rows.extend(all.as_array().cloned().unwrap_or_default());
        } else {
            for number in 1.. {
                let Some(some) = self.value(&format!("_journal/summaries/{number}.json"))? else {
                    break;
                };
                rows.extend(some.as_array().cloned().unwrap_or_default());
            }
        }
        let keyed = rows.into_iter().filter_map(|row| {
            let epoch = u32::try_from(row["epoch"].as_u64()?).ok()?;
            Some(((id_text(&row["id"])?, epoch), row))
        });
        Ok(keyed.collect())
    }

    /// The samples, in the order of the archive; behind them those of which there is only a summary.
    pub(crate) fn samples(
        &self,
        summaries: &BTreeMap<(String, u32), Value>,
    ) -> Result<Vec<Sample>, InspectError> {
        let mut samples = Vec::new();
        let mut known = BTreeSet::new();
        for name in self.archive.file_names() {
            let name = name.map_err(|error| InspectError::damaged(&self.path, "", error))?;
            let Some(stem) = name.strip_prefix("samples/") else { continue };
            let file = stem.strip_suffix(".json").filter(|stem| !is_chunk(stem));
            let Some((id, epoch)) = file.and_then(|stem| stem.rsplit_once("_epoch_")) else {
                if is_chunk(stem) {
                    let (path, member) = (self.path.clone(), name.to_string());
                    return Err(InspectError::Chunked { path, member });
                }
                continue;
            };
            let Ok(epoch) = epoch.parse() else { continue };
            known.insert((id.to_owned(), epoch));
            samples.push(Sample { id: id.to_owned(), epoch, member: Some(name.to_string()) });
        }
        let rest = summaries.keys().filter(|key| !known.contains(key));
        samples.extend(rest.map(|(id, epoch)| Sample {
            id: id.clone(),
            epoch: *epoch,
            member: None,
        }));
        Ok(samples)
    }

    /// A member as one value; `None` if there is none.
    pub(crate) fn value(&mut self, member: &str) -> Result<Option<Value>, InspectError> {
        if self.archive.index_for_name(member).is_none() {
            return Ok(None);
        }
        let value = self.read(member, |reader, _| {
            let mut parser = serde_json::Deserializer::from_reader(reader);
            parser.disable_recursion_limit();
            let value = Value::deserialize(&mut parser)?;
            parser.end()?;
            Ok::<_, serde_json::Error>(value)
        })?;
        value.map(Some).map_err(|error| InspectError::damaged(&self.path, member, error))
    }

    /// Reads a member with `read`.
    pub(crate) fn read<T>(
        &mut self,
        member: &str,
        read: impl FnOnce(MemberReader<'_>, &Meter) -> T,
    ) -> Result<T, InspectError> {
        let damaged =
            |error: zip::result::ZipError| InspectError::damaged(&self.path, member, error);
        let mut file = self.archive.by_name(member).map_err(damaged)?;
        let left = file.size();
        let whole = Whole { inner: &mut file as &mut dyn Read, left };
        let meter = Meter::default();
        let lenient = Lenient::new(BufReader::with_capacity(BUFFER, whole), meter.clone());
        Ok(read(BufReader::with_capacity(BUFFER, lenient), &meter))
    }
}

/// Whether a name below `samples/` is that of a piece of a sample.
fn is_chunk(stem: &str) -> bool {
    stem.split_once('/').is_some_and(|(sample, _)| {
        sample.rsplit_once("_epoch_").is_some_and(|(_, epoch)| epoch.parse::<u32>().is_ok())
    })
}

/// An id of a sample as its member's name has it: a number becomes its digits.
pub(crate) fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A reader that fails where there is less than was said; where there is more the archive's own reader does.
pub(crate) struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            let cause = "it has fewer bytes than the archive says";
            return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}
