//! Where the values of a kernel go, eight at a time.

use bytemuck::NoUninit;

use crate::quant::output::{Kind, Output};

/// Elements of a run of a type without blocks.
pub(super) const RUN: usize = 32;

/// Room for eight values of an output type.
pub(super) trait Slot {
    /// The output type.
    const KIND: Kind;

    /// Stores `values`: as many bytes as eight values of the output type have.
    fn write<V: NoUninit>(&mut self, values: V);
}

impl<T: Output> Slot for [T; 8] {
    const KIND: Kind = T::KIND;

    #[inline(always)]
    fn write<V: NoUninit>(&mut self, values: V) {
        bytemuck::bytes_of_mut(self).copy_from_slice(bytemuck::bytes_of(&values));
    }
}

/// Decodes what whole runs left over, through a run of zeros.
#[inline(always)]
pub(super) fn tail<T: Output, const BYTES: usize>(
    bytes: &[u8],
    out: &mut [T],
    decode: impl Fn(&[u8; BYTES], &mut [[T; 8]; RUN / 8]),
) {
    let rest = bytes.as_chunks::<BYTES>().1;
    let out = out.as_chunks_mut::<RUN>().1;
    if rest.is_empty() {
        return;
    }
    let mut run = [0; BYTES];
    run[..rest.len()].copy_from_slice(rest);
    let mut values = [[T::zeroed(); 8]; RUN / 8];
    decode(&run, &mut values);
    out.copy_from_slice(&values.as_flattened()[..out.len()]);
}
