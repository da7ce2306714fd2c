//! HDF5 files, which Keras writes: not read, but searched for the code that Keras would run.

use super::look::{Look, Part};
use crate::findings::{Finding, Severity, Verdict};

/// How Keras spells a Lambda layer in the attribute `model_config`, which is stored in one piece.
const LAMBDA: &[&[u8]] = &[b"\"class_name\": \"Lambda\"", b"\"class_name\":\"Lambda\""];

/// An HDF5 file.
pub(super) fn look<'a>(look: &mut Look<'a, '_>, part: &Part<'a>) -> String {
    let data = part.data.clone();
    let bytes = data.bytes();
    for pattern in LAMBDA {
        let found = bytes
            .windows(pattern.len())
            .position(|window| window == *pattern);
        if let Some(at) = found {
            let message = "a Keras Lambda layer, whose code runs when the model is loaded or used";
            let finding = Finding::new(
                Severity::Verdict(Verdict::Dangerous),
                "keras-lambda",
                message,
            );
            look.add(
                finding.at(part.base.saturating_add(crate::bytes::to_u64(at))),
                part,
            );
        }
    }
    look.not_read("an HDF5 file", part);
    "HDF5 file".into()
}
