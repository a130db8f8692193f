//! What there is to choose: [`Space`], and how its points are laid out for estimators and networks.

use std::fmt;
use std::sync::Arc;

use relax_estimators::{Family, Layer};

use crate::MinimizeError;

/// One variable: a name and how many choices there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name in messages and journals.
    pub name: String,
    /// Its choices are 0 to `choices` − 1; at least 2.
    pub choices: usize,
}

/// Which choices are allowed: given the choices of the variables before, clears `allowed` for those that are not. `allowed` holds one
/// entry a choice of variable number `prefix.len()`, all of them true at first. After the same choices it must always leave the same: its
/// answers are remembered.
pub type Constraint = dyn Fn(&[usize], &mut [bool]) + Send + Sync;

/// The variables, and a constraint or none.
///
/// ```
/// use relax_minimize::Space;
///
/// // Three layers' widths and whether to use dropout; and: five of twenty bits at most.
/// let network = Space::new([("width 1", 4), ("width 2", 4), ("width 3", 4), ("dropout", 2)])?;
/// let five = Space::bits(20).constrained(|chosen, allowed| {
///     if chosen.iter().sum::<usize>() == 5 {
///         allowed[1] = false;
///     }
/// });
/// assert_eq!((network.variables().len(), five.variables().len()), (4, 20));
/// # Ok::<(), relax_minimize::MinimizeError>(())
/// ```
#[derive(Clone)]
pub struct Space {
    variables: Vec<Variable>,
    constraint: Option<Arc<Constraint>>,
}

impl Space {
    /// Variables by name and number of choices.
    ///
    /// # Errors
    /// If there are none, one has fewer than two choices, or two have the same name.
    pub fn new<N: Into<String>>(
        variables: impl IntoIterator<Item = (N, usize)>,
    ) -> Result<Self, MinimizeError> {
        let variables: Vec<Variable> =
            variables.into_iter().map(|(name, choices)| Variable { name: name.into(), choices }).collect();
        if variables.is_empty() {
            return Err(MinimizeError::Space("the space has no variables".into()));
        }
        for (i, variable) in variables.iter().enumerate() {
            let Variable { name, choices } = variable;
            if !(2..=1 << 20).contains(choices) {
                let what = format!("`{name}` has {choices} choices; a variable needs from 2 to {}", 1 << 20);
                return Err(MinimizeError::Space(what));
            }
            if variables[..i].iter().any(|other| other.name == *name) {
                return Err(MinimizeError::Space(format!("two variables are called `{name}`")));
            }
        }
        Ok(Self { variables, constraint: None })
    }

    /// `count` variables of two choices, named x0, x1, ….
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    pub fn bits(count: usize) -> Self {
        Self::choices(&vec![2; count])
    }

    /// Variables with these numbers of choices, named x0, x1, ….
    ///
    /// # Panics
    /// If there are none, or one has fewer than two choices.
    #[must_use]
    pub fn choices(choices: &[usize]) -> Self {
        match Self::new(choices.iter().enumerate().map(|(i, &choices)| (format!("x{i}"), choices))) {
            Ok(space) => space,
            Err(error) => panic!("{error}"),
        }
    }

    /// The space with the points left out that the constraint rules out, variable by variable in their order.
    #[must_use]
    pub fn constrained(mut self, constraint: impl Fn(&[usize], &mut [bool]) + Send + Sync + 'static) -> Self {
        self.constraint = Some(Arc::new(constraint));
        self
    }

    /// The variables, in order.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Whether there is a constraint.
    #[must_use]
    pub fn is_constrained(&self) -> bool {
        self.constraint.is_some()
    }

    pub(crate) fn constraint(&self) -> Option<&Constraint> {
        self.constraint.as_deref()
    }

    /// Choices by name: `x0=1 x1=0`.
    #[must_use]
    pub fn describe(&self, choices: &[usize]) -> String {
        let named = self.variables.iter().zip(choices).map(|(v, choice)| format!("{}={choice}", v.name));
        named.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constrained = self.is_constrained();
        f.debug_struct("Space")
            .field("variables", &self.variables)
            .field("constrained", &constrained)
            .finish()
    }
}

