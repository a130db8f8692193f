//! What `minimize` estimates: a kernel as c, told of numbers that have nothing to do with f, of calls where it is used, and of calls
//! before the logits moved; at bits, a choice, several, both, and under a constraint. And its mistakes.

use relax_minimize::certify::{Age, Case, MinimizeTarget, Mistake};
use relax_minimize::{Function, MinimizeError, Space};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    choices: &'static [usize],
    /// Whether the first choice of a variable is ruled out where no variable before it has its own first.
    constrained: bool,
    age: Age,
    /// Whether the gain is 1, or the one of past batches.
    whole: bool,
    mistake: Mistake,
}

const fn line(choices: &'static [usize], constrained: bool, age: Age, whole: bool) -> Line {
    Line { choices, constrained, age, whole, mistake: Mistake::None }
}

const BITS: &[usize] = &[2; 5];
const CHOICE: &[usize] = &[16];
const CHOICES: &[usize] = &[3, 2, 4];
const MIXED: &[usize] = &[2, 4, 2, 2];

pub(super) const LINES: [Line; 15] = [
    line(BITS, false, Age::Fresh, true),
    line(BITS, false, Age::Trained, true),
    line(BITS, false, Age::Stale, false),
    line(CHOICE, false, Age::Fresh, true),
    line(CHOICE, false, Age::Trained, false),
    line(CHOICE, false, Age::Stale, true),
    line(CHOICES, false, Age::Fresh, true),
    line(CHOICES, false, Age::Trained, true),
    line(CHOICES, false, Age::Stale, false),
    line(MIXED, false, Age::Fresh, false),
    line(MIXED, false, Age::Trained, true),
    line(MIXED, false, Age::Stale, true),
    line(MIXED, true, Age::Fresh, true),
    line(MIXED, true, Age::Trained, false),
    line(MIXED, true, Age::Stale, true),
];

const fn wrong(age: Age, mistake: Mistake) -> Line {
    Line { mistake, ..line(BITS, false, age, true) }
}

/// Mistakes: name, what it is, and the line.
pub(super) const BUGS: [(&str, &str, Line); 3] = [
    (
        "kernel-fitted-first",
        "a kernel is told of a batch before that batch is used",
        wrong(Age::Fresh, Mistake::FittedFirst),
    ),
    (
        "kernel-gain-of-the-batch",
        "a kernel's gain is the best one for the batch that it is used on",
        wrong(Age::Trained, Mistake::GainOfTheBatch),
    ),
    (
        "kernel-other-points",
        "a kernel is taken off at other points than those f was called at",
        wrong(Age::Trained, Mistake::OtherPoints),
    ),
];

impl Line {
    pub fn target(self, seed: u64) -> Result<MinimizeTarget, MinimizeError> {
        let Self { choices, constrained, age, whole, mistake } = self;
        let age_named = match age {
            Age::Fresh => "fresh",
            Age::Trained => "trained",
            Age::Stale => "stale",
        };
        let gain = if whole { "" } else { ", adaptive gain" };
        let space = match choices {
            BITS => "5 bits",
            CHOICE => "a 16-way choice",
            CHOICES => "choices of 3, 2 and 4",
            _ => "3 bits and a 4-way choice",
        };
        let under = if constrained { " under a constraint" } else { "" };
        let name = format!("minimize, {age_named} kernel{gain} on {space}{under}");
        let mut space = Space::choices(choices);
        if constrained {
            space =
                space.constrained(|before, allowed| allowed[0] = before.is_empty() || before.contains(&0));
        }
        let gain = whole.then_some(1.0);
        MinimizeTarget::new(name, &space, &Case { function: Function::Kernel, age, mistake, gain }, seed)
    }
}
