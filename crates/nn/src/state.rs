//! Named arrays: the one form in which everything that must survive a checkpoint is handed over.

use std::collections::BTreeMap;

/// One named array of a [`StateDict`].
#[derive(Debug, Clone, PartialEq)]
pub enum StateTensor {
    /// 32-bit floats with a shape: weights, optimiser moments.
    F32 {
        /// Sizes of the dimensions; their product is `data.len()`.
        shape: Vec<usize>,
        /// Values in C order.
        data: Vec<f32>,
    },
    /// 64-bit floats: running statistics, environment states.
    F64(Vec<f64>),
    /// 64-bit unsigned integers: counters, random-number streams.
    U64(Vec<u64>),
    /// Raw bytes.
    U8(Vec<u8>),
}

/// Why a [`StateDict`] could not be read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum StateError {
    /// There is no array of that name.
    #[error("the state holds no array named `{0}`")]
    Missing(String),
    /// The array is of another type or length than its reader needs.
    #[error("the array `{name}` should be {expected}, but is {found}")]
    Mismatch {
        /// The array's name.
        name: String,
        /// What its reader needs.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl StateTensor {
    /// Type and length in words, for messages: `f32[64, 4]`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::F32 { shape, .. } => format!("f32{shape:?}"),
            Self::F64(data) => format!("f64[{}]", data.len()),
            Self::U64(data) => format!("u64[{}]", data.len()),
            Self::U8(data) => format!("u8[{}]", data.len()),
        }
    }
}

/// Named arrays in a fixed (alphabetical) order. Names are paths with dots: `policy.parameters`, `policy.adam.first_moment`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    tensors: BTreeMap<String, StateTensor>,
}

impl StateDict {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts one array under `name`, in place of what was there.
    pub fn insert(&mut self, name: impl Into<String>, tensor: StateTensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// Puts a one-dimensional array of 32-bit floats under `name`.
    pub fn insert_f32(&mut self, name: impl Into<String>, data: &[f32]) {
        self.insert(name, StateTensor::F32 { shape: vec![data.len()], data: data.to_vec() });
    }

    /// Puts every array of `other` under `prefix.name`.
    pub fn insert_all(&mut self, prefix: &str, other: StateDict) {
        for (name, tensor) in other.tensors {
            self.tensors.insert(format!("{prefix}.{name}"), tensor);
        }
    }

    /// Takes out every array below `prefix.`.
    pub fn remove_all(&mut self, prefix: &str) {
        let start = format!("{prefix}.");
        self.tensors.retain(|name, _| !name.starts_with(&start));
    }

    /// Whether there is an array below `prefix.`.
    #[must_use]
    pub fn has_any(&self, prefix: &str) -> bool {
        let start = format!("{prefix}.");
        self.tensors.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
    }

    /// The arrays below `prefix.`, with the prefix taken off.
    #[must_use]
    pub fn subset(&self, prefix: &str) -> StateDict {
        let start = format!("{prefix}.");
        let tensors = self
            .tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(&start)?.to_owned(), tensor.clone())))
            .collect();
        StateDict { tensors }
    }

    /// All arrays in alphabetical order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StateTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The array `name`.
    ///
    /// # Errors
    /// [`StateError::Missing`] if there is none.
    pub fn get(&self, name: &str) -> Result<&StateTensor, StateError> {
        self.tensors.get(name).ok_or_else(|| StateError::Missing(name.to_owned()))
    }

    /// The 32-bit floats `name`, which must be `len` long.
    ///
    /// # Errors
    /// If there is none of that name, type and length.
    pub fn f32(&self, name: &str, len: usize) -> Result<&[f32], StateError> {
        match self.get(name)? {
            StateTensor::F32 { data, .. } if data.len() == len => Ok(data),
            other => Err(mismatch(name, format!("f32[{len}]"), other)),
        }
    }

    /// The 32-bit floats `name`, of any length.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn f32_any(&self, name: &str) -> Result<&[f32], StateError> {
        match self.get(name)? {
            StateTensor::F32 { data, .. } => Ok(data),
            other => Err(mismatch(name, "f32[…]".into(), other)),
        }
    }

    /// The 64-bit floats `name`, of any length.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn f64(&self, name: &str) -> Result<&[f64], StateError> {
        match self.get(name)? {
            StateTensor::F64(data) => Ok(data),
            other => Err(mismatch(name, "f64[…]".into(), other)),
        }
    }

    /// The 64-bit floats `name`, which must be `N` long.
    ///
    /// # Errors
    /// If there is none of that name, type and length.
    pub fn f64_array<const N: usize>(&self, name: &str) -> Result<[f64; N], StateError> {
        let tensor = self.get(name)?;
        match tensor {
            StateTensor::F64(data) => data.as_slice().try_into().ok(),
            _ => None,
        }
        .ok_or_else(|| mismatch(name, format!("f64[{N}]"), tensor))
    }

    /// The bytes `name`, which must be `len` long.
    ///
    /// # Errors
    /// If there is none of that name, type and length.
    pub fn u8(&self, name: &str, len: usize) -> Result<&[u8], StateError> {
        match self.get(name)? {
            StateTensor::U8(data) if data.len() == len => Ok(data),
            other => Err(mismatch(name, format!("u8[{len}]"), other)),
        }
    }

    /// The unsigned integers `name`, of any length.
    ///
    /// # Errors
    /// If there is none of that name and type.
    pub fn u64(&self, name: &str) -> Result<&[u64], StateError> {
        match self.get(name)? {
            StateTensor::U64(data) => Ok(data),
            other => Err(mismatch(name, "u64[…]".into(), other)),
        }
    }

    /// The unsigned integers `name`, which must be `N` long.
    ///
    /// # Errors
    /// If there is none of that name, type and length.
    pub fn u64_array<const N: usize>(&self, name: &str) -> Result<[u64; N], StateError> {
        let tensor = self.get(name)?;
        match tensor {
            StateTensor::U64(data) => data.as_slice().try_into().ok(),
            _ => None,
        }
        .ok_or_else(|| mismatch(name, format!("u64[{N}]"), tensor))
    }
}

fn mismatch(name: &str, expected: String, found: &StateTensor) -> StateError {
    StateError::Mismatch { name: name.to_owned(), expected, found: found.describe() }
}
