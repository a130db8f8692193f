//! Spaces of observations and actions, with Gymnasium's vocabulary and printed form.

use std::cmp::Ordering::{Equal, Less};
use std::fmt;

use crate::masks::factors;
use crate::{Action, ActionRef, EnvError, EnvRng};

/// The set that observations or actions are taken from.
///
/// ```
/// use relax_envs::{ActionRef, Space};
/// let torque = Space::uniform_box(-2.0, 2.0, &[1]);
/// assert_eq!(torque.to_string(), "Box(-2.0, 2.0, (1,), float32)");
/// assert!(torque.contains(ActionRef::Box(&[1.5])));
/// assert!(!Space::discrete(3).contains(ActionRef::Discrete(3)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Space {
    /// Real vectors or arrays between two bounds (infinite where there is none), row-major.
    Box {
        /// Lower bounds, one per element.
        low: Vec<f32>,
        /// Upper bounds, one per element.
        high: Vec<f32>,
        /// Shape; its product is the number of elements.
        shape: Vec<usize>,
    },
    /// One of `n` choices. [`ActionRef::Discrete`] counts them from 0.
    Discrete {
        /// Number of choices.
        n: usize,
        /// What Gymnasium calls the first choice (only display).
        start: i64,
    },
    /// Several choices at once.
    MultiDiscrete {
        /// Number of choices of each.
        nvec: Vec<usize>,
    },
    /// Several yes-or-no choices at once.
    MultiBinary {
        /// How many.
        n: usize,
    },
}

impl Space {
    /// A vector space with a bound for each element.
    pub fn bounded(low: &[f32], high: &[f32]) -> Self {
        Self::Box { low: low.to_vec(), high: high.to_vec(), shape: vec![low.len()] }
    }

    /// A box with the same bounds for every element.
    pub fn uniform_box(low: f32, high: f32, shape: &[usize]) -> Self {
        let size = shape.iter().product();
        Self::Box { low: vec![low; size], high: vec![high; size], shape: shape.to_vec() }
    }

    /// `n` choices.
    pub fn discrete(n: usize) -> Self {
        Self::Discrete { n, start: 0 }
    }