/// Where a variable's numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub layer: usize,
    /// First column within the layer.
    pub column: usize,
    /// First column within a whole row.
    pub at: usize,
    /// 1 for a bit, else one a choice.
    pub width: usize,
}

/// The layers that estimators see: without a constraint all bits are one layer; with one every variable is a layer, so that each can
/// depend on those before.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub layers: Vec<Layer>,
    /// First column of each layer in a whole row.
    pub starts: Vec<usize>,
    pub places: Vec<Place>,
    /// Columns of a row.
    pub width: usize,
}

impl Layout {
    pub fn new(space: &Space) -> Self {
        let bits = space.variables().iter().filter(|v| v.choices == 2).count();
        let together = !space.is_constrained() && bits > 0;
        let mut layers = if together { vec![Layer::bernoulli(bits)] } else { Vec::new() };
        let mut starts = if together { vec![0] } else { Vec::new() };
        let (mut width, mut bit) = (if together { bits } else { 0 }, 0);
        let mut places = Vec::new();
        for variable in space.variables() {
            let two = variable.choices == 2;
            if two && together {
                places.push(Place { layer: 0, column: bit, at: bit, width: 1 });
                bit += 1;
                continue;
            }
            let layer = if two { Layer::bernoulli(1) } else { Layer::categorical(variable.choices) };
            places.push(Place { layer: layers.len(), column: 0, at: width, width: layer.width });
            starts.push(width);
            layers.push(layer);
            width += layer.width;
        }
        Self { layers, starts, places, width }
    }

    /// The choice of variable `place` in row `row` of hard samples.
    pub fn choice(&self, place: Place, samples: &[Vec<f64>], row: usize) -> usize {
        let layer = self.layers[place.layer];
        let numbers = &samples[place.layer][row * layer.width..(row + 1) * layer.width];
        match layer.family {
            Family::Bernoulli => numbers[place.column] as usize,
            Family::Categorical => numbers.iter().position(|&x| x == 1.0).unwrap_or(0),
        }
    }

    /// All choices of a row.
    pub fn decode(&self, samples: &[Vec<f64>], row: usize) -> Vec<usize> {
        self.places.iter().map(|&place| self.choice(place, samples, row)).collect()
    }

    /// Whole rows `[B, width]`, centred: bits ±1, choices 1 − 1/K or −1/K.
    pub fn encode(&self, samples: &[Vec<f64>], rows: usize, out: &mut Vec<f32>) {
        out.clear();
        out.resize(rows * self.width, 0.0);
        for ((layer, numbers), &start) in self.layers.iter().zip(samples).zip(&self.starts) {
            for (row, numbers) in numbers.chunks_exact(layer.width).take(rows).enumerate() {
                let out = &mut out[row * self.width + start..][..layer.width];
                for (out, &x) in out.iter_mut().zip(numbers) {
                    *out = centred(*layer, x) as f32;
                }
            }
        }
    }
}

impl Layout {
    /// Appends the row of a point, as [`Layout::encode`] has it.
    pub fn push(&self, point: &[usize], rows: &mut Vec<f32>) {
        let start = rows.len();
        rows.resize(start + self.width, 0.0);
        for (&place, &choice) in self.places.iter().zip(point) {
            self.set(place, choice, &mut rows[start..]);
        }
    }

    /// Writes the choice of one variable into a row.
    pub fn set(&self, place: Place, choice: usize, row: &mut [f32]) {
        let layer = self.layers[place.layer];
        let hard = |is: bool| centred(layer, f64::from(u8::from(is))) as f32;
        for (k, to) in row[place.at..place.at + place.width].iter_mut().enumerate() {
            *to = hard(if place.width == 1 { choice == 1 } else { choice == k });
        }
    }
}

/// A hard or soft outcome as the surrogate reads it.
pub(crate) fn centred(layer: Layer, x: f64) -> f64 {
    match layer.family {
        Family::Bernoulli => 2.0 * x - 1.0,
        Family::Categorical => x - 1.0 / layer.width as f64,
    }
}
