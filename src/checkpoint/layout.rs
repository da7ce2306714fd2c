//! A map of every byte of a checkpoint's files: tensors, and what lies between them.

use super::Checkpoint;
use crate::bytes::{to_u64, to_usize};
use crate::source::Source;

/// What a range of a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Everything before the first tensor: header, metadata.
    Head,
    /// One tensor, or the first of several that share bytes.
    Tensor(String),
    /// Between two tensors, or after the last: padding, archive headers, or something hidden.
    Between {
        /// Whether every byte is 0.
        zero: bool,
    },
}

/// A range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// Which of the checkpoint's files.
    pub file: usize,
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// What it holds.
    pub content: Content,
}

impl Checkpoint {
    /// Maps every byte of every file to what it holds, in order, without gaps.
    ///
    /// Reads what lies between tensors, so that hidden data shows; GGUF padding is zero in honest
    /// files, while archives have headers there.
    ///
    /// # Example
    /// ```
    /// let model = weighbridge::open("tests/files/gguf/network.gguf")?;
    /// let covered: u64 = model.layout().iter().map(|region| region.length).sum();
    /// assert_eq!(covered, model.files()[0].bytes);
    /// # Ok::<(), weighbridge::Error>(())
    /// ```
    #[must_use]
    pub fn layout(&self) -> Vec<Region> {
        let mut regions = Vec::new();
        for (file, shard) in self.0.shards.iter().enumerate() {
            let mut tensors: Vec<(u64, u64, &str)> = shard
                .index
                .iter()
                .filter(|entry| entry.source() == 0 && entry.absent().is_none())
                .map(|entry| (entry.span().start(), entry.span().end(), entry.name()))
                .filter(|(start, end, _)| start < end)
                .collect();
            tensors.sort_unstable();
            add_file(file, &shard.file, &tensors, &mut regions);
        }
        regions
    }
}

fn add_file(file: usize, source: &Source, tensors: &[(u64, u64, &str)], regions: &mut Vec<Region>) {
    let bytes = source.bytes();
    let mut at = 0;
    let mut add = |offset: u64, end: u64, content: Content| {
        let length = end.saturating_sub(offset);
        if length > 0 {
            regions.push(Region {
                file,
                offset,
                length,
                content,
            });
        }
    };
    let between = |start: u64, end: u64| {
        let range = to_usize(start).zip(to_usize(end));
        let part = range.and_then(|(start, end)| bytes.get(start..end));
        Content::Between {
            zero: part.unwrap_or_default().iter().all(|&byte| byte == 0),
        }
    };
    for &(start, end, name) in tensors {
        let content = if at == 0 {
            Content::Head
        } else {
            between(at, start)
        };
        add(at, start, content);
        // A tensor that starts inside the one before shares its bytes.
        add(at.max(start), end, Content::Tensor(name.to_owned()));
        at = at.max(end);
    }
    let end = to_u64(bytes.len());
    let content = if at == 0 {
        Content::Head
    } else {
        between(at, end)
    };
    add(at, end, content);
}
