//! Checkpoints inside tar archives, plain or gzipped: NVIDIA NeMo's `.nemo` files, and torch's own oldest
//! format.
//!
//! Members are told apart by their content. One level is opened: an archive in an archive is noted.

use std::io::Read;

use super::tar::Archive;
use super::{Parsed, detect, safetensors, tar, torch};
use crate::bytes::{Buffer, to_u64};
use crate::error::{Context, Error, Format, Malformed, Result, shortened};
use crate::findings::{Finding, Severity};
use crate::index::{Builder, Moved};
use crate::limits::{Budget, Limit};

/// Reads a tar archive: torch's oldest format, or one that holds checkpoints.
///
/// # Errors
/// `Unsupported` if there is no checkpoint in it, and whatever the readers of its members say.
pub(super) fn read_tar(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let mut archive = Archive::read(bytes, budget)?;
    archive.expect_end(bytes, budget)?;
    if torch::is_legacy_tar(&archive) {
        return torch::read_legacy_tar(bytes, archive, budget);
    }
    let mut inner: Vec<(usize, Format)> = Vec::new();
    let mut others: u64 = 0;
    for (place, member) in archive.members().iter().enumerate() {
        let contents = member.data.slice(bytes).unwrap_or_default();
        match detect(contents) {
            Ok(format @ (Format::TorchZip | Format::Pickle | Format::Safetensors)) => {
                budget.grow(&mut inner)?;
                inner.push((place, format));
            }
            _ => others = others.saturating_add(1),
        }
    }
    if inner.is_empty() {
        let what = "a tar archive without a checkpoint";
        return Err(Error::unsupported("content:", what).at(0));
    }
    let mut builder = Builder::new();
    let mut inflated = Vec::new();
    for &(place, format) in &inner {
        let Some(member) = archive.members().get(place) else {
            continue;
        };
        let contents = member.data.slice(bytes).unwrap_or_default();
        let read = match format {
            Format::TorchZip => torch::read_zip(contents, budget),
            Format::Pickle => torch::read_pickle(contents, budget),
            _ => safetensors::read(contents, budget),
        };
        let parsed = read.in_format(format).in_member(&member.name)?;
        // Several checkpoints may use the same names.
        let prefix = match inner.len() {
            1 => String::new(),
            _ => budget.join(&[&member.name, "/"])?,
        };
        let moved = Moved {
            prefix: &prefix,
            name: None,
            stream: &member.name,
            offset: member.data.start(),
            source: 0,
            buffers: u32::try_from(inflated.len()).unwrap_or(u32::MAX),
        };
        builder.absorb(&parsed.index, contents, moved, budget)?;
        take_over(parsed.inflated, &mut inflated, budget)?;
    }
    if others > 0 {
        let message = format!("{others} members of the archive are no checkpoints");
        builder.finding(Finding::new(Severity::Note, "other-members", message));
    }
    builder.findings(archive.into_findings());
    Ok(Parsed {
        format: Format::Tar,
        index: builder.finish(bytes, budget)?,
        inflated,
    })
}

/// Reads a gzipped tar archive.
///
/// # Errors
/// `Unsupported` for any other content, `Limit` if it inflates to more than allowed, and as [`read_tar`].
pub(super) fn read_gzip(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let inflated = inflate_stream(bytes, Stream::Gzip, budget).at(0)?;
    if !tar::is_header(inflated.bytes()) {
        let found = match detect(inflated.bytes()) {
            Ok(format) => format!("a gzipped {format} file"),
            Err(_) => String::from("a gzip file"),
        };
        return Err(Error::unsupported("content:", shortened(&found)).at(0));
    }
    let parsed = read_tar(inflated.bytes(), budget)?;
    let mut builder = Builder::new();
    let moved = Moved {
        prefix: "",
        name: None,
        stream: "",
        offset: 0,
        source: 1,
        buffers: 1,
    };
    builder.absorb(&parsed.index, inflated.bytes(), moved, budget)?;
    let index = builder.finish(bytes, budget)?;
    let mut buffers = vec![inflated];
    take_over(parsed.inflated, &mut buffers, budget)?;
    Ok(Parsed {
        format: parsed.format,
        index,
        inflated: buffers,
    })
}

/// Adds the buffers of an inner file to those of the outer one.
fn take_over(inner: Vec<Buffer>, outer: &mut Vec<Buffer>, budget: &mut Budget) -> Result<()> {
    for buffer in inner {
        budget.grow(outer)?;
        outer.push(buffer);
    }
    Ok(())
}

/// A file that is one compressed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// RFC 1952, of one or more members.
    Gzip,
    /// RFC 1950.
    Zlib,
}

impl Stream {
    const fn what(self) -> &'static str {
        match self {
            Self::Gzip => "the gzip data",
            Self::Zlib => "the zlib data",
        }
    }

    fn decoder<'a>(self, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
        match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Self::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(bytes)),
        }
    }
}

/// Inflates a whole file: once to learn its size within the limits, once into a buffer of that size, because
/// the size at the end of a gzip file is nobody's promise.
pub(crate) fn inflate_stream(bytes: &[u8], stream: Stream, budget: &mut Budget) -> Result<Buffer> {
    const STEP: usize = 4 * 1024;
    let what = stream.what();
    let mut scratch = vec![0; STEP];
    let mut size: u64 = 0;
    let mut decoder = stream.decoder(bytes);
    loop {
        let read = decoder
            .read(&mut scratch)
            .map_err(|error| broken(what, &error))?;
        if read == 0 {
            break;
        }
        size = size.saturating_add(to_u64(read));
        budget.spend_inflated(to_u64(read))?;
        let ratio = size.checked_div(to_u64(bytes.len())).unwrap_or_default();
        budget.allow(Limit::InflateRatio, ratio)?;
    }
    let length = usize::try_from(size).map_err(|_| Error::out_of_memory())?;
    let mut buffer = Buffer::zeroed(length)?;
    let mut decoder = stream.decoder(bytes);
    decoder
        .read_exact(buffer.bytes_mut())
        .map_err(|error| broken(what, &error))?;
    Ok(buffer)
}

#[cold]
fn broken(what: &'static str, error: &std::io::Error) -> Error {
    Error::malformed(Malformed::Invalid {
        what,
        reason: error.to_string(),
    })
}
