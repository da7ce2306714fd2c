//! Zip checkpoints. Where the readers differ, "first" and "second" say which of two contents each reads;
//! measured with torch 2.15.0 (`weights_only=True`), Python 3.11 `zipfile`, Rust's `zip` 9.8.1.

use crate::Class::{Accept, Reject, Warn};
use crate::Ours::{Malformed, Noted, Unsupported};
use crate::support::torch::{good_pickle, members};
use crate::support::zip::{Entry, Zip, crc, deflated, entry};
use crate::{Row, both, row};

pub fn rows() -> Vec<Row> {
    let tables = [genuine(), names(), frame(), headers(), layout(), contents()];
    tables.into_iter().flatten().collect()
}

fn good() -> Zip {
    Zip::of(members(&good_pickle()))
}

/// A right archive with one more member.
fn with(more: Entry) -> Vec<u8> {
    let mut zip = good();
    zip.entries.push(more);
    zip.build()
}

/// A right archive whose pickle's headers are changed.
fn first(change: impl Fn(&mut Entry)) -> Vec<u8> {
    let mut zip = good();
    change(&mut zip.entries[0]);
    zip.build()
}

/// A right archive whose frame is changed.
fn framed(change: impl Fn(&mut Zip)) -> Vec<u8> {
    let mut zip = good();
    change(&mut zip);
    zip.build()
}

fn named(name: &[u8]) -> Vec<u8> {
    with(Entry {
        name: name.to_vec(),
        ..Entry::default()
    })
}

/// Where a signature stands.
fn find(file: &[u8], signature: &[u8; 4]) -> usize {
    let mut places = file.windows(4);
    places.position(|place| place == signature).unwrap()
}

