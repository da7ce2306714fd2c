//! PyTorch checkpoints: a pickle that describes tensors, and the storages that hold their bytes.
//!
//! ```text
//! zip (torch 1.6 on):   prefix/data.pkl   prefix/data/0 … prefix/data/N   prefix/version
//! stream (0.1.10 on):   magic, version, sizes, object, keys: five pickles | storages
//! tar (before 0.1.10):  storages, tensors, pickle
//! TorchScript, torch.package, PT2: zip archives with pickles or JSON of their own
//! distributed:          .metadata, and archives inside __RANK_N.distcp
//! ```
//!
//! Rules: torch 2.15.0 `serialization.py`, `_utils.py`, `_tensor.py`. The pickle is walked, never
//! executed; its tensors are found by the rebuild functions that it names, and nested containers
//! are flattened to dotted names (`optimizer.state.0.exp_avg`); for a whole module they are those
//! of its `state_dict`. Numbers and strings on the way become metadata. A storage that several
//! tensors view keeps one number for all of them.
//!
//! Left to others: opening files, checkpoints of many files.

mod archive;
mod attributes_pkl;
mod buffers;
mod call;
mod children;
pub mod distributed;
mod export;
mod flatten;
mod legacy;
mod model_json;
mod numpy;
mod package;
mod placed;
mod rebuild;
mod script;
mod storage_id;
mod storages;
mod tar;

pub use archive::read as read_zip;
pub use legacy::read as read_pickle;

pub(crate) use tar::is_legacy as is_legacy_tar;
pub(super) use tar::read as read_legacy_tar;