    /// Shape of one element: the box's own, `[]` for a discrete space, `[k]` for k choices at once.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Box { shape, .. } => shape.clone(),
            Self::Discrete { .. } => Vec::new(),
            Self::MultiDiscrete { nvec } => vec![nvec.len()],
            Self::MultiBinary { n } => vec![*n],
        }
    }

    /// Numbers in one element: 1 for a discrete space.
    pub fn size(&self) -> usize {
        match self {
            Self::Box { shape, .. } => shape.iter().product(),
            Self::Discrete { .. } => 1,
            Self::MultiDiscrete { nvec } => nvec.len(),
            Self::MultiBinary { n } => *n,
        }
    }

    /// Numbers in one flattened element, Gymnasium's `flatdim`: a discrete choice is one-hot. An observation buffer
    /// has this length.
    pub fn flat_dim(&self) -> usize {
        match self {
            Self::Box { shape, .. } => shape.iter().product(),
            Self::Discrete { n, .. } | Self::MultiBinary { n } => *n,
            Self::MultiDiscrete { nvec } => nvec.iter().sum(),
        }
    }

    /// Choices of each factor of an action, in the order in which an action mask lists them: `n` of a discrete space, each
    /// entry's of several choices, two (no, yes) of each yes-or-no choice. `None` for a box, which has none.
    pub fn choices(&self) -> Option<Vec<usize>> {
        match self {
            Self::Box { .. } => None,
            Self::Discrete { n, .. } => Some(vec![*n]),
            Self::MultiDiscrete { nvec } => Some(nvec.clone()),
            Self::MultiBinary { n } => Some(vec![2; *n]),
        }
    }

    /// Whether the action has the right type and length and lies within the bounds.
    pub fn contains(&self, action: ActionRef<'_>) -> bool {
        match (self, action) {
            (Self::Box { .. }, ActionRef::Box(values)) => self.contains_observation(values),
            (Self::Discrete { n, .. }, ActionRef::Discrete(index)) => index < *n,
            (Self::MultiDiscrete { nvec }, ActionRef::MultiDiscrete(indices)) => {
                nvec.len() == indices.len() && nvec.iter().zip(indices).all(|(n, index)| index < n)
            }
            (Self::MultiBinary { n }, ActionRef::MultiBinary(flags)) => flags.len() == *n,
            _ => false,
        }
    }

    /// Whether these `flat_dim` numbers are a flattened element of the space.
    pub fn contains_observation(&self, values: &[f32]) -> bool {
        let one_hot = |values: &[f32]| {
            values.iter().all(|&v| v == 0.0 || v == 1.0) && values.iter().sum::<f32>() == 1.0
        };
        values.len() == self.flat_dim()
            && match self {
                Self::Box { low, high, .. } => {
                    values.iter().zip(low).zip(high).all(|((v, low), high)| low <= v && v <= high)
                }
                Self::Discrete { .. } => one_hot(values),
                Self::MultiDiscrete { nvec } => {
                    let mut rest = values;
                    nvec.iter().all(|&n| {
                        let (choice, after) = rest.split_at(n);
                        rest = after;
                        one_hot(choice)
                    })
                }
                Self::MultiBinary { .. } => values.iter().all(|&v| v == 0.0 || v == 1.0),
            }
    }

    /// A random action, drawn as Gymnasium's `sample` does: uniform between two bounds, exponential from one bound,
    /// normal without any; every choice equally likely.
    pub fn sample(&self, rng: &mut EnvRng) -> Action {
        let mut index = |n: usize| rng.integers(0, n.max(1) as i64) as usize;
        match self {
            Self::Discrete { n, .. } => Action::Discrete(index(*n)),
            Self::MultiDiscrete { nvec } => Action::MultiDiscrete(nvec.iter().map(|&n| index(n)).collect()),
            Self::MultiBinary { n } => Action::MultiBinary((0..*n).map(|_| index(2) == 1).collect()),
            Self::Box { low, high, .. } => Action::Box(
                low.iter()
                    .zip(high)
                    .map(|(&low, &high)| {
                        let (below, above) = (f64::from(low), f64::from(high));
                        let value = match (low.is_finite(), high.is_finite()) {
                            (true, true) => rng.uniform(below, above),
                            (true, false) => below - (-rng.random()).ln_1p(),
                            (false, true) => above + (-rng.random()).ln_1p(),
                            (false, false) => rng.standard_normal(),
                        };
                        (value as f32).clamp(low.min(high), high.max(low))
                    })
                    .collect(),
            ),
        }
    }

    /// As [`sample`](Self::sample), of the choices that `mask` (all factors' [`choices`](Self::choices), one after the other)
    /// allows; the first of a factor of which it allows none. Without choices, as `sample`.
    pub fn sample_masked(&self, mask: &[bool], rng: &mut EnvRng) -> Action {
        let Some(sizes) = self.choices() else { return self.sample(rng) };
        let mut drawn = factors(&sizes, mask).map(|own| {
            let allowed: Vec<usize> = (0..own.len()).filter(|&i| own[i]).collect();
            let drawn = rng.integers(0, allowed.len().max(1) as i64) as usize;
            allowed.get(drawn).copied().unwrap_or(0)
        });
        match self {
            Self::MultiDiscrete { .. } => Action::MultiDiscrete(drawn.collect()),
            Self::MultiBinary { .. } => Action::MultiBinary(drawn.map(|choice| choice == 1).collect()),
            _ => Action::Discrete(drawn.next().unwrap_or(0)),
        }
    }

    /// Whether the space describes something.
    ///
    /// # Errors
    ///
    /// [`EnvError::InvalidSpace`]: no elements, bounds that cross or are NaN, or a shape that does not fit the bounds.
    pub fn validate(&self) -> Result<(), EnvError> {
        let invalid = |reason: String| Err(EnvError::InvalidSpace { space: self.to_string(), reason });
        match self {
            Self::Box { low, high, shape } => {
                let size: usize = shape.iter().product();
                if low.len() != size || high.len() != size {
                    return invalid(format!(
                        "shape {shape:?} has {size} elements, but there are {} lower and {} upper bounds",
                        low.len(),
                        high.len()
                    ));
                }
                if let Some(i) =
                    (0..size).find(|&i| !matches!(low[i].partial_cmp(&high[i]), Some(Less | Equal)))
                {
                    return invalid(format!("element {i}: bounds {} and {} cross", low[i], high[i]));
                }
            }
            Self::MultiDiscrete { nvec } => {
                if let Some(i) = nvec.iter().position(|&n| n == 0) {
                    return invalid(format!("entry {i} has no choices"));
                }
            }
            Self::Discrete { .. } | Self::MultiBinary { .. } => {}
        }
        if self.flat_dim() == 0 { invalid("it has no elements".to_owned()) } else { Ok(()) }
    }
}

