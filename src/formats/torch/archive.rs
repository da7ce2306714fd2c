//! The zip container (torch 1.6 and later) and TorchScript, which shares it.
//!
//! Members stand under one prefix, that of the first member: `data.pkl` describes, `data/KEY`
//! holds a storage, `byteorder` and `version` are text. `constants.pkl` marks TorchScript.

use super::buffers::Buffers;
use super::flatten::{self, Stream};
use super::storages::Storages;
use super::{export, model_json, package, script};
use crate::bytes::{Buffer, Endian, Span, to_u64};
use crate::error::{Context, Error, Format, Malformed, Result, shortened, shortened_display};
use crate::findings::{Finding, Severity};
use crate::formats::pickle::{Judge, Loaded, Surroundings};
use crate::formats::zip::{Archive, Member, check_crc, inflate};
use crate::formats::{Parsed, pickle};
use crate::index::Builder;
use crate::limits::{Budget, Limit};

/// The versions that torch's reader accepts (`kMinSupportedFileFormatVersion` and `kMax…`).
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=10;

/// The member that tells each kind of archive; one with none of them is a plain checkpoint.
const KINDS: &[(&str, Format)] = &[
    (".data/extern_modules", Format::TorchPackage),
    ("archive_format", Format::TorchExport),
    ("constants.pkl", Format::TorchScript),
    ("model.json", Format::TorchScript),
];

/// Members beside the pickle and the storages that torch itself writes, as prefixes.
const KNOWN: &[&str] = &[
    "version",
    "byteorder",
    ".format_version",
    ".storage_alignment",
    ".data/",
    "archive_format",
    "archive_version",
    "code/",
    "extra/",
];

/// Reads a whole zip checkpoint.
///
/// # Errors
/// `Malformed` if the archive, the pickle or a tensor breaks a rule; `Unsupported` for archives of
/// other kinds; `Limit` if the file needs more than allowed.
pub fn read(bytes: &[u8], budget: &mut Budget) -> Result<Parsed> {
    let archive = Archive::read(bytes, budget)?;
    if let Some(other) = other(&archive) {
        return Err(Error::unsupported("content:", other).at(0));
    }
    let mut reader = Reader {
        bytes,
        archive: &archive,
        prefix: prefix(&archive)?,
        format: Format::TorchZip,
        inflated: Buffers::default(),
        read: Vec::new(),
    };
    let kind = KINDS.iter().find(|(name, _)| reader.find(name).is_some());
    let format = kind.map_or(Format::TorchZip, |&(_, format)| format);
    reader.format = format;
    let mut builder = Builder::new();
    let read = match format {
        Format::TorchScript if reader.find("constants.pkl").is_none() => {
            model_json::read(&mut reader, &mut builder, budget)
        }
        Format::TorchScript => script::read(&mut reader, &mut builder, budget),
        Format::TorchExport => export::read(&mut reader, &mut builder, budget),
        Format::TorchPackage => package::read(&mut reader, &mut builder, budget),
        _ => reader.read(&mut builder, budget),
    };
    reader.note_members(&mut builder);
    let inflated = reader.inflated.into_list();
    read.in_format(format)?;
    builder.findings(archive.into_findings());
    Ok(Parsed {
        format,
        index: builder.finish(bytes, budget).in_format(format)?,
        inflated,
    })
}

/// What an archive is that others write, and that nobody could take for a checkpoint of torch.
fn other(archive: &Archive<'_>) -> Option<&'static str> {
    let mut names = archive.members().iter().map(|member| member.name);
    if names.clone().any(|name| name.ends_with(".pkl")) {
        return None;
    }
    if names.clone().any(|name| name == "model.weights.h5") {
        return Some("a Keras model");
    }
    let some = !archive.members().is_empty();
    (some && names.all(|name| name.ends_with(".npy"))).then_some("a NumPy archive (npz)")
}

/// The folder of the first member, which every member must share.
fn prefix<'a>(archive: &Archive<'a>) -> Result<&'a str> {
    let first = archive.members().first().map_or("", |member| member.name);
    let end = first.find('/').ok_or_else(|| {
        let found = format!("{:?}", shortened(first));
        Error::unexpected("the first member", found, "a name in a folder")
            .at(archive.directory_start())
    })?;
    let prefix = first.get(..=end).unwrap_or_default();
    for member in archive.members() {
        if !member.name.starts_with(prefix) {
            let found = format!("{:?}", shortened(member.name));
            return Err(
                Error::unexpected("a member", found, "the folder of the first member")
                    .at(member.data.start()),
            );
        }
    }
    Ok(prefix)
}

/// One archive that is being read.
pub(super) struct Reader<'a, 'b> {
    pub(super) bytes: &'a [u8],
    pub(super) archive: &'b Archive<'a>,
    pub(super) prefix: &'a str,
    format: Format,
    inflated: Buffers,
    /// Places of the members that were read, by their data's start.
    read: Vec<u64>,
}

