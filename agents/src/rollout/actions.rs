//! The actions of a rollout's rows, of whatever kind.

/// Actions of the rows of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionBuffer {
    /// One index a row.
    Discrete(Vec<u32>),
    /// `dim` indices a row: several choices at once.
    Factored {
        /// `[rows, dim]`.
        values: Vec<u32>,
        /// Indices a row.
        dim: usize,
    },
    /// `dim` numbers a row.
    Box {
        /// `[rows, dim]`.
        values: Vec<f32>,
        /// Numbers a row.
        dim: usize,
    },
}

impl ActionBuffer {
    pub(super) fn clear(&mut self) {
        match self {
            Self::Discrete(values) | Self::Factored { values, .. } => values.clear(),
            Self::Box { values, .. } => values.clear(),
        }
    }

    /// Makes room for `rows` rows; new ones hold zeros.
    pub fn resize(&mut self, rows: usize) {
        match self {
            Self::Discrete(values) => values.resize(rows, 0),
            Self::Factored { values, dim } => values.resize(rows * *dim, 0),
            Self::Box { values, dim } => values.resize(rows * *dim, 0.0),
        }
    }

    /// The numbers of continuous actions, `[rows, dim]`; none for discrete ones.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Discrete(_) | Self::Factored { .. } => &[],
            Self::Box { values, .. } => values,
        }
    }

    /// The numbers of some rows of continuous actions; none for discrete ones.
    #[must_use]
    pub fn value_rows(&self, rows: std::ops::Range<usize>) -> &[f32] {
        match self {
            Self::Box { values, dim } => &values[rows.start * dim..rows.end * dim],
            Self::Discrete(_) | Self::Factored { .. } => &[],
        }
    }

    /// As [`value_rows`](Self::value_rows), to be written.
    pub fn value_rows_mut(&mut self, rows: std::ops::Range<usize>) -> &mut [f32] {
        match self {
            Self::Box { values, dim } => &mut values[rows.start * *dim..rows.end * *dim],
            Self::Discrete(_) | Self::Factored { .. } => &mut [],
        }
    }

    /// The choices of some rows of discrete actions, `[rows, dim]` where several are made at once; none for continuous ones.
    #[must_use]
    pub fn choice_rows(&self, rows: std::ops::Range<usize>) -> &[u32] {
        match self {
            Self::Discrete(values) => &values[rows],
            Self::Factored { values, dim } => &values[rows.start * dim..rows.end * dim],
            Self::Box { .. } => &[],
        }
    }

    /// As [`choice_rows`](Self::choice_rows), to be written.
    pub fn choice_rows_mut(&mut self, rows: std::ops::Range<usize>) -> &mut [u32] {
        match self {
            Self::Discrete(values) => &mut values[rows],
            Self::Factored { values, dim } => &mut values[rows.start * *dim..rows.end * *dim],
            Self::Box { .. } => &mut [],
        }
    }

    /// Appends `rows` of another buffer of the same kind.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        match self {
            Self::Discrete(values) | Self::Factored { values, .. } => {
                values.extend_from_slice(other.choice_rows(rows));
            }
            Self::Box { values, .. } => values.extend_from_slice(other.value_rows(rows)),
        }
    }
}
