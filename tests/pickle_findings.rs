//! What is reported of a pickle, how often, and what is not: each name once, the worst always, and nothing that an
//! honest pickle of unknown classes holds.

#![allow(missing_docs, unreachable_pub)]

use weighbridge::formats::pickle::{Event, EventKind, Judge, Surroundings, Tree, walk};
use weighbridge::limits::Budget;
use weighbridge::{Findings, Severity, Verdict};

fn judge(stream: &[u8]) -> Findings {
    let mut budget = Budget::default();
    let mut judge = Judge::new("", budget.policy());
    walk(stream, 0, &mut judge, &mut budget).unwrap();
    judge.into_findings()
}

/// The codes of the findings that are verdicts, in order.
fn codes(stream: &[u8]) -> Vec<&'static str> {
    let findings = judge(stream);
    let findings = findings.as_slice().iter();
    let verdicts = findings.filter(|finding| matches!(finding.severity, Severity::Verdict(_)));
    verdicts.map(|finding| finding.code).collect()
}

/// A list of globals, none of them called.
fn globals(names: &[String]) -> Vec<u8> {
    let names: String = names.iter().map(|name| format!("c{name}\n")).collect();
    format!("({names}l.").into_bytes()
}

#[test]
fn each_unknown_global_is_reported_once() {
    let names = ["a\nx", "b\nx", "a\nx", "a\ny", "b\nx"].map(String::from);
    let findings = judge(&globals(&names));
    let messages = findings.as_slice().iter().map(|finding| &finding.message);
    let told: Vec<&str> = messages
        .map(|message| message.split('"').nth(1).unwrap())
        .collect();
    assert_eq!(told, ["a.x", "b.x", "a.y"]);
    assert_eq!(findings.verdict(), Verdict::Unrecognised);
    // Of dangerous ones too.
    let names = ["os\nsystem", "a\nx", "os\nsystem"].map(String::from);
    let codes = codes(&globals(&names));
    assert_eq!(codes, ["dangerous-global", "unrecognised-global"]);
}

/// However many harmless names stand before it.
#[test]
fn a_dangerous_global_behind_many_unknown_ones_is_reported() {
    for before in [
        Findings::MOST - 1,
        Findings::MOST,
        Findings::MOST + 1,
        1_000,
    ] {
        let mut names: Vec<String> = (0..before).map(|no| format!("module{no}\nx")).collect();
        names.push(String::from("os\nsystem"));
        let findings = judge(&globals(&names));
        assert_eq!(findings.verdict(), Verdict::Dangerous, "{before}");
        let last = findings.as_slice().last().unwrap();
        assert_eq!(last.code, "dangerous-global", "{before}");
        assert!(last.message.contains("os.system"), "{}", last.message);
        // Those that are not listed are counted.
        let dropped = before.saturating_sub(Findings::MOST);
        assert_eq!(findings.dropped(), dropped as u64, "{before}");
    }
}

/// `a.b.c` is the name `c` of the module `a.b`, or `b.c` of `a`, which walks through attributes: the second is reported
/// though the first reads the same, and the first is not reported again behind it.
#[test]
fn a_dangerous_global_that_reads_as_an_unknown_one_is_reported() {
    let names = ["a.b\nc", "a\nb.c", "a.b\nc"].map(String::from);
    let codes = codes(&globals(&names));
    assert_eq!(codes, ["unrecognised-global", "dangerous-global"]);
}

/// A name that is not remembered counts as often as it is mentioned.
#[test]
fn each_mention_of_a_global_that_is_not_remembered_is_counted() {
    let mut names: Vec<String> = (0..=Findings::MOST)
        .map(|no| format!("module{no}\nx"))
        .collect();
    let last = names.last().unwrap().clone();
    names.push(last);
    // The first name is one of those remembered.
    names.push(String::from("module0\nx"));
    let findings = judge(&globals(&names));
    assert_eq!(findings.as_slice().len(), Findings::MOST);
    assert_eq!(findings.dropped(), 2);
}

/// An object of a class that nobody knows may take items, and keyword arguments: what it does with them is as unknown
/// as the class, which is reported.
#[test]
fn what_unknown_classes_take_is_reported_with_the_class_alone() {
    let class = b"\x80\x04cmy.module\nMyClass\n)";
    for rest in [
        &b"\x81(\x8c\x01aNu."[..],
        b"\x81\x8c\x01aNs.",
        b"\x81Na.",
        b"\x81(NNe.",
        b"}\x8c\x01aNs\x92.",
        b"}\x92.",
    ] {
        let stream = [&class[..], rest].concat();
        assert_eq!(codes(&stream), ["unrecognised-global"], "{rest:?}");
    }
    // A class that is known, and takes none.
    let class = b"\x80\x04ctorch\nSize\n)";
    for (rest, code) in [
        (&b"\x81(\x8c\x01aNu."[..], "mutation"),
        (b"\x81Na.", "mutation"),
        (b"}\x8c\x01aNs\x92.", "arguments"),
    ] {
        let stream = [&class[..], rest].concat();
        assert!(codes(&stream).contains(&code), "{rest:?}");
    }
    let none = b"\x80\x04ccollections\nOrderedDict\n)}\x92.";
    assert!(codes(none).is_empty());
}

