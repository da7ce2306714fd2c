//! Checkpoints of torch in zip archives: stored and deflated members, descriptors, zip64, odd headers.

use super::pickle;
use super::{Made, Maker};
use crate::builders::zip::{Entry, Zip, crc, deflated, entry};

/// A checkpoint from the fuzzer's bytes.
#[must_use]
pub fn make(data: &[u8]) -> Made {
    let mut maker = Maker::new(data);
    let (pickled, storages, tensors) = pickle::state_dict(&mut maker);
    let prefix = maker.pick::<&str>(&["archive", "model", "a b"]).to_owned();
    let mut entries = vec![member(&mut maker, &format!("{prefix}/data.pkl"), &pickled)];
    if maker.coin() {
        entries.push(member(
            &mut maker,
            &format!("{prefix}/byteorder"),
            b"little",
        ));
    }
    for storage in &storages {
        let name = format!("{prefix}/data/{}", storage.key);
        entries.push(member(&mut maker, &name, &storage.bytes));
    }
    entries.push(member(&mut maker, &format!("{prefix}/version"), b"3\n"));
    for entry in &mut entries {
        if maker.oddly() {
            spoil(&mut maker, entry);
        }
    }
    if maker.oddly() {
        let again = maker.pick(&entries).clone();
        entries.push(again);
    }
    let count = entries.len() as u64;
    let mut archive = Zip::of(entries);
    if maker.coin() {
        archive.zip64 = Some(maker.number(count));
    }
    if maker.oddly() {
        spoil_archive(&mut maker, &mut archive);
    }
    Made {
        file: archive.build(),
        tensors,
        is_odd: maker.is_odd,
    }
}

/// A member as writers make them.
fn member(maker: &mut Maker<'_>, name: &str, data: &[u8]) -> Entry {
    match maker.below(4) {
        0 | 1 => entry(name, data),
        2 => Entry {
            descriptor: true,
            crc: Some(crc(data)),
            ..entry(name, data)
        },
        _ => deflated(name, data),
    }
}

fn spoil(maker: &mut Maker<'_>, entry: &mut Entry) {
    let byte = maker.byte();
    match maker.below(14) {
        0 => entry.method = byte.into(),
        1 => entry.flags = 1 << (byte % 16),
        2 => entry.size = Some(maker.number(7) as u32),
        3 => entry.crc = Some(maker.word() as u32),
        4 => entry.disk = byte.into(),
        5 => entry.extra = maker.bytes(usize::from(byte % 40)),
        6 => entry.header_offset = Some(maker.number(0) as u32),
        7 => entry.local_name = Some(maker.name().into_bytes()),
        8 => entry.local_method = Some(byte.into()),
        9 => entry.local_flags = Some(1 << (byte % 16)),
        10 => entry.local_crc = Some(maker.word() as u32),
        11 => entry.local_size = Some(maker.number(7) as u32),
        12 => entry.descriptor_crc = Some(maker.word() as u32),
        _ => entry.name = maker.name().into_bytes(),
    }
}

fn spoil_archive(maker: &mut Maker<'_>, archive: &mut Zip) {
    match maker.below(6) {
        0 => archive.before = maker.bytes(9),
        1 => archive.gap = maker.bytes(9),
        2 => archive.comment = maker.bytes(30),
        3 => archive.after = maker.bytes(9),
        4 => archive.count = Some(maker.byte().into()),
        _ => archive.disk = maker.byte().into(),
    }
}
