//! The objects of the Python half, and how actions and results pass between them and Rust: one call a step, no object a slot.

use numpy::{PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::masks::ActionMasks;
use crate::{Actions, EnvError, Space, StepBuffers, Vectorization};

/// What Python looks up once.
pub(super) struct Driver {
    object: Py<PyAny>,
    step: Py<PyAny>,
    /// `vec.step` and `driver.take`, if the environment's own arrays can be read without a detour.
    bare: Option<(Py<PyAny>, Py<PyAny>)>,
    observations: Py<PyArray2<f32>>,
    final_observations: Py<PyArray2<f32>>,
    rewards: Py<PyArray1<f64>>,
    terminated: Py<PyArray1<bool>>,
    truncated: Py<PyArray1<bool>>,
    /// Masks at the observations to act on, and at the last ones; none unless the first reset showed some.
    masks: Option<[Py<PyArray2<bool>>; 2]>,
    actions: ActionArray,
    slots: usize,
    /// Numbers in an observation, and the shape that Python gives them.
    dim: usize,
    shape: Vec<usize>,
    /// Slots whose episode the last step ended, in order; some of them perhaps not of those that were asked to step.
    pub ended: Vec<usize>,
    pub kind: Vectorization,
    pub next_step: bool,
}

/// The array that Rust writes actions into.
enum ActionArray {
    Discrete(Py<PyArray1<i64>>),
    Box(Py<PyArray2<f32>>),
    Integers(Py<PyArray2<i64>>),
}

impl Driver {
    /// Takes over a driver of the bridge.
    pub fn around(
        driver: &Bound<'_, PyAny>,
        slots: usize,
        observation_space: &Space,
        action_space: &Space,
    ) -> PyResult<Self> {
        fn array<T: pyo3::PyTypeCheck>(driver: &Bound<'_, PyAny>, name: &str) -> PyResult<Py<T>> {
            Ok(driver.getattr(name)?.cast_into::<T>()?.unbind())
        }
        let actions = match action_space {
            Space::Discrete { .. } => ActionArray::Discrete(array(driver, "actions")?),
            Space::Box { .. } => ActionArray::Box(array(driver, "actions")?),
            _ => ActionArray::Integers(array(driver, "actions")?),
        };
        let kind = match driver.getattr("kind")?.extract::<String>()?.as_str() {
            "vector" => Vectorization::Vector,
            "async" => Vectorization::Async,
            _ => Vectorization::Sync,
        };
        let bare = kind == Vectorization::Vector && driver.getattr("bare")?.is_truthy()?;
        let bare = bare.then(|| -> PyResult<_> {
            Ok((driver.getattr("vec")?.getattr("step")?.unbind(), driver.getattr("take")?.unbind()))
        });
        Ok(Self {
            step: driver.getattr("step")?.unbind(),
            bare: bare.transpose()?,
            observations: array(driver, "observations")?,
            final_observations: array(driver, "final_observations")?,
            rewards: array(driver, "rewards")?,
            terminated: array(driver, "terminated")?,
            truncated: array(driver, "truncated")?,
            masks: None,
            actions,
            object: driver.clone().unbind(),
            slots,
            dim: observation_space.flat_dim(),
            shape: match observation_space {
                Space::Box { shape, .. } => shape.clone(),
                _ => vec![observation_space.flat_dim()],
            },
            ended: Vec::new(),
            kind,
            next_step: driver.getattr("next_step")?.is_truthy()?,
        })
    }

    /// The Python object itself.
    pub fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    /// First observations of all slots, `[slots, dim]`.
    pub fn reset(&mut self, py: Python<'_>, seeds: &[u64], observations: &mut [f32]) -> PyResult<()> {
        let object = self.object.bind(py);
        object.call_method1("reset", (seeds.to_vec(),))?;
        let masks = object.getattr("masks")?;
        if self.masks.is_none() && masks.getattr("declared")?.is_truthy()? {
            let array = |name| Ok::<_, PyErr>(masks.getattr(name)?.cast_into::<PyArray2<bool>>()?.unbind());
            self.masks = Some([array("now")?, array("last")?]);
            // They are among what only the Python half reads.
            self.bare = None;
        }
        observations.copy_from_slice(self.observations.bind(py).readonly().as_slice()?);
        Ok(())
    }

    /// Brings `masks` up to date after a reset or step, if there are any.
    pub fn read_masks(
        &self,
        py: Python<'_>,
        action_space: &Space,
        masks: &mut Option<ActionMasks>,
    ) -> Result<(), EnvError> {
        let Some([now, last]) = &self.masks else { return Ok(()) };
        let masks = match masks {
            Some(masks) => masks,
            None => masks.insert(ActionMasks::new(action_space, self.slots)?),
        };
        for (from, to) in [(now, &mut masks.now), (last, &mut masks.last)] {
            let from = from.bind(py).readonly();
            match from.as_slice() {
                Ok(slice) if slice.len() == to.len() => to.copy_from_slice(slice),
                _ => {
                    let shape = from.shape();
                    return Err(EnvError::action_mask(format!(
                        "is an array {shape:?} for {} choices",
                        to.len()
                    )));
                }
            }
        }
        Ok(())
    }

    /// Steps the slots `active` with checked actions; the results are in `out` afterwards for every slot that was stepped. A
    /// slot that is stepped though it was left out takes a choice that `masks` allows.
    pub fn step(
        &mut self,
        py: Python<'_>,
        active: &[u32],
        actions: Actions<'_>,
        masks: Option<&ActionMasks>,
        out: &mut StepBuffers,
    ) -> PyResult<()> {
        let Some((step, take)) = &self.bare else {
            self.write_actions(py, active, actions)?;
            let (together, some_idle) = (self.kind == Vectorization::Vector, active.len() < self.slots);
            if let Some(masks) = masks.filter(|_| together && some_idle) {
                self.write_idle(py, active, masks)?;
            }
            self.step.bind(py).call1((if together || !some_idle { None } else { Some(active) },))?;
            return self.read_all(py, out);
        };
        let (step, take) = (step.bind(py).clone(), take.bind(py).clone());
        // A fresh array: the environment may keep it.
        let result = match actions {
            Actions::Discrete(indices) => {
                let mut all = vec![0; self.slots];
                active.iter().zip(indices).for_each(|(&slot, &index)| all[slot as usize] = i64::from(index));
                step.call1((PyArray1::from_vec(py, all),))?
            }
            Actions::Box { values, dim } => {
                let mut all = vec![0.0; self.slots * dim];
                scatter(&mut all, active, values, dim, |value| value);
                step.call1((PyArray1::from_vec(py, all).reshape([self.slots, dim])?,))?
            }
            _ => unreachable!("only Discrete and Box actions are passed on as they are"),
        };
        let result = result.cast_into::<PyTuple>()?;
        if self.read_bare(&result, out).is_some() {
            Ok(())
        } else {
            take.call1(result)?;
            self.read_all(py, out)
        }
    }

    /// Writes actions where the Python half reads them.
    fn write_actions(&self, py: Python<'_>, active: &[u32], actions: Actions<'_>) -> PyResult<()> {
        match (&self.actions, actions) {
            (ActionArray::Discrete(array), Actions::Discrete(indices)) => {
                scatter(array.bind(py).readwrite().as_slice_mut()?, active, indices, 1, i64::from);
            }
            (ActionArray::Box(array), Actions::Box { values, dim }) => {
                scatter(array.bind(py).readwrite().as_slice_mut()?, active, values, dim, |value| value);
            }
            (ActionArray::Integers(array), Actions::MultiDiscrete { values, dim }) => {
                scatter(array.bind(py).readwrite().as_slice_mut()?, active, values, dim, |v| v as i64);
            }
            (ActionArray::Integers(array), Actions::MultiBinary { values, dim }) => {
                scatter(array.bind(py).readwrite().as_slice_mut()?, active, values, dim, i64::from);
            }
            _ => unreachable!("actions are checked against the space before"),
        }
        Ok(())
    }

    /// An allowed action for the slots that are not `active`.
    fn write_idle(&self, py: Python<'_>, active: &[u32], masks: &ActionMasks) -> PyResult<()> {
        for slot in (0..self.slots).filter(|&slot| active.binary_search(&(slot as u32)).is_err()) {
            let choices = masks.first_allowed(slot).map(|choice| choice as i64);
            match &self.actions {
                ActionArray::Discrete(array) => {
                    let mut array = array.bind(py).readwrite();
                    array.as_slice_mut()?[slot..=slot].iter_mut().zip(choices).for_each(|(to, c)| *to = c);
                }
                ActionArray::Integers(array) => {
                    let mut array = array.bind(py).readwrite();
                    array.as_array_mut().row_mut(slot).iter_mut().zip(choices).for_each(|(to, c)| *to = c);
                }
                ActionArray::Box(_) => {}
            }
        }
        Ok(())
    }

    /// Reads what `vec.step` returned; `None` if that needs the Python half: unusual types or shapes, final observations
    /// to be looked up, or a mask that the first reset did not show.
    fn read_bare(&mut self, result: &Bound<'_, PyTuple>, out: &mut StepBuffers) -> Option<()> {
        let [observations, rewards, terminated, truncated] =
            std::array::from_fn(|i| result.get_borrowed_item(i).ok());
        copy(terminated.as_deref()?, &mut out.terminated, |flag: bool| flag)?;
        copy(truncated.as_deref()?, &mut out.truncated, |flag: bool| flag)?;
        find_ended(out, &mut self.ended);
        if !self.next_step && !self.ended.is_empty() {
            return None;
        }
        let told = result.get_borrowed_item(4).ok()?;
        if told
            .cast::<PyDict>()
            .is_ok_and(|told| told.contains(intern!(told.py(), "action_mask")).unwrap_or(true))
        {
            return None;
        }
        let rewards = rewards?;
        copy(&rewards, &mut out.rewards, |reward: f64| reward)
            .or_else(|| copy(&rewards, &mut out.rewards, |reward: f32| f64::from(reward)))?;
        let observations = observations?;
        let array = observations.cast::<PyArrayDyn<f32>>().ok()?;
        (array.shape().first() == Some(&self.slots) && array.shape()[1..] == *self.shape).then_some(())?;
        // Gymnasium's CartPole, for one, returns the transpose of a row-major array. `as_slice` gives the values as they
        // lie in memory, in either order.
        let (row_major, column_major) =
            (array.is_c_contiguous(), array.is_fortran_contiguous() && self.shape.len() == 1);
        let array = array.readonly();
        match array.as_slice() {
            Ok(slice) if row_major => out.observations.copy_from_slice(slice),
            Ok(slice) if column_major => match self.dim {
                2 => interleave::<2>(slice, &mut out.observations),
                3 => interleave::<3>(slice, &mut out.observations),
                4 => interleave::<4>(slice, &mut out.observations),
                6 => interleave::<6>(slice, &mut out.observations),
                dim => {
                    for (column, values) in slice.chunks_exact(self.slots).enumerate() {
                        let rows = out.observations.chunks_exact_mut(dim);
                        rows.zip(values).for_each(|(row, &from)| row[column] = from);
                    }
                }
            },
            _ => out.observations.iter_mut().zip(array.as_array()).for_each(|(to, &from)| *to = from),
        }
        for &slot in &self.ended {
            let row = slot * self.dim..(slot + 1) * self.dim;
            out.final_observations[row.clone()].copy_from_slice(&out.observations[row]);
        }
        Some(())
    }

    /// Copies the driver's arrays.
    fn read_all(&mut self, py: Python<'_>, out: &mut StepBuffers) -> PyResult<()> {
        fn copy<T: numpy::Element + Copy>(array: &Bound<'_, PyArray1<T>>, out: &mut [T]) -> PyResult<()> {
            out.copy_from_slice(array.readonly().as_slice()?);
            Ok(())
        }
        copy(self.rewards.bind(py), &mut out.rewards)?;
        copy(self.terminated.bind(py), &mut out.terminated)?;
        copy(self.truncated.bind(py), &mut out.truncated)?;
        out.observations.copy_from_slice(self.observations.bind(py).readonly().as_slice()?);
        find_ended(out, &mut self.ended);
        if !self.ended.is_empty() {
            out.final_observations.copy_from_slice(self.final_observations.bind(py).readonly().as_slice()?);
        }
        Ok(())
    }
}

/// `rows` `[n, D]` ← `columns` `[D, n]`.
fn interleave<const D: usize>(columns: &[f32], rows: &mut [f32]) {
    let n = columns.len() / D;
    let columns: [&[f32]; D] = std::array::from_fn(|column| &columns[column * n..][..n]);
    for (i, row) in rows.as_chunks_mut::<D>().0.iter_mut().enumerate() {
        *row = columns.map(|column| column[i]);
    }
}

/// `ended` ← the slots whose episode has ended, in order. Looks at eight at once, for most have not.
fn find_ended(out: &StepBuffers, ended: &mut Vec<usize>) {
    ended.clear();
    let (terminated, truncated) = (out.terminated.as_chunks::<8>(), out.truncated.as_chunks::<8>());
    for (block, (a, b)) in terminated.0.iter().zip(truncated.0).enumerate() {
        let flags = [a, b].map(|flags| u64::from_le_bytes(flags.map(u8::from)));
        if flags != [0, 0] {
            ended.extend((0..8).filter(|&i| a[i] || b[i]).map(|i| 8 * block + i));
        }
    }
    let rest = terminated.1.iter().zip(truncated.1).enumerate();
    let start = 8 * terminated.0.len();
    ended.extend(rest.filter(|(_, (a, b))| **a || **b).map(|(i, _)| start + i));
}

/// Row `slot` of `to` `[slots, dim]` ← the action of each of the slots `active`.
fn scatter<A: Copy, B>(to: &mut [B], active: &[u32], values: &[A], dim: usize, convert: impl Fn(A) -> B) {
    for (&slot, row) in active.iter().zip(values.chunks_exact(dim)) {
        let to = &mut to[slot as usize * dim..][..dim];
        to.iter_mut().zip(row).for_each(|(to, &value)| *to = convert(value));
    }
}

/// `out` ← a vector of Python's, if it is one of as many `T`.
fn copy<T: numpy::Element + Copy, U>(
    array: &Bound<'_, PyAny>,
    out: &mut [U],
    convert: impl Fn(T) -> U,
) -> Option<()> {
    let array = array.cast::<PyArray1<T>>().ok()?;
    (array.len() == out.len()).then_some(())?;
    let array = array.readonly();
    match array.as_slice() {
        Ok(slice) => out.iter_mut().zip(slice).for_each(|(to, &from)| *to = convert(from)),
        Err(_) => out.iter_mut().zip(array.as_array()).for_each(|(to, &from)| *to = convert(from)),
    }
    Some(())
}