impl<'a> Reader<'a, '_> {
    /// A plain checkpoint: one pickle and its storages.
    fn read(&mut self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        self.check_version(builder, budget)?;
        let endian = self.endian(budget)?;
        let mut storages = self.storages(&[("data/", "")], endian, builder, budget)?;
        let pickle = self.required("data.pkl")?;
        let stream = Stream::default();
        self.pickle(&pickle, stream, &mut storages, builder, budget)?;
        note_unused(&storages, builder, budget)
    }

    /// A member that must be there.
    pub(super) fn required(&self, name: &str) -> Result<Member<'a>> {
        self.find(name).copied().ok_or_else(|| {
            let name = shortened_display(format_args!("{}{name}", self.prefix));
            Error::missing("member", &name).at(self.archive.directory_start())
        })
    }

    fn judge(&self, pickle: &Member<'_>, budget: &Budget) -> Judge {
        let surroundings = match self.format {
            Format::TorchScript => Surroundings::Script,
            _ => Surroundings::Anywhere,
        };
        Judge::new(pickle.name, budget.policy()).within(surroundings)
    }

    /// Walks the pickle in a member, and adds its tensors.
    pub(super) fn pickle(
        &mut self,
        pickle: &Member<'a>,
        stream: Stream<'_>,
        storages: &mut Storages<'_>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        let source = self.contents(pickle, budget)?;
        budget
            .allow(Limit::PickleBytes, pickle.size)
            .in_member(pickle.name)?;
        // A stored pickle has its offsets in the file, an inflated one in the member.
        let base = if source == 0 { pickle.data.start() } else { 0 };
        let mut judge = self.judge(pickle, budget);
        let contents = match self.inflated.get(source) {
            Some(buffer) => buffer.bytes(),
            None => pickle.stored(self.bytes),
        };
        if source == 0 {
            check_crc(contents, pickle)?;
        }
        let loaded = pickle::load(contents, base, &mut judge, budget);
        // What was found before an error stays found.
        builder.findings(judge.into_findings());
        let loaded = loaded.in_member(pickle.name)?;
        let end = to_u64(loaded.length);
        if end != to_u64(contents.len()) {
            let count = to_u64(contents.len()).saturating_sub(end);
            let what = "the pickle's STOP";
            let trailing = Error::malformed(Malformed::TrailingBytes { what, count });
            return Err(trailing.in_member(pickle.name).at(base.saturating_add(end)));
        }
        let mut buffers = self.inflated.continued();
        let stream = Stream { source, ..stream };
        flatten::tensors(&loaded, stream, storages, &mut buffers, builder, budget)
            .in_member(pickle.name)?;
        self.inflated.append(buffers, budget)?;
        self.mark_read(pickle, budget)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Member<'a>> {
        let length = self.prefix.len().saturating_add(name.len());
        let mut members = self.archive.members().iter();
        members.find(|member| {
            // Nearly all have another length.
            member.name.len() == length && member.name.strip_prefix(self.prefix) == Some(name)
        })
    }

    /// Walks a pickle for what it would do; its values are nobody's tensors.
    pub(super) fn walk(
        &mut self,
        pickle: &Member<'a>,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<()> {
        self.values(pickle, builder, budget, |_, _| Ok(()))
    }

    /// Walks a pickle for what it would do, and gives its values.
    pub(super) fn values<T>(
        &mut self,
        pickle: &Member<'a>,
        builder: &mut Builder,
        budget: &mut Budget,
        take: impl FnOnce(&Loaded<'_>, &mut Budget) -> Result<T>,
    ) -> Result<T> {
        let inflated = inflate(self.bytes, pickle, budget)?;
        let (base, contents) = match &inflated {
            Some(buffer) => (0, buffer.bytes()),
            None => (pickle.data.start(), pickle.stored(self.bytes)),
        };
        let mut judge = self.judge(pickle, budget);
        let loaded = pickle::load(contents, base, &mut judge, budget);
        builder.findings(judge.into_findings());
        self.mark_read(pickle, budget)?;
        loaded
            .and_then(|loaded| take(&loaded, budget))
            .in_member(pickle.name)
            .at(base)
    }

    /// Every member whose name starts with `folder`.
    pub(super) fn members_under(&self, folder: &str) -> impl Iterator<Item = Member<'a>> {
        let members = self.archive.members().iter().copied();
        members.filter(move |member| {
            let inner = member.name.strip_prefix(self.prefix);
            inner.is_some_and(|inner| inner.starts_with(folder)) && !member.is_folder()
        })
    }

    /// How many buffers there are.
    pub(super) fn buffers(&self) -> u32 {
        self.inflated.count()
    }

    /// Takes a buffer over from an archive inside this one.
    pub(super) fn add_buffer(&mut self, buffer: Buffer, budget: &mut Budget) -> Result<()> {
        self.inflated.push(buffer, budget).map(|_| ())
    }

    /// Marks a member as looked at.
    ///
    /// # Errors
    /// `Limit` if the budget is spent, `Io` if there is no memory left.
    pub(super) fn mark_read(&mut self, member: &Member<'_>, budget: &mut Budget) -> Result<()> {
        budget.grow(&mut self.read)?;
        self.read.push(member.data.start());
        Ok(())
    }

    /// The number of the source that holds a member, which is inflated if it has to be.
    pub(super) fn contents(&mut self, member: &Member<'a>, budget: &mut Budget) -> Result<u32> {
        match inflate(self.bytes, member, budget)? {
            None => Ok(0),
            Some(buffer) => self.inflated.push(buffer, budget),
        }
    }

    /// A short text member.
    fn text(&self, name: &str, budget: &mut Budget) -> Result<Option<(String, u64)>> {
        const LONGEST: u64 = 64;
        let Some(member) = self.find(name) else {
            return Ok(None);
        };
        if member.size > LONGEST {
            let found = format!("{} bytes long", member.size);
            return Err(Error::unexpected("a text member", found, "a short text")
                .in_member(member.name)
                .at(member.data.start()));
        }
        let text = match inflate(self.bytes, member, budget)? {
            Some(buffer) => String::from_utf8_lossy(buffer.bytes()).into_owned(),
            None => String::from_utf8_lossy(member.stored(self.bytes)).into_owned(),
        };
        Ok(Some((text, member.data.start())))
    }

    pub(super) fn check_version(&self, builder: &mut Builder, budget: &mut Budget) -> Result<()> {
        let mut version = self.text("version", budget)?;
        if version.is_none() {
            version = self.text(".data/version", budget)?;
        }
        let Some((version, at)) = version else {
            if !budget.is_lenient() {
                let name = shortened_display(format_args!("{}version", self.prefix));
                return Err(Error::missing("member", &name).at(self.archive.directory_start()));
            }
            let message = "the archive has no version; torch refuses it";
            builder.finding(Finding::new(Severity::Warning, "missing-version", message));
            return Ok(());
        };
        let version = version.trim_end();
        if version
            .parse()
            .is_ok_and(|number: u32| VERSIONS.contains(&number))
        {
            return Ok(());
        }
        let found = format!("{version:?}");
        Err(Error::unexpected("the version", found, "1 to 10").at(at))
    }

    /// Absent since torch 2.1 means little.
    pub(super) fn endian(&self, budget: &mut Budget) -> Result<Endian> {
        match self.text("byteorder", budget)? {
            None => Ok(Endian::Little),
            Some((order, _)) if order == "little" => Ok(Endian::Little),
            Some((order, _)) if order == "big" => Ok(Endian::Big),
            Some((order, at)) => {
                let found = format!("{order:?}");
                Err(Error::unexpected("byteorder", found, "little or big").at(at))
            }
        }
    }

    /// The storages in `folders`, keyed by what stands between folder and suffix.
    pub(super) fn storages(
        &mut self,
        folders: &[(&str, &str)],
        endian: Endian,
        builder: &mut Builder,
        budget: &mut Budget,
    ) -> Result<Storages<'a>> {
        let mut storages = Storages::new(endian);
        let most = self.archive.members().len();
        storages.reserve(most, budget)?;
        budget.reserve(&mut self.read, most)?;
        for member in self.archive.members() {
            let inner = member.name.strip_prefix(self.prefix);
            let mut keys = folders
                .iter()
                .filter_map(|(folder, suffix)| inner?.strip_prefix(folder)?.strip_suffix(suffix));
            let Some(key) = keys.next() else {
                continue;
            };
            if member.is_folder() {
                continue;
            }
            let source = self.contents(member, budget)?;
            let span = match self.inflated.get(source) {
                Some(buffer) => Span::all(buffer.bytes()),
                None => member.data,
            };
            storages.push(key, source, span, builder, budget)?;
            budget.grow(&mut self.read)?;
            self.read.push(member.data.start());
        }
        storages.finish(budget)?;
        Ok(storages)
    }

    /// What torch would not look at is worth a note: it could be anything.
    fn note_members(&mut self, builder: &mut Builder) {
        self.read.sort_unstable();
        let mut next = 0;
        for member in self.archive.members() {
            let start = member.data.start();
            // Members nearly always stand in the order of their data.
            if self.read.get(next) == Some(&start) {
                next = next.saturating_add(1);
                continue;
            }
            let inner = member.name.strip_prefix(self.prefix).unwrap_or_default();
            let known = self.read.binary_search(&start).is_ok()
                || member.is_folder()
                || member.size == 0
                || KNOWN.iter().any(|known| inner.starts_with(known));
            if !known {
                let message = format!("torch does not read member {:?}", shortened(member.name));
                let finding = Finding::new(Severity::Note, "unknown-member", message);
                builder.finding(finding.at(member.data.start()));
            }
        }
    }
}

/// Storages that no tensor asked for.
///
/// # Errors
/// Their keys cannot be listed within the budget.
pub(super) fn note_unused(
    storages: &Storages<'_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    for key in storages.unused(budget)? {
        let message = format!("no tensor uses storage {:?}", shortened(key));
        builder.finding(Finding::new(Severity::Note, "unused-storage", message));
    }
    Ok(())
}
