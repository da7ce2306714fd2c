//! Large tensors on several threads, split between blocks.

use rayon::prelude::*;

use super::{Decoder, Output};

/// Elements of one task: long enough that handing it out costs nothing beside it (about 10 µs of
/// work), short enough to share evenly.
const TASK_ELEMENTS: usize = 64 * 1024;

/// Below this, one thread is done before a second one pays: about 150 µs of work, against 15 to 20 µs
/// until another thread has started and been waited for.
const THRESHOLD_ELEMENTS: usize = 16 * TASK_ELEMENTS;

/// Decodes whole blocks; the result does not depend on the number of threads.
pub(super) fn decode<T: Output>(decoder: &Decoder, bytes: &[u8], out: &mut [T], streamed: bool) {
    if out.len() < THRESHOLD_ELEMENTS {
        return decoder.decode_on_one_thread(bytes, out, streamed);
    }
    // A power of two, hence a multiple of every block.
    let task_bytes = TASK_ELEMENTS / decoder.block_elements * decoder.block_bytes;
    out.par_chunks_mut(TASK_ELEMENTS)
        .zip(bytes.par_chunks(task_bytes))
        .for_each(|(out, bytes)| decoder.decode_on_one_thread(bytes, out, streamed));
}
