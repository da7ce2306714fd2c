//! Tar archives: a header of 512 bytes before each member, in one chain.
//!
//! ```text
//! | name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link 100 | ustar 8 |
//! | owner 32 | group 32 | device 16 | prefix 155 | padding 12 |
//! | data, padded to 512 | next header | … | 1,024 zero bytes |
//! ```
//!
//! Rules: POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar 1.35 for long names and binary sizes;
//! CPython 3.11 `tarfile.py` for what torch accepts. Nothing is extracted: members are spans of the file.
//! Links and devices are members without data.

mod header;

pub use header::is_header;

use header::{BLOCK, Header, Kind};

use crate::bytes::{Span, to_u64, to_usize};
use crate::error::{Context, Error, Format, Malformed, Result, shortened_bytes};
use crate::findings::{Finding, Findings, Severity};
use crate::limits::{Budget, Limit};

/// A file in an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Member {
    /// The path as written: never to be used as a path.
    pub name: String,
    /// Its bytes in the archive.
    pub data: Span,
}

/// The members of one archive, in its order.
#[derive(Debug)]
pub struct Archive {
    members: Vec<Member>,
    /// Where the block of zeros stands that ends it, or the file ends.
    end: u64,
    findings: Findings,
}

/// What a pax header or GNU long name says of the next member.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    size: Option<u64>,
}

impl Archive {
    /// Reads the chain of headers.
    ///
    /// # Errors
    /// `Malformed` if a header breaks a rule, if a member reaches past the end, or if two members have
    /// one name; `Limit` if there are more members than allowed.
    pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Self> {
        let mut archive = Self {
            members: Vec::new(),
            end: 0,
            findings: Findings::default(),
        };
        archive.read_members(bytes, budget).in_format(Format::Tar)?;
        Ok(archive)
    }

    /// The files.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The file of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Checks that the archive ends as one does, with a block of zeros. `tarfile` takes an archive without it,
    /// and so misses that a copy broke off between two members; what it does read is judged by a scan.
    ///
    /// # Errors
    /// `Malformed` if the block is missing; in lenient mode a finding.
    pub fn expect_end(&mut self, bytes: &[u8], budget: &Budget) -> Result<()> {
        let available = to_u64(bytes.len()).saturating_sub(self.end);
        if available >= BLOCK {
            return Ok(());
        }
        if !budget.is_lenient() {
            return Err(Error::malformed(Malformed::Truncated {
                what: "the block of zeros that ends an archive",
                needed: BLOCK,
                available,
            })
            .at(self.end));
        }
        let message = "the archive has no end: members may be missing";
        let finding = Finding::new(Severity::Warning, "archive-end", message);
        self.findings.push(finding.at(self.end));
        Ok(())
    }

    /// What was odd.
    #[must_use]
    pub fn into_findings(self) -> Findings {
        self.findings
    }

    fn read_members(&mut self, bytes: &[u8], budget: &mut Budget) -> Result<()> {
        let total = to_u64(bytes.len());
        let mut at: u64 = 0;
        let mut extended = Extended::default();
        let mut count: u64 = 0;
        while let Some(header) = Header::read(bytes, at)? {
            count = count.saturating_add(1);
            budget.allow(Limit::ArchiveMembers, count)?;
            let start = at.saturating_add(BLOCK);
            let size = match header.kind {
                Kind::File | Kind::Other(_) => extended.size.unwrap_or(header.size),
                _ => header.size,
            };
            let data = Span::new("a member", start, size, total).at(at)?;
            let contents = data.slice(bytes).unwrap_or_default();
            match header.kind {
                Kind::Pax => extended.read_pax(contents, start)?,
                Kind::LongName => extended.name(contents, start)?,
                Kind::PaxGlobal => {
                    let mut all = Extended::default();
                    all.read_pax(contents, start)?;
                    if all.path.is_some() || all.size.is_some() {
                        let found = "a path or size for all members";
                        let expected = "one for each";
                        return Err(Error::unexpected("a global header", found, expected).at(at));
                    }
                    self.note("global-header", "a header for all members", at);
                }
                Kind::Folder => extended = Extended::default(),
                Kind::Other(kind) => {
                    let what = format!("member of type {:?} is left out", char::from(kind));
                    self.note("special-member", &what, at);
                    extended = Extended::default();
                }
                Kind::File => {
                    let name = match std::mem::take(&mut extended).path {
                        Some(path) => path,
                        None => header.name,
                    };
                    budget.allow(Limit::NameBytes, to_u64(name.len()))?;
                    budget.spend_heap(to_u64(name.len()))?;
                    budget.grow(&mut self.members)?;
                    self.members.push(Member { name, data });
                }
            }
            let padded = size
                .checked_next_multiple_of(BLOCK)
                .and_then(|padded| start.checked_add(padded));
            // The padding of the last member may be cut: tarfile reads such files too.
            at = padded.unwrap_or(total).min(total);
        }
        self.end = at;
        let rest = block(bytes, at).unwrap_or_default();
        if !total.is_multiple_of(BLOCK) || rest.iter().any(|&byte| byte != 0) {
            let message = "bytes follow the end of the archive, or its last block is cut";
            let finding = Finding::new(Severity::Warning, "trailing-bytes", message);
            self.findings.push(finding.at(at));
        }
        self.refuse_duplicates(budget)
    }

