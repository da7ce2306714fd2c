//! Headers of zip members that archives below 4 GiB seldom have: numbers of 64 bits, long descriptors.
//!
//! Rules: APPNOTE 6.3.10, 4.3.9 (data descriptor) and 4.5.3 (zip64 extended information).

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::zip::{Entry, Zip, crc, entry};
use weighbridge::formats::zip::Archive;
use weighbridge::limits::Budget;
use weighbridge::{Error, ErrorKind};

const DATA: &[u8] = b"four";

/// An extra field.
fn extra(id: u16, contents: &[u8]) -> Vec<u8> {
    let length = contents.len() as u16;
    [&id.to_le_bytes()[..], &length.to_le_bytes(), contents].concat()
}

fn wide(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// A first member, and one whose entry in the directory leaves size and offset to an extra field.
fn zip(change: impl Fn(&mut Entry)) -> Vec<u8> {
    let mut second = Entry {
        size: Some(u32::MAX),
        local_size: Some(4),
        header_offset: Some(u32::MAX),
        ..entry("m/b", DATA)
    };
    change(&mut second);
    Zip::of(vec![entry("m/a", DATA), second]).build()
}

/// Where the second member starts: behind 30 bytes, a name of 3 and 4 bytes of data.
const SECOND: u64 = 37;

fn error(bytes: &[u8]) -> Error {
    Archive::read(bytes, &mut Budget::default()).unwrap_err()
}

#[test]
fn numbers_of_64_bits_stand_in_an_extra_field() {
    let other = extra(0xcafe, b"alignment");
    for (disk, contents) in [
        (0, wide(&[4, SECOND])),
        (u16::MAX, [wide(&[4, SECOND]), vec![0; 4]].concat()),
    ] {
        let file = zip(|entry| {
            entry.disk = disk;
            entry.extra = [other.clone(), extra(1, &contents), other.clone()].concat();
        });
        let archive = Archive::read(&file, &mut Budget::default()).unwrap();
        let member = archive.find("m/b").unwrap();
        assert_eq!(member.size, 4);
        assert_eq!(member.stored(&file), DATA);
        assert_eq!(member.data.start(), SECOND + 33);
        assert!(archive.find("m/c").is_none());
    }
}

#[test]
fn extra_fields_that_do_not_say_the_numbers_are_errors() {
    let long = |disk: u8| [wide(&[4, SECOND]), vec![disk, 0, 0, 0]].concat();
    for (disk, extra, kind, code, words) in [
        (
            0,
            [extra(1, &wide(&[4, SECOND])), extra(1, &wide(&[4, SECOND]))].concat(),
            ErrorKind::Malformed,
            "duplicate",
            "zip64",
        ),
        (
            0,
            extra(1, &wide(&[4])),
            ErrorKind::Malformed,
            "truncated",
            "zip64",
        ),
        (
            u16::MAX,
            extra(1, &wide(&[4, SECOND])),
            ErrorKind::Malformed,
            "truncated",
            "disk",
        ),
        (
            u16::MAX,
            extra(1, &long(1)),
            ErrorKind::Unsupported,
            "",
            "disks",
        ),
        (1, extra(1, &long(0)), ErrorKind::Unsupported, "", "disks"),
        (
            0,
            extra(1, &wide(&[5, SECOND])),
            ErrorKind::Malformed,
            "mismatch",
            "stored member",
        ),
        (
            0,
            extra(1, &wide(&[4, u64::MAX])),
            ErrorKind::Malformed,
            "truncated",
            "local header",
        ),
        (
            0,
            vec![1, 0, 16, 0, 4],
            ErrorKind::Malformed,
            "truncated",
            "extra field",
        ),
    ] {
        let file = zip(|entry| {
            entry.disk = disk;
            entry.extra.clone_from(&extra);
        });
        let error = error(&file);
        assert_eq!(error.kind(), kind, "{error}");
        let found = error.as_malformed().map_or("", |rule| rule.code());
        assert_eq!(found, code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.offset().is_some(), "{error}");
    }
}

/// A member whose numbers stand behind its data, in 4 or 8 bytes each, with the signature and without.
#[test]
fn descriptors_have_four_lengths() {
    let file = |descriptor: Vec<u8>| {
        let open = Entry {
            flags: 8,
            local_crc: Some(0),
            local_size: Some(0),
            ..entry("m/a", DATA)
        };
        Zip {
            gap: descriptor,
            ..Zip::of(vec![open])
        }
        .build()
    };
    let descriptor = |signature: &[u8], crc: u32, sizes: Vec<u8>| {
        [signature, &crc.to_le_bytes(), &sizes].concat()
    };
    let short = |size: u32| [DATA.len() as u32, size].map(u32::to_le_bytes).concat();
    let long = |size: u64| wide(&[DATA.len() as u64, size]);
    let right = crc(DATA);
    for signature in [&b""[..], b"PK\x07\x08"] {
        for sizes in [short(4), long(4)] {
            let bytes = file(descriptor(signature, right, sizes.clone()));
            let archive = Archive::read(&bytes, &mut Budget::default()).unwrap();
            assert_eq!(archive.find("m/a").unwrap().stored(&bytes), DATA);
            let error = error(&file(descriptor(signature, right ^ 1, sizes)));
            assert!(error.to_string().contains("descriptor's crc"), "{error}");
        }
        for sizes in [short(5), long(5), long(1 << 32)] {
            let error = error(&file(descriptor(signature, right, sizes)));
            let found = error.as_malformed().map(|rule| rule.code());
            assert_eq!(found, Some("mismatch"), "{error}");
            assert!(error.to_string().contains("descriptor's size"), "{error}");
            // Header, name, data.
            assert_eq!(error.offset(), Some(37), "{error}");
        }
    }
    let error = error(&file(descriptor(b"PK\x05\x07", right, long(4))));
    assert!(error.to_string().contains("signature"), "{error}");
}

/// The second member stands in the data of the first, whose descriptor would have to come later.
#[test]
fn a_member_inside_another_is_an_error() {
    let inner = Zip::of(vec![entry("m/b", DATA)]).build();
    let inner = &inner[..37];
    let outer = Entry {
        descriptor: true,
        ..entry("m/a", inner)
    };
    let second = Entry {
        header_offset: Some(33),
        ..entry("m/b", DATA)
    };
    let error = error(&Zip::of(vec![outer, second]).build());
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.offset().is_some(), "{error}");
}

