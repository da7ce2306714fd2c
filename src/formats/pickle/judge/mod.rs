//! What the events of a pickle say about it: an allow-list over what was really simulated.
//!
//! A pure fold over events and a [`Policy`]: file names, extensions and the machine play no part. A global
//! that is not listed is `unrecognised`; one that is known to run code, a name that cannot be known, and a
//! call of something that is no global are `dangerous`; what no pickler writes is `malformed`. The list of
//! dangerous globals only explains: leaving one out makes it unrecognised, never safe.

mod ids;
mod listed;
mod signatures;
mod states;
mod words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::event::{Event, EventKind, Sink};
use super::global::Global;
use super::is_plausible;
use super::tree::{Node, NodeId, Object, Tree, Value};
use crate::error::shortened;
use crate::findings::{Finding, Findings, Severity, Verdict};
use crate::policy::{Policy, Standing};
use listed::{Listed, Told};

pub use ids::is_module_id;

/// Where a pickle stands: some globals are harmless there and only there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Surroundings {
    /// A loader of any kind.
    #[default]
    Anywhere,
    /// TorchScript's own unpickler makes objects of the archive's classes and knows no others.
    Script,
    /// The description of a distributed checkpoint.
    Distributed,
}

/// Folds the events of one stream into findings.
///
/// # Example
/// ```
/// use weighbridge::Verdict;
/// use weighbridge::formats::pickle::{self, Judge};
/// use weighbridge::limits::Budget;
/// let mut budget = Budget::default();
/// let mut judge = Judge::new("", budget.policy());
/// pickle::walk(b"cos\nsystem\n(S'id'\ntR.", 0, &mut judge, &mut budget)?;
/// let findings = judge.into_findings();
/// assert_eq!(findings.verdict(), Verdict::Dangerous);
/// assert!(findings.as_slice()[1].message.contains("os.system(\"id\")"));
/// # Ok::<(), weighbridge::Error>(())
/// ```
#[derive(Debug)]
pub struct Judge {
    stream: String,
    policy: Listed,
    surroundings: Surroundings,
    findings: Findings,
    /// Globals already reported.
    reported: HashSet<String>,
    /// How much of each state was looked at: a memo may give one state a million times.
    looked_at: HashMap<(NodeId, bool), usize>,
    embedded: Vec<NodeId>,
    imports: bool,
}

impl Judge {
    /// A judge for the stream of this name; empty for the file itself.
    #[must_use]
    pub fn new(stream: &str, policy: Arc<Policy>) -> Self {
        Self {
            // As findings show it.
            stream: shortened(stream),
            policy: Listed::new(policy),
            surroundings: Surroundings::Anywhere,
            findings: Findings::default(),
            reported: HashSet::new(),
            looked_at: HashMap::new(),
            embedded: Vec::new(),
            imports: false,
        }
    }

