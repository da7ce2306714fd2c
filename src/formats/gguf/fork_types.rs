//! Type ids of ik_llama.cpp, recognised by name and size.
//!
//! Forks of llama.cpp give ids of their own to types of their own; nothing in a file says which fork
//! wrote it. So an id is taken for a fork's only if the size that follows from it agrees with the
//! neighbouring tensors, and is never decoded. Rows of some of these types start with a few bytes of
//! their own. Source: ikawrakow/ik_llama.cpp 8337e4cd `ggml.h` and `ggml.c`.

use crate::shape::{self, elements};

/// A type of ik_llama.cpp: id, name, elements and bytes of a block, bytes at the start of each row.
struct ForkType(u32, &'static str, u64, u64, u64);

const IK_LLAMA: &[ForkType] = &[
    ForkType(133, "ik:Q6_0", 32, 26, 0),
    ForkType(134, "ik:IQ1_BN", 64, 13, 2),
    ForkType(135, "ik:IQ2_BN", 64, 16, 4),
    ForkType(137, "ik:IQ2_K", 256, 76, 0),
    ForkType(138, "ik:IQ3_K", 256, 110, 0),
    ForkType(139, "ik:IQ4_K", 256, 144, 0),
    ForkType(140, "ik:IQ5_K", 256, 176, 0),
    ForkType(141, "ik:IQ6_K", 256, 212, 0),
    ForkType(144, "ik:IQ4_KS", 256, 136, 4),
    ForkType(145, "ik:IQ2_KS", 256, 70, 2),
    ForkType(146, "ik:IQ4_KSS", 256, 128, 4),
    ForkType(152, "ik:IQ5_KS", 256, 168, 4),
    ForkType(153, "ik:IQ2_KT", 256, 68, 4),
    ForkType(154, "ik:IQ3_KT", 256, 100, 4),
    ForkType(155, "ik:IQ4_KT", 256, 128, 4),
    ForkType(156, "ik:IQ3_KS", 256, 102, 2),
    ForkType(157, "ik:IQ2_KL", 256, 86, 2),
    ForkType(158, "ik:IQ1_KT", 256, 56, 4),
];

/// Name and size of a tensor of a fork's type; `None` if no fork known here has the id, or the shape
/// does not fit its blocks.
pub(super) fn name_and_bytes(id: u32, shape: &[u64]) -> Option<(&'static str, u64)> {
    let ForkType(_, name, block, block_bytes, row_bytes) =
        IK_LLAMA.iter().find(|fork_type| fork_type.0 == id)?;
    let row = shape.last().copied().unwrap_or(1);
    let rows = elements(shape).ok()?.checked_div(row).unwrap_or_default();
    if row.checked_rem(*block)? != 0 {
        return None;
    }
    let blocks = shape::bytes(row.checked_div(*block)?, *block_bytes)?;
    let one = blocks.checked_add(*row_bytes)?;
    Some((name, shape::bytes(rows, one)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fork_id_is_one_of_ggml() {
        for fork_type in IK_LLAMA {
            assert!(fork_type.0 >= crate::dtype::GGML_TYPE_COUNT);
        }
    }

    #[test]
    fn rows_have_their_own_bytes() {
        assert_eq!(
            name_and_bytes(144, &[3, 512]),
            Some(("ik:IQ4_KS", 3 * (4 + 2 * 136)))
        );
        assert_eq!(
            name_and_bytes(139, &[3, 512]),
            Some(("ik:IQ4_K", 3 * 2 * 144))
        );
        assert_eq!(name_and_bytes(139, &[3, 100]), None);
        assert_eq!(name_and_bytes(7777, &[256]), None);
        assert_eq!(name_and_bytes(139, &[u64::MAX, 256]), None);
    }
}
