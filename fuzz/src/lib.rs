//! What the targets share: builders and generators of files, ways of using what opens, the official
//! safetensors crate as oracle, a naive model of views, an allocator that counts and fails.

pub mod agreement;
pub mod builders;
pub mod files;
pub mod generate;
pub mod heap;
pub mod listing;
pub mod naive;
pub mod using;