/// Writes over what stands at `at` behind the first such signature.
fn patched(mut file: Vec<u8>, signature: &[u8; 4], at: usize, bytes: &[u8]) -> Vec<u8> {
    let at = find(&file, signature) + at;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
const END_64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR_64: &[u8; 4] = b"PK\x06\x07";
const END: &[u8; 4] = b"PK\x05\x06";

fn genuine() -> Vec<Row> {
    // As torch writes it: descriptors, local extra fields for alignment, a zip64 end record.
    let torch = include_bytes!("../files/torch/state_dict.pt");
    vec![
        both("genuine", "all accept", Accept, torch.to_vec()),
        both("genuine_small", "all accept", Accept, good().build()),
        both(
            "genuine_with_descriptors",
            "all accept",
            Accept,
            framed(|zip| {
                zip.zip64 = Some(3);
                zip.entries
                    .iter_mut()
                    .for_each(|entry| entry.descriptor = true);
            }),
        ),
    ]
}

fn names() -> Vec<Row> {
    let mut capitals = good();
    capitals.entries[0].name = b"archive/DATA.PKL".to_vec();
    vec![
        both(
            "data_pkl_twice",
            "torch reads the first; zipfile, zip the second",
            Reject,
            with(entry("archive/data.pkl", b"N.")),
        )
        .is(Malformed("duplicate")),
        both(
            "data_pkl_twice_by_case",
            "all read data.pkl; torch's lookup ignores case",
            Reject,
            with(entry("archive/DATA.PKL", b"N.")),
        )
        .is(Malformed("duplicate")),
        both(
            "data_pkl_in_capitals_only",
            "torch loads it; zipfile, zip find nothing",
            Reject,
            capitals.build(),
        )
        .is(Malformed("missing")),
        both(
            "two_prefixes",
            "torch: error; zipfile, zip accept",
            Reject,
            with(entry("evil/data.pkl", b"N.")),
        )
        .is(Malformed("unexpected")),
        both(
            "backslashes",
            "torch: error; zipfile, zip accept",
            Reject,
            named(b"archive\\data.pkl"),
        )
        .is(Malformed("unexpected")),
        both(
            "parent_folder",
            "torch: error; zipfile, zip accept",
            Reject,
            named(b"archive/../../evil"),
        )
        .is(Malformed("unexpected")),
        both(
            "absolute",
            "torch: error; zipfile, zip accept",
            Reject,
            named(b"/etc/evil"),
        )
        .is(Malformed("unexpected")),
        both(
            "nul",
            "zipfile cuts the name at NUL; torch: error; zip finds nothing",
            Reject,
            named(b"archive/data.pkl\0.txt"),
        )
        .is(Malformed("unexpected")),
        row(
            "folder_named_as_the_pickle",
            "all read data.pkl",
            [Reject, Warn],
            with(entry("archive/data.pkl/", b"")),
        )
        .is(Malformed("duplicate"))
        .because("lenient: one name for a file and a folder is a repeated name, always an error"),
        both(
            "unicode_path",
            "zip renames the member; torch, zipfile ignore the field",
            Reject,
            first(|first| {
                let version_and_crc = [0x75, 0x70, 13, 0, 1, 0, 0, 0, 0];
                first.extra = [&version_and_crc[..], b"evil.pkl"].concat();
            }),
        )
        .is(Malformed("unexpected")),
        row(
            "version_missing",
            "torch: error",
            [Reject, Warn],
            framed(|zip| zip.entries.truncate(2)),
        )
        .is(Malformed("missing"))
        .lenient(Noted(&["missing-version"])),
    ]
}

fn frame() -> Vec<Row> {
    let junk = [7; 64].to_vec();
    let mut inner = good().build();
    // A comment that is itself the end of an archive, an empty one.
    let empty = Zip::default().build();
    inner.truncate(inner.len() - 2);
    inner.extend((empty.len() as u16).to_le_bytes());
    inner.extend(empty);
    vec![
        both(
            "junk_before_offsets_relative",
            "torch: no zip; zipfile, zip accept",
            Reject,
            framed(|zip| {
                zip.before = junk.clone();
                zip.shifted = false;
            }),
        )
        .is(Unsupported("no known format")),
        both(
            "junk_before_offsets_absolute",
            "torch: no zip; zipfile, zip accept",
            Reject,
            framed(|zip| zip.before = junk.clone()),
        )
        .is(Unsupported("no known format")),
        both(
            "pickle_before",
            "torch: error; zipfile, zip accept",
            Reject,
            framed(|zip| zip.before = good_pickle()),
        )
        .is(Malformed("missing")),
        both(
            "junk_after",
            "all accept",
            Reject,
            framed(|zip| zip.after = junk.clone()),
        )
        .is(Malformed("trailing-bytes")),
        row(
            "comment",
            "all accept",
            [Reject, Warn],
            framed(|zip| zip.comment = b"hello".to_vec()),
        )
        .is(Malformed("trailing-bytes"))
        .lenient(Noted(&["archive-comment"])),
        both(
            "two_archives_in_a_row",
            "torch reads the first; zipfile, zip the second",
            Reject,
            good().build().repeat(2),
        )
        .is(Malformed("mismatch"))
        .scanned_safe("distributed checkpoints write archives in a row; each is judged"),
        both(
            "end_inside_the_comment",
            "zipfile, zip: empty; torch: error",
            Reject,
            inner,
        )
        .is(Malformed("duplicate")),
        both(
            "count_too_small",
            "zipfile reads all; zip one less; torch: error",
            Reject,
            framed(|zip| zip.count = Some(2)),
        )
        .is(Malformed("mismatch")),
        both(
            "count_too_large",
            "zipfile accepts; torch, zip: error",
            Reject,
            framed(|zip| zip.count = Some(4)),
        )
        .is(Malformed("mismatch")),
        both(
            "disk_number_1",
            "zipfile accepts; torch, zip: error",
            Reject,
            framed(|zip| zip.disk = 1),
        )
        .is(Unsupported("several disks")),
        both(
            "zip64_names_another_directory",
            "torch, zipfile read what zip64 names; zip what the old record names",
            Reject,
            two_directories(),
        )
        .is(Malformed("mismatch")),
        both(
            "zip64_count_unlike_the_old_one",
            "zipfile, zip accept; torch: error",
            Reject,
            framed(|zip| zip.zip64 = Some(2)),
        )
        .is(Malformed("mismatch")),
        both(
            "zip64_size_unlike_the_old_one",
            "not measured",
            Reject,
            patched(framed(|zip| zip.zip64 = Some(3)), END_64, 40, &[1]),
        )
        .is(Malformed("mismatch")),
        both(
            "zip64_locator_to_nowhere",
            "not measured",
            Reject,
            patched(framed(|zip| zip.zip64 = Some(3)), LOCATOR_64, 8, &[0]),
        )
        .is(Malformed("missing")),
    ]
}

/// Two directories over the same members: the old record names the first, zip64 the second.
fn two_directories() -> Vec<u8> {
    let file = framed(|zip| zip.zip64 = Some(3));
    let (start, end) = (find(&file, CENTRAL), find(&file, END_64));
    let directory = file[start..end].to_vec();
    let mut file = [&file[..end], &directory, &file[end..]].concat();
    let (second, end) = ((start + directory.len()) as u64, find(&file, END_64) as u64);
    file = patched(file, END_64, 48, &second.to_le_bytes());
    patched(file, LOCATOR_64, 8, &end.to_le_bytes())
}

fn headers() -> Vec<Row> {
    let described = first(|first| first.descriptor = true);
    vec![
        both(
            "local_name_unlike_central",
            "torch, zip accept; zipfile: error",
            Reject,
            first(|first| first.local_name = Some(b"archive/evil.pkl".to_vec())),
        )
        .is(Malformed("unexpected")),
        both(
            "local_crc_unlike_central",
            "all accept",
            Reject,
            first(|first| first.local_crc = Some(1)),
        )
        .is(Malformed("mismatch")),
        both(
            "local_size_unlike_central",
            "all accept",
            Reject,
            first(|first| first.local_size = Some(1)),
        )
        .is(Malformed("mismatch")),
        both(
            "local_method_unlike_central",
            "all accept",
            Reject,
            first(|first| first.local_method = Some(8)),
        )
        .is(Malformed("mismatch")),
        both(
            "local_flag_encrypted",
            "all accept",
            Reject,
            first(|first| first.local_flags = Some(1)),
        )
        .is(Malformed("mismatch")),
        both(
            "encrypted",
            "all: error",
            Reject,
            first(|first| first.flags = 1),
        )
        .is(Unsupported("encrypted")),
        both(
            "patched",
            "zip accepts; torch, zipfile: error",
            Reject,
            first(|first| first.flags = 0x20),
        )
        .is(Unsupported("patched")),
        both(
            "strongly_encrypted",
            "zip accepts; torch, zipfile: error",
            Reject,
            first(|first| first.flags = 0x40),
        )
        .is(Unsupported("encrypted")),
        both(
            "descriptor_crc",
            "torch, zipfile, zip accept",
            Reject,
            first(|first| {
                first.descriptor = true;
                first.descriptor_crc = Some(1);
            }),
        )
        .is(Malformed("mismatch")),
        both(
            "descriptor_size",
            "torch, zipfile, zip accept",
            Reject,
            patched(described.clone(), DESCRIPTOR, 8, &[1]),
        )
        .is(Malformed("mismatch")),
        both(
            "descriptor_signature",
            "torch, zipfile, zip accept",
            Reject,
            patched(described, DESCRIPTOR, 0, b"QK"),
        )
        .is(Malformed("unexpected")),
    ]
}

fn layout() -> Vec<Row> {
    vec![
        both(
            "member_missing_in_the_directory",
            "all accept",
            Reject,
            framed(|zip| zip.entries[1].hidden = true),
        )
        .is(Malformed("gap")),
        both(
            "bytes_before_the_directory",
            "all accept",
            Reject,
            framed(|zip| zip.gap = vec![0; 10]),
        )
        .is(Malformed("gap")),
        both(
            "two_records_of_one_member",
            "zipfile, zip accept (zip tells of overlap); torch: error",
            Reject,
            framed(|zip| {
                // The same name in the local header would be a repeated one; so it is unlike.
                zip.entries[2].hidden = true;
                zip.entries.push(Entry {
                    header_offset: Some(0),
                    local_name: Some(Vec::new()),
                    ..entry("archive/version", b"3\n")
                });
            }),
        )
        .is(Malformed("unexpected")),
        both(
            "data_reaches_into_the_next_member",
            "not measured",
            Reject,
            {
                let mut zip = good();
                let longer = (zip.entries[0].data.len() + 8) as u32;
                zip.entries[0].size = Some(longer);
                let stored = longer.to_le_bytes();
                let file = patched(zip.build(), CENTRAL, 20, &stored);
                patched(file, b"PK\x03\x04", 18, &stored)
            },
        )
        .is(Malformed("overlap")),
    ]
}

fn contents() -> Vec<Row> {
    let replaced = |first: Entry| {
        let mut zip = good();
        zip.entries[0] = first;
        zip.build()
    };
    let flipped = framed(|zip| {
        zip.entries[1].crc = Some(crc(&zip.entries[1].data));
        zip.entries[1].data[2] ^= 1;
    });
    vec![
        both(
            "crc_of_the_pickle",
            "torch accepts; zipfile, zip: error",
            Reject,
            first(|first| first.crc = Some(1)),
        )
        .is(Malformed("mismatch")),
        both(
            "bit_of_a_tensor_flipped",
            "torch accepts; zipfile, zip: error when it is read",
            Accept,
            flipped,
        ),
        row(
            "data_pkl_deflated",
            "all accept",
            [Reject, Warn],
            replaced(deflated("archive/data.pkl", &good_pickle())),
        )
        .because("deflated members are read, within limits: tools rezip checkpoints"),
        row(
            "tensor_deflated",
            "all accept",
            [Reject, Warn],
            framed(|zip| {
                zip.entries[1] = deflated("archive/data/0", &[0, 0, 128, 63, 0, 0, 0, 64])
            }),
        )
        .because("deflated members are read, within limits: tools rezip checkpoints"),
        both(
            "empty_archive",
            "torch: error",
            Reject,
            Zip::default().build(),
        )
        .is(Unsupported("empty zip archive"))
        .scanned_safe("nothing hides in nothing"),
        both("end_missing", "all: error", Reject, {
            let file = good().build();
            file[..find(&file, END)].to_vec()
        })
        .is(Malformed("missing")),
    ]
}
