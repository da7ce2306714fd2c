//! Where the values of a kernel go, eight or sixteen at a time.

use bytemuck::NoUninit;

use crate::quant::output::{Kind, Output};

/// Elements of a run of a type without blocks.
pub(super) const RUN: usize = 32;

/// Room for some values of an output type.
pub(super) trait Slot {
    /// The output type.
    const KIND: Kind;

    /// Stores `values`, all of them at once.
    fn write<V: NoUninit>(&mut self, values: V);
}

impl<T: Output, const LANES: usize> Slot for [T; LANES] {
    const KIND: Kind = T::KIND;

    #[inline(always)]
    fn write<V: NoUninit>(&mut self, values: V) {
        bytemuck::cast_slice_mut::<T, u8>(self).copy_from_slice(bytemuck::bytes_of(&values));
    }
}

/// Decodes what whole runs left over, through a run of zeros.
#[inline(always)]
pub(super) fn tail<T: Output, const BYTES: usize, const LANES: usize, const SLOTS: usize>(
    bytes: &[u8],
    out: &mut [T],
    decode: impl Fn(&[u8; BYTES], &mut [[T; LANES]; SLOTS]),
) {
    let rest = bytes.as_chunks::<BYTES>().1;
    let out = out.as_chunks_mut::<RUN>().1;
    if rest.is_empty() {
        return;
    }
    let mut run = [0; BYTES];
    run[..rest.len()].copy_from_slice(rest);
    let mut values = [[T::zeroed(); LANES]; SLOTS];
    decode(&run, &mut values);
    out.copy_from_slice(&values.as_flattened()[..out.len()]);
}
