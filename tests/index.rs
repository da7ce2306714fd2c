//! The index by itself: what its accessors say, and what a tensor costs in the budget.

#![allow(missing_docs, unreachable_pub)]

mod support;

use support::gguf::{Gguf, STRING, U32};
use weighbridge::bytes::Span;
use weighbridge::index::{Absence, Attributes, Builder, Draft, Index};
use weighbridge::limits::{Budget, Limits};
use weighbridge::{DType, Error, Malformed, Strictness};

fn budget(heap_bytes: u64) -> Budget {
    let mut limits = Limits::default();
    limits.heap_bytes = heap_bytes;
    Budget::new(limits, Strictness::Strict)
}

/// A tensor of bytes with so many of them.
fn bytes<'a>(name: &'a str, shape: &'a [u64], length: u64) -> Draft<'a> {
    Draft {
        name,
        dtype: DType::U8,
        shape,
        span: Span::new("x", 0, length, length).unwrap(),
        ..Draft::default()
    }
}

fn index(drafts: &[Draft<'_>]) -> Index {
    let mut builder = Builder::new();
    let mut budget = Budget::default();
    for draft in drafts {
        builder.push(draft, &mut budget).unwrap();
    }
    builder.finish(&[], &mut budget).unwrap()
}

/// What `work` charges on an empty builder: with so much it succeeds, with one byte less it is refused.
fn charge(expected: u64, work: impl Fn(&mut Builder, &mut Budget) -> Result<(), Error>) {
    work(&mut Builder::new(), &mut budget(expected)).unwrap();
    let error = work(&mut Builder::new(), &mut budget(expected - 1)).unwrap_err();
    assert_eq!(error.as_limit().unwrap().0, "heap_bytes");
}

/// Bytes of a record: a line of the cache.
const RECORD: u64 = 64;

#[test]
fn an_index_is_empty_until_something_is_added() {
    let mut builder = Builder::new();
    assert!(builder.is_empty());
    let nothing = index(&[]);
    assert!(nothing.is_empty());
    assert_eq!((nothing.len(), nothing.storages()), (0, 0));
    builder
        .push(&bytes("x", &[], 1), &mut Budget::default())
        .unwrap();
    assert!(!builder.is_empty());
    let one = builder.finish(&[], &mut Budget::default()).unwrap();
    assert!(!one.is_empty());
    assert!(one.metadata().is_empty());
    assert!(one.metadata().view(&[]).is_empty());

    let file = Gguf::default().pair_u32("a", 1).build();
    let model = weighbridge::formats::read(&file, &mut Budget::default()).unwrap();
    assert!(model.index.is_empty());
    assert!(!model.index.metadata().is_empty());
    assert!(!model.index.metadata().view(&file).is_empty());
}

#[test]
fn storages_are_counted_once_each() {
    let shared = |name, storage| Draft {
        storage,
        ..bytes(name, &[2], 2)
    };
    let mut builder = Builder::new();
    let (first, second) = (builder.new_storage(), builder.new_storage());
    assert_ne!(first, second);
    let mut budget = Budget::default();
    for (name, storage) in [("a", first), ("b", second), ("c", first)] {
        builder
            .push(&shared(name, Some(storage)), &mut budget)
            .unwrap();
    }
    builder.push(&shared("d", None), &mut budget).unwrap();
    let index = builder.finish(&[], &mut budget).unwrap();
    assert_eq!(index.storages(), 3);
    let storages: Vec<u32> = index.iter().map(|entry| entry.storage()).collect();
    assert_eq!(storages, [first, second, first, 2]);
}

#[test]
fn elements_are_the_product_of_the_dimensions() {
    let index = index(&[
        bytes("scalar", &[], 1),
        bytes("matrix", &[2, 3], 6),
        bytes("empty", &[4, 0, 5], 0),
        bytes("long", &[1, 70_000, 1], 70_000),
    ]);
    let elements: Vec<u64> = index.iter().map(|entry| entry.elements()).collect();
    assert_eq!(elements, [1, 6, 0, 70_000]);
}

#[test]
fn the_reason_of_an_absence_says_which_it_is() {
    for (absence, word) in [
        (Absence::ShapeOnly, "shape"),
        (Absence::OutOfBand, "outside the pickle"),
        (Absence::NoStorage, "storage"),
        (Absence::InPieces, "pieces"),
        (Absence::OtherLayout, "strides"),
    ] {
        assert!(absence.reason().contains(word), "{absence:?}");
    }
}

#[test]
fn strides_are_as_many_as_dimensions() {
    // Without the last dimension, which is 1, the strides would reach over the same bytes.
    let strides: &[u64] = &[1];
    let draft = Draft {
        strides: Some(strides),
        ..bytes("x", &[3, 1], 3)
    };
    let error = Builder::new()
        .push(&draft, &mut Budget::default())
        .unwrap_err();
    let expected = Malformed::Mismatch {
        what: "the number of strides",
        found: 1,
        expected: 2,
    };
    assert_eq!(error.as_malformed(), Some(&expected));
    assert_eq!(error.tensor(), Some("x"));
}

#[test]
fn each_attribute_alone_is_kept() {
    let none = Attributes::default();
    let sets = [
        Attributes {
            requires_grad: true,
            ..none
        },
        Attributes {
            device: "cpu",
            ..none
        },
        Attributes {
            class_module: "m",
            ..none
        },
        Attributes {
            class_name: "c",
            ..none
        },
        none,
        Attributes {
            device: "cpu",
            class_name: "c",
            ..none
        },
        // The same letters, cut elsewhere.
        Attributes {
            device: "cp",
            class_module: "u",
            class_name: "c",
            ..none
        },
        none,
    ];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    // Twice: what stands beside the tensor before, and what is found among all.
    for order in [vec![0, 1, 2, 3, 4, 5, 6, 7], vec![0, 0, 1, 1, 0, 6, 5, 4]] {
        let drafts: Vec<Draft<'_>> = names
            .iter()
            .zip(&order)
            .map(|(name, &set)| Draft {
                attributes: sets[set],
                ..bytes(name, &[], 1)
            })
            .collect();
        let index = index(&drafts);
        for (entry, &set) in index.iter().zip(&order) {
            assert_eq!(entry.attributes(), sets[set]);
        }
    }
}

/// The record, its name (room for 64 bytes at first), and for attributes what stands beside all tensors.
#[test]
fn a_tensor_without_attributes_costs_its_record_and_name() {
    let plain = 16 * RECORD + 64;
    charge(plain, |builder, budget| {
        builder.push(&bytes("x", &[], 1), budget)
    });
    // 16 dimensions at first.
    charge(plain + 16 * 8, |builder, budget| {
        builder.push(&bytes("x", &[1], 1), budget)
    });
    let attributes = Attributes {
        requires_grad: true,
        ..Attributes::default()
    };
    let known = Draft {
        attributes,
        ..bytes("x", &[], 1)
    };
    let error = Builder::new().push(&known, &mut budget(plain)).unwrap_err();
    assert_eq!(error.as_limit().unwrap().0, "heap_bytes");
}

#[test]
fn room_for_tensors_that_are_counted_first_is_charged_at_once() {
    charge(10 * RECORD + 30 * 8, |builder, budget| {
        builder.reserve(10, 30, budget)
    });
    // Then the records cost nothing more; the names do.
    charge(20 * RECORD + 64, |builder, budget| {
        builder.reserve(20, 0, budget)?;
        (0..20).try_for_each(|no| builder.push(&bytes(&no.to_string(), &[], 1), budget))
    });
}

/// Half again as many slots as names, and one; no table for up to 8.
#[test]
fn looking_up_names_costs_six_bytes_each() {
    let names: Vec<String> = (0..1_001).map(|no| no.to_string()).collect();
    for (count, slots) in [(8, 0), (9, 14), (1_000, 1_501), (1_001, 1_502)] {
        let filled = || {
            let mut builder = Builder::new();
            for name in names.iter().take(count) {
                builder
                    .push(&bytes(name, &[], 1), &mut Budget::default())
                    .unwrap();
            }
            builder
        };
        let cost = 4 * slots;
        filled().enter_names(&mut budget(cost)).unwrap();
        if cost > 0 {
            filled().enter_names(&mut budget(cost - 1)).unwrap_err();
        }
    }
}

/// Printing an array or a text says its type and length, or the text, and never follows the file's structure.
#[test]
fn values_print_as_what_they_are() {
    let file = Gguf::default();
    let strings = [file.string(b"a\"b"), file.string(b"\xff")].concat();
    let numbers: Vec<u8> = (0..5_u32).flat_map(u32::to_le_bytes).collect();
    let file = file
        .pair_array("strings", STRING, 2, &strings)
        .pair_array("numbers", U32, 5, &numbers)
        .pair_string("text", b"a\"b");
    let model = weighbridge::Checkpoint::from_bytes(file.build()).unwrap();
    let value = |key: &str| model.metadata().get(key).unwrap();
    let print = |key: &str| format!("{:?}", value(key).as_array().unwrap());
    let name = |key: &str| value(key).as_array().unwrap().value_type().name();
    assert_eq!(print("strings"), format!("[{}; 2]", name("strings")));
    assert_eq!(print("numbers"), format!("[{}; 5]", name("numbers")));
    let texts: Vec<String> = value("strings")
        .as_array()
        .unwrap()
        .strings()
        .unwrap()
        .map(|text| format!("{text:?}"))
        .collect();
    assert_eq!(texts, [r#""a\"b""#, "\"\u{fffd}\""]);
}

/// At most as many elements as are left; fewer if the file is changed meanwhile.
#[test]
fn the_elements_of_an_array_say_how_many_may_come() {
    let numbers: Vec<u8> = (0..3_u32).flat_map(u32::to_le_bytes).collect();
    let file = Gguf::default().pair_array("numbers", U32, 3, &numbers);
    let model = weighbridge::Checkpoint::from_bytes(file.build()).unwrap();
    let value = model.metadata().get("numbers").unwrap();
    let mut elements = value.as_array().unwrap().iter();
    for left in (0..=3).rev() {
        assert_eq!(elements.size_hint(), (0, Some(left)));
        assert_eq!(elements.next().is_some(), left > 0);
    }
}
