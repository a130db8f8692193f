//! A hash of what has been learned, by which two runs can be told to be the same run.

use relax_nn::{StateDict, StateTensor};
use sha2::{Digest, Sha256};

/// SHA-256 of every array of `state`, 64 hexadecimal digits.
///
/// Of each array, in alphabetical order of names: the name's length and the name; the type (`f32`, `f64`, `u64`, `u8`); the number of
/// dimensions and their sizes; the numbers' bits. Whole numbers are of 64 bits, and everything is little-endian, so that the same
/// arrays have the same hash on every machine.
///
/// ```
/// use relax_nn::StateDict;
/// use relax_runtime::state_hash::state_hash;
/// let mut state = StateDict::new();
/// state.insert_f32("weights", &[0.5, -1.0]);
/// let before = state_hash(&state);
/// assert_eq!(before.len(), 64);
/// state.insert_f32("weights", &[0.5, -1.0000001]);
/// assert_ne!(state_hash(&state), before);
/// ```
#[must_use]
pub fn state_hash(state: &StateDict) -> String {
    let mut hasher = Sha256::new();
    let count = |hasher: &mut Sha256, number: usize| hasher.update((number as u64).to_le_bytes());
    for (name, tensor) in state.iter() {
        count(&mut hasher, name.len());
        hasher.update(name);
        let (kind, shape) = match tensor {
            StateTensor::F32 { shape, .. } => ("f32", shape.clone()),
            StateTensor::F64(data) => ("f64", vec![data.len()]),
            StateTensor::U64(data) => ("u64", vec![data.len()]),
            StateTensor::U8(data) => ("u8", vec![data.len()]),
        };
        hasher.update(kind);
        count(&mut hasher, shape.len());
        shape.into_iter().for_each(|size| count(&mut hasher, size));
        match tensor {
            StateTensor::F32 { data, .. } => numbers(&mut hasher, data, |x| x.to_le_bytes()),
            StateTensor::F64(data) => numbers(&mut hasher, data, |x| x.to_le_bytes()),
            StateTensor::U64(data) => numbers(&mut hasher, data, |x| x.to_le_bytes()),
            StateTensor::U8(data) => hasher.update(data),
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of `data`, some thousand numbers at a time: a replay memory may be as large as half of what there is.
fn numbers<T: Copy, const N: usize>(hasher: &mut Sha256, data: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let mut buffer = Vec::with_capacity(4096 * N);
    for part in data.chunks(4096) {
        buffer.clear();
        part.iter().for_each(|&number| buffer.extend(bytes(number)));
        hasher.update(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(arrays: &[(&str, StateTensor)]) -> String {
        let mut state = StateDict::new();
        arrays.iter().for_each(|(name, tensor)| state.insert(*name, tensor.clone()));
        state_hash(&state)
    }

    #[test]
    fn it_is_the_documented_one() {
        // printf of the bytes that the documentation lists, through sha256sum.
        assert_eq!(state(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let found = state(&[("w", StateTensor::U8(vec![1, 2, 3]))]);
        assert_eq!(found, "a43a790b847cdc1c7fb98de41a05c348522b738a5eb2664a68d9c0de5bae8fb5");
    }

    #[test]
    fn names_types_shapes_and_every_bit_count() {
        let f32s =
            |shape: &[usize], data: &[f32]| StateTensor::F32 { shape: shape.to_vec(), data: data.to_vec() };
        let many: Vec<f64> = (0..10_000).map(f64::from).collect();
        let mut other = many.clone();
        other[9_999] = -0.0;
        let all = [
            state(&[("a", f32s(&[2], &[0.0, 1.0]))]),
            state(&[("b", f32s(&[2], &[0.0, 1.0]))]),
            state(&[("a", f32s(&[1, 2], &[0.0, 1.0]))]),
            state(&[("a", f32s(&[2], &[-0.0, 1.0]))]),
            state(&[("a", StateTensor::U64(vec![0]))]),
            state(&[("a", StateTensor::F64(vec![0.0]))]),
            state(&[("a", StateTensor::F64(many.clone()))]),
            state(&[("a", StateTensor::F64(other))]),
            // Cut elsewhere.
            state(&[("ab", StateTensor::U8(vec![])), ("c", StateTensor::U8(vec![]))]),
            state(&[("a", StateTensor::U8(vec![])), ("bc", StateTensor::U8(vec![]))]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{i}");
        }
        assert_eq!(state(&[("a", StateTensor::F64(many.clone()))]), all[6]);
    }
}
