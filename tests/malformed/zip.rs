//! Rules: archives on which torch, Python's `zipfile` and Rust's `zip` disagree, and broken ones.

use weighbridge::ErrorKind;

use crate::support::torch::{good_pickle, members};
use crate::support::zip::{Entry, Zip, deflated, entry};
use crate::{Case, malformed, other};

pub fn cases() -> Vec<Case> {
    [names(), headers(), ends(), layout(), contents()]
        .into_iter()
        .flatten()
        .collect()
}

/// A right archive whose first member is changed.
fn with_first(change: impl Fn(&mut Entry)) -> Vec<u8> {
    let mut entries = members(&good_pickle());
    change(&mut entries[0]);
    Zip::of(entries).build()
}

/// A right archive with one more member.
fn with_more(more: Entry) -> Vec<u8> {
    let mut entries = members(&good_pickle());
    entries.push(more);
    Zip::of(entries).build()
}

/// A right archive whose frame is changed.
fn with_frame(change: impl Fn(&mut Zip)) -> Vec<u8> {
    let mut zip = Zip::of(members(&good_pickle()));
    change(&mut zip);
    zip.build()
}

fn names() -> Vec<Case> {
    let named = |name: &[u8]| {
        with_more(Entry {
            name: name.to_vec(),
            ..Entry::default()
        })
    };
    vec![
        malformed(
            "name_twice",
            "duplicate",
            with_more(entry("archive/data.pkl", b".")),
        ),
        malformed(
            "name_twice_in_another_case",
            "duplicate",
            with_more(entry("archive/DATA.PKL", b".")),
        ),
        malformed(
            "name_of_folder_and_file",
            "duplicate",
            with_more(entry("archive/data.pkl/", b"")),
        ),
        malformed("name_with_backslash", "unexpected", named(b"archive\\evil")),
        malformed(
            "name_with_parent",
            "unexpected",
            named(b"archive/../../evil"),
        ),
        malformed("name_absolute", "unexpected", named(b"/etc/evil")),
        malformed("name_with_drive", "unexpected", named(b"C:/evil")),
        malformed(
            "name_with_nul",
            "unexpected",
            named(b"archive/data.pkl\0.txt"),
        ),
        malformed("name_empty", "unexpected", named(b"")),
        malformed("name_not_utf8", "not-utf8", named(b"archive/\xff")),
        malformed(
            "name_unicode_path",
            "unexpected",
            with_first(|first| {
                first.extra = [&[0x75, 0x70, 14, 0, 1, 0, 0, 0, 0][..], b"evil.pkl", b"x"].concat();
            }),
        ),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        malformed(
            "local_name_unlike_central",
            "unexpected",
            with_first(|first| first.local_name = Some(b"archive/evil.pkl".to_vec())),
        ),
        malformed(
            "local_crc_unlike_central",
            "mismatch",
            with_first(|first| first.local_crc = Some(1)),
        ),
        malformed(
            "local_size_unlike_central",
            "mismatch",
            with_first(|first| first.local_size = Some(1)),
        ),
        malformed(
            "local_flags_unlike_central",
            "mismatch",
            with_first(|first| first.local_flags = Some(1)),
        ),
        malformed(
            "local_method_unlike_central",
            "mismatch",
            with_first(|first| first.local_method = Some(8)),
        ),
        malformed(
            "local_header_missing",
            "unexpected",
            with_first(|first| first.header_offset = Some(7)),
        ),
        malformed(
            "local_header_past_end",
            "truncated",
            with_first(|first| first.header_offset = Some(0x00ff_ffff)),
        ),
        malformed(
            "descriptor_crc_wrong",
            "mismatch",
            with_first(|first| {
                first.descriptor = true;
                first.descriptor_crc = Some(1);
            }),
        ),
        malformed(
            "stored_sizes_differ",
            "mismatch",
            with_first(|first| first.size = Some(1)),
        ),
        other(
            "encrypted",
            ErrorKind::Unsupported,
            with_first(|first| first.flags = 1),
        ),
        other(
            "patched",
            ErrorKind::Unsupported,
            with_first(|first| first.flags = 0x20),
        ),
        other(
            "strongly_encrypted",
            ErrorKind::Unsupported,
            with_first(|first| first.flags = 0x40),
        ),
        other(
            "method_bzip2",
            ErrorKind::Unsupported,
            with_first(|first| first.method = 12),
        ),
        other(
            "method_lzma",
            ErrorKind::Unsupported,
            with_first(|first| first.method = 14),
        ),
        other(
            "second_disk",
            ErrorKind::Unsupported,
            with_first(|first| first.disk = 1),
        ),
    ]
}

