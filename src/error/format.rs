//! The formats, by name.

use std::fmt;

/// A file format that the library reads, or a layer of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// A `.safetensors` file: JSON header, then raw tensors.
    Safetensors,
    /// A GGUF file, version 1 to 3, either byte order.
    Gguf,
    /// A zip archive written by `torch.save` (torch 1.6 and later).
    TorchZip,
    /// The stream that `torch.save` wrote from 0.1.10 to 1.5.
    TorchLegacy,
    /// The tar archive that `torch.save` wrote before 0.1.10.
    TorchTar,
    /// A zip archive written by `torch.jit.save`.
    TorchScript,
    /// A zip archive written by `torch.package`.
    TorchPackage,
    /// A zip archive written by `torch.export.save` (PT2).
    TorchExport,
    /// A folder written by `torch.distributed.checkpoint`.
    TorchDistributed,
    /// A bare Python pickle.
    Pickle,
    /// A zip archive, as the layer below a format.
    Zip,
    /// A tar archive, as the layer below a format.
    Tar,
    /// A gzip file, as the layer above a tar archive.
    Gzip,
    /// A `*.index.json` that names the shards of a checkpoint.
    ShardIndex,
}

impl Format {
    /// The name used in errors and in `inspect --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::TorchZip => "torch-zip",
            Self::TorchLegacy => "torch-legacy",
            Self::TorchTar => "torch-tar",
            Self::TorchScript => "torchscript",
            Self::TorchPackage => "torch-package",
            Self::TorchExport => "torch-export",
            Self::TorchDistributed => "torch-distributed",
            Self::Pickle => "pickle",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::ShardIndex => "shard-index",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