/// Whatever the keys of the hashes are: each time a table is made anew.
#[test]
fn a_name_that_repeats_is_found_among_many() {
    let mut entries: Vec<Entry> = (0..100)
        .map(|no| entry(&format!("m/name{no}"), b""))
        .collect();
    for no in 0..100 {
        entries.push(entry(&format!("m/NAME{no}"), b""));
        let file = Zip::of(entries.clone()).build();
        let error = error(&file);
        let rule = error.as_malformed().map(|rule| rule.code());
        assert_eq!(rule, Some("duplicate"), "{error}");
        assert!(
            error.to_string().contains(&format!("NAME{no}\"")),
            "{error}"
        );
        entries.pop();
    }
    Archive::read(&Zip::of(entries).build(), &mut Budget::default()).unwrap();
}

/// A number that the local header leaves open must stand behind the data.
#[test]
fn a_local_header_leaves_numbers_open_only_with_a_descriptor() {
    let of = |change: fn(&mut Entry)| {
        let mut first = entry("m/a", DATA);
        change(&mut first);
        Archive::read(&Zip::of(vec![first]).build(), &mut Budget::default()).map(|_| ())
    };
    of(|_| {}).unwrap();
    of(|entry| entry.descriptor = true).unwrap();
    for change in [
        (|entry| entry.local_crc = Some(0)) as fn(&mut Entry),
        |entry| entry.local_size = Some(0),
        |entry| {
            entry.descriptor = true;
            entry.local_crc = Some(1);
        },
        |entry| {
            entry.descriptor = true;
            entry.local_size = Some(3);
        },
    ] {
        assert_eq!(of(change).unwrap_err().kind(), ErrorKind::Malformed);
    }
}

/// The record at the end says on which disk it stands, and on which the directory starts (4.3.16); the locator of the
/// zip64 record says where that one stands, and how many disks there are (4.3.15).
#[test]
fn an_archive_of_several_disks_is_not_read() {
    let plain = Zip::of(vec![entry("m/a", DATA)]);
    let file = plain.build();
    let end = file.len() - 22;
    for place in [4, 6] {
        let mut file = file.clone();
        file[end + place] = 1;
        assert_eq!(error(&file).kind(), ErrorKind::Unsupported, "{place}");
    }
    let file = Zip {
        zip64: Some(1),
        ..plain
    };
    let file = file.build();
    let locator = file.len() - 22 - 20;
    assert_eq!(&file[locator..locator + 4], b"PK\x06\x07");
    Archive::read(&file, &mut Budget::default()).unwrap();
    for (place, number, right) in [(4, 1, false), (16, 2, false), (16, 1, true), (16, 0, true)] {
        let mut file = file.clone();
        file[locator + place] = number;
        match Archive::read(&file, &mut Budget::default()) {
            Ok(_) => assert!(right, "{place} {number}"),
            Err(error) => {
                assert!(!right, "{place} {number}: {error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            }
        }
    }
}
