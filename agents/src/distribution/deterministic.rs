//! K numbers in [−1, 1], tanh of the network's outputs plus the noise of an exploration process. It has no score.

use super::{Distribution, Head, Kind};
use crate::ActionRange;
use crate::rollout::ActionBuffer;
use relax_envs::{Actions, EnvRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;

/// K numbers in [−1, 1], which are stretched to the bounds of the action space. Their noise comes from an
/// [`Exploration`](crate::Exploration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deterministic {
    /// K.
    pub dim: usize,
}

impl Deterministic {
    /// Its line of the table. It is no agent's default: an agent that acts with it says so itself.
    pub const KIND: Kind = Kind {
        name: "deterministic",
        for_space: |_, _| None,
        load: |settings| Ok(Arc::new(serde_json::from_value::<Self>(settings)?)),
    };
}

impl Distribution for Deterministic {
    fn name(&self) -> &'static str {
        Self::KIND.name
    }

    fn settings(&self) -> Value {
        serde_json::json!(self)
    }

    fn width(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> usize {
        self.dim
    }

    fn action_buffer(&self) -> ActionBuffer {
        ActionBuffer::Box { values: Vec::new(), dim: self.dim }
    }

    fn draw(&self, _: &mut EnvRng, noise: &mut [f32]) {
        noise.fill(0.0);
    }

    fn act(
        &self,
        head: Head<'_>,
        noise: &[f32],
        _: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        let values = actions.value_rows_mut(rows);
        squash(head.output, values);
        values.iter_mut().zip(noise).for_each(|(a, e)| *a = (*a + e).clamp(-1.0, 1.0));
    }

    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>) {
        squash(head.output, actions.value_rows_mut(rows));
    }

    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a> {
        range.map(actions.value_rows(rows), self.dim, |value, low, high| {
            (low + 0.5 * (value + 1.0) * (high - low)).clamp(low, high)
        })
    }
}

/// actions ← tanh(output).
fn squash(output: &[f32], actions: &mut [f32]) {
    for (action, &x) in actions.iter_mut().zip(output) {
        *action = x.tanh();
    }
}