    /// The same judge for a pickle that stands somewhere special.
    #[must_use]
    pub fn within(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// What was found.
    #[must_use]
    pub fn into_findings(self) -> Findings {
        self.findings
    }

    /// Bytes that calls were given and that start as a pickle does: at most [`Findings::MOST`].
    #[must_use]
    pub fn embedded(&self) -> &[NodeId] {
        &self.embedded
    }

    /// Whether something was named that a module could be asked for: bytes that are no pickle seldom do.
    #[must_use]
    pub const fn imports(&self) -> bool {
        self.imports
    }

    fn report(&mut self, verdict: Verdict, code: &'static str, event: &Event, message: String) {
        let finding = Finding::new(Severity::Verdict(verdict), code, message);
        self.findings
            .push(finding.at(event.offset).in_stream(&self.stream));
    }

    /// A call in words, as long as a finding of the code would be kept: a memo may repeat it a million times.
    fn words(&self, code: &str, tree: &Tree<'_>, function: NodeId, arguments: NodeId) -> String {
        if self.findings.is_full(code) {
            return String::new();
        }
        words::call(tree, function, arguments)
    }

    /// What the policy says, and what the surroundings add to it.
    fn standing(&self, global: Global<'_>) -> Standing<'_> {
        if global.name.contains('.') {
            return Standing::Dangerous("reaches through one module into any other");
        }
        if ids::is_harmless_within(self.surroundings, global) {
            return Standing::Data;
        }
        self.policy.standing(global)
    }

    /// The same in a word, found once for globals that are called again and again.
    fn told(&mut self, global: Global<'_>) -> Told {
        if global.name.contains('.') {
            return Told::Dangerous;
        }
        if ids::is_harmless_within(self.surroundings, global) {
            return Told::Data;
        }
        self.policy.told(global)
    }

    fn global(&mut self, event: &Event, global: Global<'_>) {
        let name = || format!("{}.{}", shortened(global.module), shortened(global.name));
        let (verdict, code, message) = match self.standing(global) {
            Standing::Tensor | Standing::Data => return,
            Standing::Dangerous(why) => {
                let message = format!("loading it would import {:?}, which {why}", name());
                (Verdict::Dangerous, "dangerous-global", message)
            }
            Standing::Unrecognised => {
                let message = format!(
                    "loading it would import {:?}, which is not on the list",
                    name()
                );
                (Verdict::Unrecognised, "unrecognised-global", message)
            }
        };
        // Beyond those that are remembered, each mention counts as one that was dropped.
        let new = match self.reported.len() < Findings::MOST {
            true => self.reported.insert(name()),
            false => !self.reported.contains(&name()),
        };
        // One that repeats is not listed again, unless it is the first dangerous one.
        if new || verdict > self.findings.verdict() {
            self.report(verdict, code, event, message);
        }
    }

    fn call(&mut self, event: &Event, tree: &Tree<'_>, function: NodeId, arguments: NodeId) {
        let list = tree.sequence(arguments).unwrap_or_default();
        self.note_embedded(tree, list);
        if matches!(tree.value(function), Value::Extension(_)) {
            return;
        }
        let Some(global) = callable(tree, function) else {
            let call = self.words("dynamic-call", tree, function, arguments);
            let message = format!("loading it would call what is no global: {call}");
            return self.report(Verdict::Dangerous, "dynamic-call", event, message);
        };
        match self.told(global) {
            Told::Dangerous => {
                let call = self.words("dangerous-call", tree, function, arguments);
                let message = format!("loading it would call {call}");
                self.report(Verdict::Dangerous, "dangerous-call", event, message);
            }
            Told::Tensor | Told::Data => {
                let policy = self.policy.policy();
                if let Some(why) = signatures::objection(tree, policy, global, list) {
                    let call = self.words("arguments", tree, function, arguments);
                    let message = format!("no pickler writes {call}: {why}");
                    self.report(Verdict::Malformed, "arguments", event, message);
                }
                if let Some(state) = signatures::state(global, list) {
                    self.state(event, tree, state, true);
                }
            }
            Told::Unrecognised => {}
        }
    }

    /// Keyword arguments go past the checks of signatures, and allowed functions get none.
    fn keywords(&mut self, event: &Event, tree: &Tree<'_>, callable: NodeId, keywords: NodeId) {
        let known = self::callable(tree, callable);
        let known = known.is_some_and(|global| self.is_allowed(global));
        let none = matches!(tree.value(keywords), Value::Dict([]));
        if known && !none {
            let message = String::from("no pickler gives an allowed function keyword arguments");
            self.report(Verdict::Malformed, "arguments", event, message);
        }
    }

    fn note_embedded(&mut self, tree: &Tree<'_>, arguments: &[NodeId]) {
        // A few arguments: a memo may give one long list to a million calls.
        const MOST_ARGUMENTS: usize = 16;
        for &argument in arguments.iter().take(MOST_ARGUMENTS) {
            if let Some(Node::Bytes(..) | Node::ByteArray(..)) = tree.node(argument)
                && let Value::Bytes([0x80, 2..=5, ..]) | Value::ByteArray([0x80, 2..=5, ..]) =
                    tree.value(argument)
                && self.embedded.len() < Findings::MOST
                && !self.embedded.contains(&argument)
            {
                self.embedded.push(argument);
            }
        }
    }

    fn build(&mut self, event: &Event, tree: &Tree<'_>, target: NodeId, state: NodeId) {
        if matches!(tree.value(target), Value::Global(_)) {
            let message = String::from("loading it would change a class or module");
            return self.report(Verdict::Dangerous, "build-global", event, message);
        }
        let class = class_of(tree, target);
        let known = class.is_some_and(|class| self.is_allowed(class));
        self.state(event, tree, state, known);
        let Some(class) = class.filter(|_| known) else {
            return;
        };
        let odd =
            states::array(tree, class, state).or_else(|| states::dtype(tree, class, target, state));
        if let Some(why) = odd {
            let message = format!("no pickler gives such a state to a {}: {why}", class.name);
            self.report(Verdict::Malformed, "array-state", event, message);
        }
    }

    /// Attributes that an object gets.
    fn state(&mut self, event: &Event, tree: &Tree<'_>, state: NodeId, known: bool) {
        if known && states::is_made(tree, state) {
            let message = String::from("a state is what a call gives: its names are not known");
            return self.report(Verdict::Malformed, "planted-method", event, message);
        }
        for &part in states::parts(tree, &state) {
            let Value::Dict(pairs) = tree.value(part) else {
                continue;
            };
            let looked_at = &mut self.looked_at;
            // Without memory for the note the whole state is looked at again.
            let seen = match looked_at.try_reserve(1) {
                Ok(()) => looked_at.insert((part, known), pairs.len()),
                Err(_) => None,
            };
            let seen = seen.unwrap_or_default();
            let new = pairs.get(seen..).unwrap_or_default();
            if let Some(name) = states::planted(tree, new, known) {
                let message = format!("a state plants {name:?}, which the next opcode would call");
                self.report(Verdict::Malformed, "planted-method", event, message);
            }
        }
    }

    fn is_allowed(&mut self, global: Global<'_>) -> bool {
        matches!(self.told(global), Told::Tensor | Told::Data)
    }

    fn mutation(&mut self, event: &Event, tree: &Tree<'_>, target: NodeId) {
        let harmless = match tree.value(target) {
            // Of a class that nobody knows, which is reported as such.
            Value::Object(object) => self.takes_items(tree, object),
            Value::Extension(_) => true,
            _ => false,
        };
        if !harmless {
            let message = format!("{} on {}", event.opcode.name(), tree.value(target).kind());
            self.report(Verdict::Malformed, "mutation", event, message);
        }
    }

    fn takes_items(&mut self, tree: &Tree<'_>, object: &Object) -> bool {
        let Some(global) = tree.global(object.callable) else {
            return true;
        };
        !self.is_allowed(global) || CONTAINERS.contains(&(global.module, global.name))
    }
}

/// What made an object: a global, or the class that a persistent id names.
fn class_of<'t>(tree: &'t Tree<'_>, object: NodeId) -> Option<Global<'t>> {
    callable(tree, tree.object(object)?.callable)
}

/// The global behind what is called.
fn callable<'t>(tree: &'t Tree<'_>, callable: NodeId) -> Option<Global<'t>> {
    match tree.value(callable) {
        Value::Global(global) => Some(global),
        // `("module", class, file, source)` of a legacy module names its class itself.
        Value::PersistentId(id) => ids::module_class(tree, id),
        _ => None,
    }
}

/// Allowed globals whose objects take items.
const CONTAINERS: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("collections", "deque"),
    ("builtins", "dict"),
    ("builtins", "list"),
    ("builtins", "set"),
    ("copyreg", "_reconstructor"),
];

impl Sink for Judge {
    fn event(&mut self, event: &Event, tree: &Tree<'_>) {
        match event.kind {
            EventKind::Global(id) => {
                if let Some(global) = tree.global(id) {
                    self.imports |= is_plausible(global);
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
                keywords,
            } => {
                self.call(event, tree, callable, arguments);
                if let Some(keywords) = keywords {
                    self.keywords(event, tree, callable, keywords);
                }
            }
            EventKind::Build { target, state } => self.build(event, tree, target, state),
            EventKind::PersistentId(id) => {
                if let Some((verdict, message)) = ids::objection(tree, &mut self.policy, id) {
                    self.report(verdict, "persistent-id", event, message.to_owned());
                }
            }
            EventKind::Anomaly(anomaly) => {
                let message = format!("{} does what no pickler writes", event.opcode.name());
                self.report(Verdict::Malformed, anomaly.code(), event, message);
            }
            EventKind::Mutation(target) => self.mutation(event, tree, target),
            EventKind::Stop => {}
        }
    }
}
