//! TorchScript archives (torch 1.3 and later): several pickles beside the code.
//!
//! ```text
//! data.pkl        the module          storages in data/
//! constants.pkl   tensors of the code  storages in constants/
//! bytecode.pkl    mobile code         storages of either
//! *.debug_pkl     source locations    none
//! ```
//!
//! Source: torch 2.15.0 `torch/csrc/jit/serialization/` (`export_module.cpp`, `import.cpp`). The code is
//! neither read nor run; that there is some is noted.

use super::archive::{Reader, note_unused};
use super::flatten::Stream;
use crate::error::Result;
use crate::findings::{Finding, Severity};
use crate::index::Builder;
use crate::limits::Budget;

/// Folders of storages, and the suffixes of their names.
type Folders = &'static [(&'static str, &'static str)];

/// The pickles, in reading order: what stands before the names of their tensors, and the folders of their
/// storages.
const PICKLES: &[(&str, &str, Folders)] = &[
    ("data.pkl", "", &[("data/", "")]),
    ("constants.pkl", "CONSTANTS.c", &[("constants/", "")]),
    ("bytecode.pkl", "bytecode.", &[("constants/", "")]),
    ("mobile_debug_handles.pkl", "mobile_debug_handles.", &[]),
    ("attributes.pkl", "attributes.", &[("data/", "")]),
];

/// Reads a TorchScript archive.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    reader.check_version(builder, budget)?;
    let endian = reader.endian(budget)?;
    reader.required("data.pkl")?;
    let mut constants = None;
    for &(name, prefix, folders) in PICKLES {
        let Some(pickle) = reader.find(name).copied() else {
            continue;
        };
        // Mobile code shares the constants.
        let shared = match folders {
            [("constants/", _)] => constants.take(),
            _ => None,
        };
        let mut storages = match shared {
            Some(storages) => storages,
            None => reader.storages(folders, endian, builder, budget)?,
        };
        let stream = Stream {
            prefix,
            partial: !matches!(name, "data.pkl" | "constants.pkl"),
            ..Stream::default()
        };
        reader.pickle(&pickle, stream, &mut storages, builder, budget)?;
        match folders {
            [("constants/", _)] => constants = Some(storages),
            _ => note_unused(&storages, builder, budget)?,
        }
    }
    if let Some(constants) = constants {
        note_unused(&constants, builder, budget)?;
    }
    debug_pickles(reader, builder, budget)?;
    if reader.members_under("code/").next().is_some() {
        let message = "the archive holds TorchScript code, which torch.jit.load compiles";
        builder.finding(Finding::new(Severity::Note, "torchscript-code", message));
    }
    Ok(())
}

/// torch reads them when it reports an error in the code.
fn debug_pickles(
    reader: &mut Reader<'_, '_>,
    builder: &mut Builder,
    budget: &mut Budget,
) -> Result<()> {
    let members = reader.members_under("code/");
    let members = budget.collect(members.filter(|member| member.name.ends_with(".debug_pkl")))?;
    for member in members {
        reader.walk(&member, builder, budget)?;
    }
    Ok(())
}
