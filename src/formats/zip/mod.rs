//! Zip archives as torch writes them, read so that no two readers could see two archives.
//!
//! ```text
//! | local header, name, extra | data | descriptor | … | central directory | zip64 end | end |
//! ```
//!
//! Rules: PKWARE APPNOTE 6.3.10, and how torch's own reader (miniz) and Python's `zipfile` differ
//! on odd archives. Wherever readers of the world disagree, the archive is refused: bytes that
//! belong to nothing, names that differ in case only, two directories, headers that contradict
//! the directory. Members may be stored or deflated.
//!
//! Left to others: what the members mean.

mod central_directory;
mod end_of_central_directory;
mod inflate;
mod local_file_header;
pub mod salvage;

pub use central_directory::{Member, Method};
pub use inflate::{check_crc, inflate};

use std::hash::{BuildHasher, RandomState};

use crate::bytes::to_u64;
use crate::error::{Context, Error, Format, Malformed, Result, shortened};
use crate::findings::{Finding, Findings, Severity};
use crate::limits::{Budget, Limit};

/// The members of an archive, in the order of the central directory.
#[derive(Debug)]
pub struct Archive<'a> {
    members: Vec<Member<'a>>,
    directory_start: u64,
    findings: Findings,
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive that starts at the first byte and ends at the last.
    ///
    /// # Errors
    /// `Malformed` where a rule is broken or readers would disagree, `Unsupported` for encrypted
    /// members and other methods than stored and deflated, `Limit` for too many members.
    pub fn read(bytes: &'a [u8], budget: &mut Budget) -> Result<Self> {
        Self::read_inner(bytes, budget).in_format(Format::Zip)
    }

    fn read_inner(bytes: &'a [u8], budget: &mut Budget) -> Result<Self> {
        let mut findings = Findings::default();
        let end = end_of_central_directory::read(bytes, budget, &mut findings)?;
        budget.allow(Limit::ArchiveMembers, end.entries)?;
        budget.allow(Limit::DirectoryBytes, end.directory.length())?;
        let members = central_directory::read(bytes, end, budget)?;
        check_names(&members, budget)?;
        check_tiling(bytes, &members, end.directory.start(), budget)?;
        Ok(Self {
            members,
            directory_start: end.directory.start(),
            findings,
        })
    }

    /// Every member.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Where the central directory starts: the place of a member that is missing.
    #[must_use]
    pub const fn directory_start(&self) -> u64 {
        self.directory_start
    }

    /// The member of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// What is odd about the archive and accepted all the same.
    #[must_use]
    pub fn into_findings(self) -> Findings {
        self.findings
    }
}

/// Names are unique, also for readers that ignore case (torch's does) or a final slash.
fn check_names<'a>(members: &[Member<'a>], budget: &mut Budget) -> Result<()> {
    // Half of the slots stay free, and the hash has a key of its own: no file can make the search long.
    let count = members.len().saturating_mul(2).next_power_of_two();
    let mask = count.saturating_sub(1);
    // The upper half of the hash, and the member's place, from 1.
    let mut slots: Vec<(u32, u32)> = Vec::new();
    budget.reserve(&mut slots, count)?;
    slots.resize(count, (0, 0));
    let hasher = RandomState::new();
    let mut folded = Vec::new();
    let name_of = |member: &Member<'a>| member.name.trim_end_matches('/');
    for (place, member) in (1..).zip(members) {
        let name = name_of(member);
        folded.clear();
        folded
            .try_reserve(name.len())
            .map_err(|_| Error::out_of_memory())?;
        folded.extend_from_slice(name.as_bytes());
        folded.make_ascii_lowercase();
        let hash = hasher.hash_one(folded.as_slice());
        // The upper half tells most names apart without a look at them.
        let upper = u32::try_from(hash >> 32).unwrap_or_default();
        let mut slot = usize::try_from(hash & to_u64(mask)).unwrap_or_default();
        while let Some(&(other, known)) = slots.get(slot)
            && let Some(known) = known.checked_sub(1)
        {
            let known = usize::try_from(known).ok().and_then(|it| members.get(it));
            let same = |known| name_of(known).eq_ignore_ascii_case(name);
            if other == upper && known.is_some_and(same) {
                return name_repeated(members, budget);
            }
            slot = slot.wrapping_add(1) & mask;
        }
        if let Some(slot) = slots.get_mut(slot) {
            *slot = (upper, place);
        }
    }
    budget.refund_heap(to_u64(count.saturating_mul(size_of::<(u32, u32)>())));
    Ok(())
}

/// Names the first of the names that repeat, in their order.
#[cold]
fn name_repeated<'a>(members: &[Member<'a>], budget: &mut Budget) -> Result<()> {
    let mut sorted: Vec<&Member<'a>> = Vec::new();
    budget.reserve(&mut sorted, members.len())?;
    sorted.extend(members);
    let folded = |member: &Member<'a>| {
        let name = member.name.trim_end_matches('/');
        name.bytes().map(|byte| byte.to_ascii_lowercase())
    };
    let place = |member: &Member<'_>| member.declared_at;
    sorted.sort_unstable_by(|a, b| folded(a).cmp(folded(b)).then(place(a).cmp(&place(b))));
    for pair in sorted.windows(2) {
        let &[first, second] = pair else { continue };
        if folded(first).eq(folded(second)) {
            let later = first.declared_at.max(second.declared_at);
            return Err(Error::duplicate("member", second.name).at(later));
        }
    }
    Ok(())
}

/// Every byte before the directory belongs to exactly one member.
fn check_tiling(
    bytes: &[u8],
    members: &[Member<'_>],
    directory_start: u64,
    budget: &mut Budget,
) -> Result<()> {
    let mut order: Vec<&Member<'_>> = Vec::new();
    budget.reserve(&mut order, members.len())?;
    order.extend(members);
    order.sort_unstable_by_key(|member| (member.header_at, member.declared_at));
    let mut end = 0;
    let mut previous: Option<&Member<'_>> = None;
    let starts = order
        .iter()
        .map(|member| (member.header_at, Some(*member)))
        .chain([(directory_start, None)]);
    for (start, next) in starts {
        let found = local_file_header::end(bytes, previous, end, start);
        let found = match previous {
            Some(member) => found.in_member(member.name)?,
            None => found?,
        };
        if found < start {
            let what = next.map_or("the central directory", |_| "a member");
            let count = start.saturating_sub(found);
            return Err(Error::malformed(Malformed::Gap { what, count }).at(found));
        }
        if found > start {
            return Err(Error::malformed(Malformed::Overlap {
                what: next.map_or("the central directory", |_| "a member"),
                other: previous.map_or_else(String::new, |member| shortened(member.name)),
                count: found.saturating_sub(start),
            })
            .at(start));
        }
        if let Some(member) = next {
            end = member.data.end();
        }
        previous = next;
    }
    Ok(())
}

/// A comment is a place where a second archive can hide.
fn note_comment(comment: &[u8], at: u64, budget: &Budget, findings: &mut Findings) -> Result<()> {
    if comment.is_empty() {
        return Ok(());
    }
    let length = to_u64(comment.len());
    if !budget.is_lenient() {
        return Err(Error::malformed(Malformed::TrailingBytes {
            what: "the end of the central directory (a comment)",
            count: length,
        })
        .at(at));
    }
    let message = format!("the archive has a comment of {length} bytes");
    findings.push(Finding::new(Severity::Warning, "archive-comment", message).at(at));
    Ok(())
}