fn ends() -> Vec<Case> {
    let good = Zip::of(members(&good_pickle())).build();
    let mut nested = good.clone();
    // A comment that is itself the end of an archive.
    let empty_end = Zip::default().build();
    nested.truncate(nested.len() - 2);
    nested.extend((empty_end.len() as u16).to_le_bytes());
    nested.extend(empty_end);
    vec![
        malformed("end_missing", "missing", good[..good.len() - 22].to_vec()),
        malformed("end_truncated", "missing", good[..good.len() - 20].to_vec()),
        malformed("end_inside_the_comment", "duplicate", nested),
        malformed(
            "bytes_after_the_end",
            "trailing-bytes",
            with_frame(|zip| zip.after = vec![0; 64]),
        ),
        malformed(
            "comment",
            "trailing-bytes",
            with_frame(|zip| zip.comment = b"hello".to_vec()),
        ),
        malformed(
            "count_too_small",
            "mismatch",
            with_frame(|zip| zip.count = Some(2)),
        ),
        malformed(
            "count_too_large",
            "mismatch",
            with_frame(|zip| zip.count = Some(4)),
        ),
        other(
            "end_on_disk_1",
            ErrorKind::Unsupported,
            with_frame(|zip| zip.disk = 1),
        ),
        malformed(
            "zip64_count_unlike_classic",
            "mismatch",
            with_frame(|zip| zip.zip64 = Some(2)),
        ),
        malformed(
            "two_archives_in_a_row",
            "mismatch",
            [good.clone(), good].concat(),
        ),
    ]
}

fn layout() -> Vec<Case> {
    vec![
        malformed(
            "bytes_before_the_directory",
            "gap",
            with_frame(|zip| zip.gap = vec![0; 10]),
        ),
        malformed("bytes_between_members", "gap", {
            let mut entries = members(&good_pickle());
            entries[1].hidden = true;
            Zip::of(entries).build()
        }),
        malformed("two_names_for_one_member", "unexpected", {
            let mut entries = members(&good_pickle());
            entries[2].header_offset = Some(0);
            Zip::of(entries).build()
        }),
        malformed("directory_past_end", "mismatch", {
            let mut file = Zip::of(members(&good_pickle())).build();
            let at = file.len() - 6;
            file[at..at + 4].copy_from_slice(&0xffff_ff00_u32.to_le_bytes());
            file
        }),
        malformed("offsets_not_from_the_start", "mismatch", {
            // The archive's own bytes come first, so that only the offsets betray the prefix.
            let mut zip = Zip::of(members(&good_pickle()));
            zip.before = b"PK\x03\x04".to_vec();
            zip.shifted = false;
            zip.build()
        }),
        malformed("prefix_before_the_first_member", "gap", {
            let mut zip = Zip::of(members(&good_pickle()));
            zip.before = b"PK\x03\x04".to_vec();
            zip.build()
        }),
    ]
}

fn contents() -> Vec<Case> {
    let replaced = |first: Entry| {
        let mut entries = members(&good_pickle());
        entries[0] = first;
        Zip::of(entries).build()
    };
    let mut short = deflated("archive/data.pkl", &good_pickle());
    short.size = short.size.map(|size| size - 1);
    let mut long = deflated("archive/data.pkl", &good_pickle());
    long.size = long.size.map(|size| size + 1);
    let mut bomb = deflated("archive/data.pkl", &[0; 100_000]);
    bomb.size = Some(0x7fff_ffff);
    vec![
        malformed(
            "crc_of_pickle_wrong",
            "mismatch",
            with_first(|first| first.crc = Some(1)),
        ),
        malformed("crc_of_deflated_wrong", "mismatch", {
            replaced(Entry {
                crc: Some(1),
                ..deflated("archive/data.pkl", &good_pickle())
            })
        }),
        malformed("deflated_longer_than_stated", "invalid", replaced(short)),
        malformed("deflated_shorter_than_stated", "mismatch", replaced(long)),
        malformed(
            "deflated_garbage",
            "invalid",
            replaced(Entry {
                method: 8,
                size: Some(10),
                ..entry("archive/data.pkl", &[0xff; 8])
            }),
        ),
        other("deflate_bomb", ErrorKind::Limit, replaced(bomb)),
    ]
}
