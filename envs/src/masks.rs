//! Action masks: which choices an environment allows at the observation to act on.

use crate::{EnvError, Space};

/// The masks of several slots, `[slots, M]`, one entry a choice of every factor of the action space.
pub(crate) struct ActionMasks {
    /// Choices of each factor; M is their sum.
    sizes: Vec<usize>,
    width: usize,
    /// At the observations to act on.
    pub now: Vec<bool>,
    /// At the last observations of the episodes that have ended.
    pub last: Vec<bool>,
}

impl ActionMasks {
    /// Masks that allow everything.
    ///
    /// # Errors
    ///
    /// [`EnvError::ActionMask`] for an action space without choices.
    pub fn new(action_space: &Space, slots: usize) -> Result<Self, EnvError> {
        let Some(sizes) = action_space.choices() else {
            return Err(EnvError::action_mask(format!(
                "has nothing to mask: the action space is {action_space}; masks are for Discrete, MultiDiscrete and \
                 MultiBinary actions"
            )));
        };
        let width = sizes.iter().sum();
        Ok(Self { sizes, width, now: vec![true; slots * width], last: vec![true; slots * width] })
    }

    /// Takes in the mask of a slot's latest observation.
    ///
    /// # Errors
    ///
    /// There is none, or it has another length than the choices.
    pub fn set(&mut self, slot: usize, mask: Option<&[bool]>) -> Result<(), EnvError> {
        match mask {
            Some(mask) if mask.len() == self.width => {
                self.now[slot * self.width..][..self.width].copy_from_slice(mask);
                Ok(())
            }
            Some(mask) => Err(EnvError::action_mask(format!(
                "has {} entries; the choices are {} ({})",
                mask.len(),
                self.width,
                self.sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" + ")
            ))),
            None => Err(EnvError::action_mask(
                "is missing: an environment has one at every observation or at none",
            )),
        }
    }

    /// The slot's mask is that of the last observation of an episode.
    pub fn end(&mut self, slot: usize) {
        let row = slot * self.width..(slot + 1) * self.width;
        self.last[row.clone()].copy_from_slice(&self.now[row]);
    }

    /// Errors unless the slot's mask allows a choice of every factor. `steps` is how many the episode has taken, if that is
    /// known here.
    pub fn check(&self, slot: usize, steps: Option<u64>) -> Result<(), EnvError> {
        match factors(&self.sizes, self.row(slot)).position(|own| !own.contains(&true)) {
            None => Ok(()),
            Some(_) if self.sizes.len() == 1 => Err(EnvError::ActionMask {
                steps,
                problem: "allows no action; while an episode runs at least one must be allowed".to_owned(),
            }),
            Some(factor) => Err(EnvError::ActionMask {
                steps,
                problem: format!(
                    "allows no choice of factor {factor} (of {}, counted from 0); while an episode runs at least one of \
                     each must be allowed",
                    self.sizes.len()
                ),
            }),
        }
    }

    /// A slot's mask, `[M]`.
    pub fn row(&self, slot: usize) -> &[bool] {
        &self.now[slot * self.width..][..self.width]
    }

    /// The first allowed choice of each factor of a slot; 0 where none is.
    #[cfg(feature = "gym")]
    pub fn first_allowed(&self, slot: usize) -> impl Iterator<Item = usize> {
        factors(&self.sizes, self.row(slot)).map(|own| own.iter().position(|&allowed| allowed).unwrap_or(0))
    }
}

/// The mask of each factor, `sizes` long, of one for all.
pub(crate) fn factors<'a>(sizes: &'a [usize], mask: &'a [bool]) -> impl Iterator<Item = &'a [bool]> {
    let mut rest = mask;
    sizes.iter().map(move |&n| {
        let (own, after) = rest.split_at(n.min(rest.len()));
        rest = after;
        own
    })
}

/// What is wrong with `mask` as the mask of an observation to act on in `action_space`, for whoever was handed it.
///
/// # Errors
///
/// [`EnvError::ActionMask`]: an action space without choices, another length, or a factor of which nothing is allowed.
pub fn check_action_mask(action_space: &Space, mask: &[bool]) -> Result<(), EnvError> {
    let mut masks = ActionMasks::new(action_space, 1)?;
    masks.set(0, Some(mask))?;
    masks.check(0, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_with_a_mask_is_said_in_words() {
        let told = |space: &Space, mask: &[bool]| check_action_mask(space, mask).unwrap_err().to_string();
        let two = Space::MultiDiscrete { nvec: vec![2, 3] };
        assert!(check_action_mask(&two, &[false, true, true, false, false]).is_ok());
        assert!(told(&two, &[true; 4]).contains("has 4 entries; the choices are 5 (2 + 3)"));
        assert!(
            told(&two, &[true, true, false, false, false])
                .contains("no choice of factor 1 (of 2, counted from 0)")
        );
        assert!(told(&Space::discrete(3), &[false; 3]).contains("the action mask allows no action"));
        assert!(told(&Space::MultiBinary { n: 2 }, &[true; 2]).contains("the choices are 4 (2 + 2)"));
        let told = told(&Space::uniform_box(-1.0, 1.0, &[2]), &[true; 2]);
        assert!(told.contains("masks are for Discrete, MultiDiscrete and MultiBinary actions"), "{told}");
    }
}