    fn note(&mut self, code: &'static str, message: &str, at: u64) {
        self.findings
            .push(Finding::new(Severity::Note, code, message).at(at));
    }

    /// One reader takes the first of two members with one name, the next one the last.
    fn refuse_duplicates(&self, budget: &mut Budget) -> Result<()> {
        let mut order: Vec<&Member> = Vec::new();
        budget.reserve(&mut order, self.members.len())?;
        order.extend(&self.members);
        // Names that are equal stay in the order of the archive: a stable sort would need memory of its own.
        order.sort_unstable_by_key(|member| (&member.name, member.data.start()));
        for pair in order.windows(2) {
            if let &[first, second] = pair
                && first.name == second.name
            {
                let at = second.data.start().saturating_sub(BLOCK);
                return Err(Error::duplicate("member", &second.name).at(at));
            }
        }
        Ok(())
    }
}

impl Extended {
    /// A name for the next member. Of two, one reader takes the first and another the last.
    fn name(&mut self, name: &[u8], start: u64) -> Result<()> {
        let name = text(name, start)?;
        let name = name.trim_end_matches('/');
        match self.path.replace(name.to_owned()) {
            None => Ok(()),
            Some(other) => Err(Error::duplicate("name of one member", &other).at(start)),
        }
    }

    /// Records `LENGTH KEY=VALUE\n`.
    fn read_pax(&mut self, contents: &[u8], start: u64) -> Result<()> {
        let mut rest = contents;
        let broken = |rest: &[u8]| {
            let at = start.saturating_add(to_u64(contents.len().saturating_sub(rest.len())));
            Error::malformed(Malformed::Invalid {
                what: "a pax record",
                reason: String::from("it is not LENGTH KEY=VALUE"),
            })
            .at(at)
        };
        while !rest.is_empty() {
            let (record, after) = record(rest).ok_or_else(|| broken(rest))?;
            let (key, value) = record.ok_or_else(|| broken(rest))?;
            match key {
                b"path" => self.name(value, start)?,
                b"size" => {
                    let size = std::str::from_utf8(value)
                        .ok()
                        .and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(|| broken(rest))?);
                }
                // Sparse files have holes that are not in the archive.
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(Error::unsupported("tar member:", "a sparse file").at(start));
                }
                _ => {}
            }
            rest = after;
        }
        Ok(())
    }
}

/// Key and value, if there is an equals sign.
type Record<'a> = Option<(&'a [u8], &'a [u8])>;

/// One record and what follows it.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = std::str::from_utf8(bytes.get(..space)?).ok()?;
    let (record, after) = bytes.split_at_checked(length.parse().ok()?)?;
    let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=');
    let record = equals.and_then(|at| Some((record.get(..at)?, record.get(at.checked_add(1)?..)?)));
    Some((record, after))
}

/// UTF-8 up to the first NUL.
fn text(bytes: &[u8], at: u64) -> Result<String> {
    const LONGEST: usize = 4096;
    let end = bytes.iter().position(|&byte| byte == 0);
    let text = bytes
        .get(..end.unwrap_or(bytes.len()))
        .filter(|text| text.len() <= LONGEST)
        .and_then(|text| std::str::from_utf8(text).ok());
    match text {
        Some(text) => Ok(text.to_owned()),
        None => {
            let found = format!("{:?}", shortened_bytes(bytes));
            Err(Error::unexpected("a member's name", found, "UTF-8").at(at))
        }
    }
}

/// The header block at `at`.
fn block(bytes: &[u8], at: u64) -> Option<&[u8]> {
    let at = to_usize(at)?;
    bytes.get(at..)
}