/// Gymnasium's `repr`, for instance `Box([-1. -1. -8.], [1. 1. 8.], (3,), float32)`. Long arrays are not wrapped.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Box { low, high, shape } => {
                let comma = if shape.len() == 1 { "," } else { "" };
                let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                write!(f, "Box({}, {}, ({shape}{comma}), float32)", array_repr(low), array_repr(high))
            }
            Self::Discrete { n, start: 0 } => write!(f, "Discrete({n})"),
            Self::Discrete { n, start } => write!(f, "Discrete({n}, start={start})"),
            Self::MultiDiscrete { nvec } => {
                let nvec = nvec.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
                write!(f, "MultiDiscrete([{nvec}])")
            }
            Self::MultiBinary { n } => write!(f, "MultiBinary({n})"),
        }
    }
}

/// One number for a constant array, else NumPy's column layout: decimal points aligned, at most eight decimals.
fn array_repr(values: &[f32]) -> String {
    if let [first, rest @ ..] = values
        && rest.iter().all(|v| v == first)
    {
        let magnitude = first.abs();
        return match magnitude {
            _ if !first.is_finite() => first.to_string(),
            _ if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) => numpy_exponent(*first),
            _ => format!("{first:?}"),
        };
    }
    let finite: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let largest = finite.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let smallest = finite.iter().filter(|&&v| v != 0.0).fold(f32::INFINITY, |m, v| m.min(v.abs()));
    if largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1000.0 {
        let texts: Vec<String> = values.iter().map(|v| numpy_exponent(*v)).collect();
        return format!("[{}]", texts.join(" "));
    }
    let parts: Vec<Option<(String, String)>> = values
        .iter()
        .map(|value| {
            let shortest = value.to_string();
            let (whole, decimals) = shortest.split_once('.').unwrap_or((&shortest, ""));
            if decimals.len() <= 8 {
                return value.is_finite().then(|| (whole.to_owned(), decimals.to_owned()));
            }
            let rounded = format!("{value:.8}");
            let (whole, decimals) = rounded.split_once('.')?;
            Some((whole.to_owned(), decimals.trim_end_matches('0').to_owned()))
        })
        .collect();
    let decimals = parts.iter().flatten().map(|(_, d)| d.len()).max().unwrap_or(0);
    let longest = values.iter().filter(|v| !v.is_finite()).map(|v| v.to_string().len()).max().unwrap_or(0);
    let whole = parts.iter().flatten().map(|(w, _)| w.len()).max().unwrap_or(0);
    let whole = whole.max(longest.saturating_sub(decimals + 1));
    let texts: Vec<String> = values
        .iter()
        .zip(&parts)
        .map(|(value, part)| match part {
            Some((w, d)) => format!("{w:>whole$}.{d:<decimals$}"),
            None => format!("{:>width$}", value.to_string(), width = whole + 1 + decimals),
        })
        .collect();
    format!("[{}]", texts.join(" "))
}

/// `1e-05`, as Python prints it.
fn numpy_exponent(value: f32) -> String {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |p| ('-', p));
            format!("{digits}e{sign}{power:0>2}")
        }
        None => text,
    }
}
