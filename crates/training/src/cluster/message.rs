//! The envelope of everything that travels between a learner and its workers: what it is, who wrote it, of which run, and a checksum.
//! What does not belong together is refused with a sentence.

use std::hint::black_box;
use std::ops::Range;
use std::sync::LazyLock;

use relax_nn::{StateDict, instruction_set};
use relax_runtime::Error;
use relax_runtime::sealed::{self, Format, Unreadable, Words};
use sha2::{Digest, Sha256};

use crate::config::Config;

/// The format of messages.
const FORMAT: Format = Format { name: "relax-rl message", version: 1 };
/// What every machine of a cluster needs.
const ONE_VERSION: &str = "every machine of a run needs the same version of relax-rl";

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A policy, and what to do with it.
    Policy,
    /// Where some slots stand.
    States,
    /// What some slots have experienced.
    Batch,
    /// Everything that a learner is made of.
    Learner,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::States => "states",
            Self::Batch => "batch",
            Self::Learner => "learner",
        }
    }

    /// As a sentence begins.
    fn subject(self) -> &'static str {
        match self {
            Self::Policy => "the policy is",
            Self::States => "the states are",
            Self::Batch => "the batch is",
            Self::Learner => "the learner's state is",
        }
    }
}

/// What of a configuration decides the numbers of a round, as a hash: neither how many threads there are nor how long the run is,
/// nor what is evaluated, logged and saved.
pub(crate) fn identity(config: &Config) -> String {
    let rollout = &config.rollout;
    let text = format!(
        "{:?} {:?} {:?} {:?} {} {} {}",
        config.env, config.agent, config.learner, rollout.mode, rollout.envs, rollout.steps, config.run.seed
    );
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How this machine's functions round that are not of its processor but of its C library: some digits of a hash of their values.
fn elementary_functions() -> &'static str {
    static DIGITS: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = Sha256::new();
        for i in 1..=512 {
            let x = black_box(f64::from(i) * 0.0413);
            for y in [x.sin(), x.cos(), x.tan(), x.exp(), x.ln(), x.tanh(), x.powf(1.7), x.atan2(2.0)] {
                hasher.update(y.to_le_bytes());
            }
            let x = x as f32;
            for y in [x.sin(), x.cos(), x.exp(), x.ln(), x.tanh()] {
                hasher.update(y.to_le_bytes());
            }
        }
        hex(&hasher.finalize()[..8])
    });
    &DIGITS
}

/// Seals a message of the run with this [`identity`]; returns its checksum too.
pub(crate) fn seal(kind: Kind, run: &str, more: &[(&str, String)], arrays: &StateDict) -> (Vec<u8>, String) {
    let own = [
        ("crate_version", env!("CARGO_PKG_VERSION")),
        ("instruction_set", instruction_set()),
        ("elementary_functions", elementary_functions()),
        ("kind", kind.name()),
        ("run", run),
    ];
    let mut words: Words = own.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    words.extend(more.iter().map(|(name, text)| ((*name).to_owned(), text.clone())));
    sealed::encode(&FORMAT, &words, arrays)
}

/// Opens a message of the run with this [`identity`].
pub(crate) fn open(kind: Kind, run: &str, bytes: &[u8]) -> Result<(Words, StateDict), Error> {
    let subject = kind.subject();
    let (version, own) = (env!("CARGO_PKG_VERSION"), FORMAT.version);
    let (words, arrays) = sealed::decode(&FORMAT, bytes).map_err(|error| match error {
        Unreadable::Version { found, crate_version } => Error::input(format!(
            "{subject} a message of format version {found}, written by relax-rl {crate_version}; this is relax-rl {version}, which reads \
             version {own}"
        ))
        .with_hint(ONE_VERSION),
        damaged => Error::input(format!("{subject} no usable message: {damaged}")),
    })?;
    let word = |name: &str| words.get(name).map_or("?", String::as_str);
    if word("kind") != kind.name() {
        return Err(Error::input(format!(
            "{subject} a message of another kind: it says \"{}\", not \"{}\"",
            word("kind"),
            kind.name()
        )));
    }
    if word("crate_version") != version {
        let message =
            format!("{subject} from relax-rl {}, and this is relax-rl {version}", word("crate_version"));
        return Err(Error::input(message).with_hint(ONE_VERSION));
    }
    if word("instruction_set") != instruction_set() {
        let message = format!(
            "{subject} from a machine that computes on {}, and this one computes on {}: their last bits differ",
            word("instruction_set"),
            instruction_set()
        );
        return Err(Error::input(message).with_hint("take machines of one kind for a run"));
    }
    if word("elementary_functions") != elementary_functions() {
        let message =
            format!("{subject} from a machine whose sines and exponentials are rounded otherwise than here");
        return Err(Error::input(message).with_hint(
            "they are the C library's: take the same system, or the same container, for all of a run",
        ));
    }
    if word("run") != run {
        let message = format!("{subject} of another run: environment, agent, settings or seed differ");
        return Err(
            Error::input(message).with_hint("every worker needs the configuration that the learner has")
        );
    }
    Ok((words, arrays))
}

/// How slots are named in a message.
pub(crate) fn name(slots: &Range<usize>) -> String {
    format!("{}..{}", slots.start, slots.end)
}

/// The slots that [`name`] named, if they are some of `total`.
pub(crate) fn slots(words: &Words, total: usize) -> Option<Range<usize>> {
    let (start, end) = words.get("slots")?.split_once("..")?;
    let slots = start.parse().ok()?..end.parse().ok()?;
    (slots.start < slots.end && slots.end <= total).then_some(slots)
}

/// Slots as people count them.
pub(crate) fn spoken(slots: &Range<usize>) -> String {
    match slots.len() {
        1 => format!("slot {}", slots.start),
        _ => format!("slots {}–{}", slots.start, slots.end.saturating_sub(1)),
    }
}
