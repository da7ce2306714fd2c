//! What the events of a pickle say about it: an allow-list over what was really simulated.
//!
//! A pure fold: file names, extensions and the machine play no part. A global that is not listed is
//! `unrecognised`; one that is known to run code, a name that cannot be known, and a call of
//! something that is no global are `dangerous`; what no pickler writes is `malformed`. The list of
//! dangerous modules only explains: leaving one out makes it unrecognised, never safe.

mod globals;

use std::collections::HashSet;

use globals::{Known, classify, is_distributed};

use crate::error::shortened;
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::formats::pickle::{Event, EventKind, Global, NodeId, Sink, Tree, Value};

/// Where a pickle stands: some globals are harmless there and only there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Surroundings {
    #[default]
    Anywhere,
    /// TorchScript's own unpickler makes objects of the archive's classes and knows no others.
    Script,
    /// The description of a distributed checkpoint.
    Distributed,
}

/// Folds the events of one stream into findings.
pub(super) struct Policy {
    stream: String,
    surroundings: Surroundings,
    findings: Findings,
    /// Globals already reported.
    reported: HashSet<String>,
}

impl Policy {
    /// A policy for the stream of this name; empty for the file itself.
    pub(super) fn new(stream: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            surroundings: Surroundings::Anywhere,
            findings: Findings::default(),
            reported: HashSet::new(),
        }
    }

    /// The same policy for a pickle that stands somewhere special.
    pub(super) fn within(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    pub(super) fn into_findings(self) -> Findings {
        self.findings
    }

    fn report(&mut self, verdict: Verdict, code: &'static str, event: &Event, message: String) {
        let finding = Finding::new(Severity::Verdict(verdict), code, message);
        self.findings
            .push(finding.at(event.offset).in_stream(&self.stream));
    }

    fn global(&mut self, event: &Event, global: Global<'_>) {
        let harmless = match self.surroundings {
            Surroundings::Anywhere => false,
            Surroundings::Script => {
                let class = global.module == "__torch__" || global.module.starts_with("__torch__.");
                class && !global.name.contains('.')
            }
            Surroundings::Distributed => is_distributed(global.module, global.name),
        };
        let known = match harmless {
            true => Known::Allowed,
            false => classify(global.module, global.name),
        };
        if known == Known::Allowed {
            return;
        }
        let name = format!("{}.{}", shortened(global.module), shortened(global.name));
        if self.reported.len() >= Findings::MOST || !self.reported.insert(name.clone()) {
            // Counted and folded all the same, should it be the first dangerous one.
            if let Known::Unrecognised = known {
                return;
            }
        }
        match known {
            Known::Dangerous(why) => {
                let message = format!("loading it would use {name:?}: {why}");
                self.report(Verdict::Dangerous, "dangerous-global", event, message);
            }
            _ => {
                let message = format!("loading it would import {name:?}, which is not on the list");
                self.report(Verdict::Unrecognised, "unrecognised-global", event, message);
            }
        }
    }

    fn call(&mut self, event: &Event, tree: &Tree<'_>, callable: NodeId, arguments: NodeId) {
        match tree.value(callable) {
            Value::Global(global) => self.check_arguments(event, tree, global, arguments),
            // `("module", class, file, source)` of a legacy module names its class itself.
            Value::PersistentId(id) if is_module_id(tree, id) => {}
            Value::Extension(_) => {}
            _ => {
                let message = String::from("loading it would call something that is no global");
                self.report(Verdict::Dangerous, "dynamic-call", event, message);
            }
        }
    }

    /// Functions that are harmless with some arguments only.
    fn check_arguments(
        &mut self,
        event: &Event,
        tree: &Tree<'_>,
        global: Global<'_>,
        arguments: NodeId,
    ) {
        let arguments = tree.sequence(arguments).unwrap_or_default();
        let odd = match (global.module, global.name) {
            ("_codecs", "encode") => {
                let codec = arguments.get(1).and_then(|&codec| tree.str(codec));
                arguments.len() != 2 || codec != Some("latin1")
            }
            ("builtins", "bytearray" | "bytes") => arguments
                .first()
                .is_some_and(|&size| matches!(tree.value(size), Value::Int(_) | Value::BigInt(_))),
            _ => false,
        };
        if odd {
            let message = format!("unexpected arguments of {:?}", global.name);
            self.report(Verdict::Malformed, "arguments", event, message);
        }
    }

    fn persistent_id(&mut self, event: &Event, tree: &Tree<'_>, id: NodeId) {
        let kind = tree
            .sequence(id)
            .and_then(|items| tree.str(*items.first()?));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let known = matches!(kind, Some("storage" | "module"))
            || is_module_id(tree, id)
            || tree.int(id).is_some()
            || tree.str(id).is_some_and(digits);
        if !known {
            let message = String::from("it asks its loader for an object of an unknown kind");
            self.report(Verdict::Unrecognised, "persistent-id", event, message);
        }
    }
}

impl Sink for Policy {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        match event.kind {
            EventKind::Global(id) => {
                if let Some(global) = tree.global(id) {
                    self.global(event, global);
                }
            }
            EventKind::Extension(code) => {
                let message =
                    format!("it takes object {code} of the extension registry, whatever that is");
                self.report(Verdict::Dangerous, "extension", event, message);
            }
            EventKind::Call {
                callable,
                arguments,
            } => self.call(event, tree, callable, arguments),
            EventKind::Build { target, .. } => {
                if matches!(tree.value(target), Value::Global(_)) {
                    let message = String::from("loading it would change a class or module");
                    self.report(Verdict::Dangerous, "build-global", event, message);
                }
            }
            EventKind::PersistentId(id) => self.persistent_id(event, tree, id),
            EventKind::Anomaly(anomaly) => {
                let message = format!("{} does what no pickler writes", event.opcode.name());
                self.report(Verdict::Malformed, anomaly.code(), event, message);
            }
            EventKind::Mutation(_) | EventKind::Stop => {}
        }
    }
}

fn is_module_id(tree: &Tree<'_>, id: NodeId) -> bool {
    match tree.sequence(id) {
        Some(&[kind, class, ..]) => {
            // The tar archives of torch 0.1 begin with the class.
            let old = tree.global(kind).is_some();
            old || (tree.str(kind) == Some("module") && tree.global(class).is_some())
        }
        _ => false,
    }
}