/// An object of the extension registry is dangerous whatever it takes.
#[test]
fn what_extensions_take_is_reported_with_the_extension_alone() {
    for stream in [&b"\x80\x02\x82\x01Na."[..], b"\x80\x02\x82\x01U\x01aNs."] {
        assert_eq!(codes(stream), ["extension"], "{stream:?}");
    }
}

#[test]
fn pickles_inside_a_pickle_are_listed_up_to_a_number() {
    for (calls, each, listed) in [(1, 1, 1), (3, 16, 48), (8, 16, Findings::MOST), (1, 17, 16)] {
        let mut stream = b"\x80\x03(".to_vec();
        for _ in 0..calls {
            stream.extend(b"ca\nx\n(");
            for _ in 0..each {
                stream.extend(b"C\x02\x80\x02");
            }
            stream.extend(b"tR");
        }
        stream.extend(b"l.");
        let mut budget = Budget::default();
        let mut judge = Judge::new("", budget.policy());
        walk(&stream, 0, &mut judge, &mut budget).unwrap();
        assert_eq!(judge.embedded().len(), listed, "{calls} calls of {each}");
    }
}

/// A tree is empty until the first value stands.
#[test]
fn events_see_the_tree_as_far_as_it_is_built() {
    let mut seen = Vec::new();
    let mut sink = |event: &Event, tree: &Tree<'_>| {
        let name = match event.kind {
            EventKind::Anomaly(_) => "anomaly",
            EventKind::Global(_) => "global",
            _ => return,
        };
        seen.push((name, tree.is_empty(), tree.len()));
    };
    // The second protocol is one too many.
    walk(
        b"\x80\x02\x80\x02cos\nsystem\n.",
        0,
        &mut sink,
        &mut Budget::default(),
    )
    .unwrap();
    assert_eq!(seen, [("anomaly", true, 0), ("global", false, 1)]);
}

/// What is harmless in one place is so by its whole name, and nowhere else.
#[test]
fn names_are_harmless_only_where_they_belong() {
    use Surroundings::{Anywhere, Distributed, Script};
    let verdict = |surroundings: Surroundings, name: &str| {
        let mut budget = Budget::default();
        let mut judge = Judge::new("", budget.policy()).within(surroundings);
        let stream = globals(&[String::from(name)]);
        walk(&stream, 0, &mut judge, &mut budget).unwrap();
        judge.into_findings().verdict()
    };
    let metadata = "torch.distributed.checkpoint.metadata\n";
    for (surroundings, module, name) in [
        (Script, "torch.jit._pickle\n", "build_intlist"),
        (Script, "__torch__\n", "M"),
        (Script, "__torch__.a.b\n", "M"),
        (Distributed, metadata, "Metadata"),
    ] {
        let whole = format!("{module}{name}");
        assert_eq!(verdict(surroundings, &whole), Verdict::Safe, "{whole}");
        for other in [Anywhere, Script, Distributed] {
            if other != surroundings && module != "torch.jit._pickle\n" {
                assert_ne!(verdict(other, &whole), Verdict::Safe, "{whole}");
            }
        }
        let elsewhere = format!("my.module\n{name}");
        assert_eq!(
            verdict(surroundings, &elsewhere),
            Verdict::Unrecognised,
            "{elsewhere}"
        );
    }
    for (surroundings, other) in [
        (Script, "torch.jit._pickle\nbuild_anything"),
        (Script, "__torch__x\nM"),
        (
            Distributed,
            "torch.distributed.checkpoint.metadata\nAnything",
        ),
    ] {
        assert_eq!(
            verdict(surroundings, other),
            Verdict::Unrecognised,
            "{other}"
        );
    }
}

/// `("module", class, file, source)`: torch's old loader warns of it, and the class is reported.
#[test]
fn the_id_of_a_class_with_its_source_is_an_id_of_torchs() {
    let id = |kind: &[u8]| [b"\x80\x02(", kind, b"cmy.module\nNet\nU\x01fU\x01stQ."].concat();
    assert_eq!(codes(&id(b"U\x06module")), ["unrecognised-global"]);
    let codes = codes(&id(b"U\x06models"));
    assert_eq!(codes, ["unrecognised-global", "persistent-id"]);
}
