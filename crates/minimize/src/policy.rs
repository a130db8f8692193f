//! What the estimators are told of a minimisation: [`Policy`], a model of as many layers as the space has.

use std::collections::HashMap;

use relax_estimators::{EstimatorError, Family, Layer, Model, Place as Where};

use crate::MinimizeError;
use crate::fit::Learner;
use crate::space::{Layout, Place, Space, centred};

/// Takes the place of −∞ at choices that are ruled out: their probability is exactly 0 in double precision, and nothing is NaN.
const RULED_OUT: f64 = -1e4;

/// Prefixes whose masks are remembered.
const MASKS: usize = 1 << 16;

/// The distributions of the choices, and c.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub space: Space,
    pub layout: Layout,
    /// One a column of [`Layout`], whole row.
    pub logits: Vec<f64>,
    pub learner: Option<Learner>,
    /// A mistake made on purpose: the next rows get each other's c.
    pub misread: bool,
    masks: HashMap<Vec<usize>, Vec<bool>>,
    rows: Vec<f32>,
    slopes: Vec<f64>,
}

impl Policy {
    pub fn new(space: &Space, learner: Option<Learner>) -> Self {
        let layout = Layout::new(space);
        let logits = vec![0.0; layout.width];
        let (space, masks) = (space.clone(), HashMap::new());
        Self { space, layout, logits, learner, misread: false, masks, rows: Vec::new(), slopes: Vec::new() }
    }

    /// Logits of layer `layer` where some choices are ruled out by what was chosen before.
    fn masked(&mut self, layer: usize, below: &[Vec<f64>], logits: &mut [f64]) -> Result<(), MinimizeError> {
        if !self.space.is_constrained() {
            return Ok(());
        }
        let Layer { family, width, .. } = self.layout.layers[layer];
        for (row, logits) in logits.chunks_exact_mut(width).enumerate() {
            let before: Vec<usize> = self.layout.places[..layer]
                .iter()
                .map(|&place| self.layout.choice(place, below, row))
                .collect();
            let allowed = self.allowed(&before);
            if !allowed.contains(&true) {
                return Err(self.no_choice(&before));
            }
            match (family, allowed) {
                (Family::Bernoulli, [false, _]) => logits[0] = -RULED_OUT,
                (Family::Bernoulli, [_, false]) => logits[0] = RULED_OUT,
                (Family::Bernoulli, _) => {}
                (Family::Categorical, _) => {
                    let out = logits.iter_mut().zip(allowed).filter(|(_, allowed)| !**allowed);
                    out.for_each(|(logit, _)| *logit = RULED_OUT);
                }
            }
        }
        Ok(())
    }

    /// What the constraint leaves after the choices of the variables before. It is asked once, as long as there is room to remember:
    /// free samples and probes ask for the same again and again, and it may be slow.
    pub fn allowed(&mut self, before: &[usize]) -> &[bool] {
        if !self.masks.contains_key(before) {
            if self.masks.len() >= MASKS {
                self.masks.clear();
            }
            let mut allowed = vec![true; self.space.variables()[before.len()].choices];
            if let Some(constraint) = self.space.constraint() {
                constraint(before, &mut allowed);
            }
            self.masks.insert(before.to_vec(), allowed);
        }
        &self.masks[before]
    }

    /// Whether the constraint allows the point.
    pub fn allows(&mut self, point: &[usize]) -> bool {
        !self.space.is_constrained() || (0..point.len()).all(|i| self.allowed(&point[..i])[point[i]])
    }

    fn no_choice(&self, before: &[usize]) -> MinimizeError {
        let variable = self.space.variables()[before.len()].name.clone();
        MinimizeError::NoChoice { variable, point: self.space.describe(before) }
    }

    /// Rows as c reads them.
    fn take_rows(&mut self, samples: &[Vec<f64>], rows: usize) {
        self.layout.encode(samples, rows, &mut self.rows);
    }

    /// The likeliest choice of each variable, in order.
    pub fn likeliest(&self) -> Result<Vec<usize>, MinimizeError> {
        let mut chosen: Vec<usize> = Vec::new();
        for (variable, place) in self.space.variables().iter().zip(&self.layout.places) {
            let mut allowed = vec![true; variable.choices];
            if let Some(constraint) = self.space.constraint() {
                constraint(&chosen, &mut allowed);
            }
            let logits = &self.logits[place.at..place.at + place.width];
            let of =
                |choice: usize| if place.width == 1 { logits[0] * choice as f64 } else { logits[choice] };
            let best = (0..variable.choices).filter(|&c| allowed[c]).max_by(|&a, &b| of(a).total_cmp(&of(b)));
            chosen.push(best.ok_or_else(|| MinimizeError::NoChoice {
                variable: variable.name.clone(),
                point: self.space.describe(&chosen),
            })?);
        }
        Ok(chosen)
    }
}

impl Model<f64> for Policy {
    type Error = MinimizeError;

    fn layers(&self) -> &[Layer] {
        &self.layout.layers
    }

    fn logits(&mut self, layer: usize, below: &[Vec<f64>], logits: &mut [f64]) -> Result<(), MinimizeError> {
        let (start, width) = (self.layout.starts[layer], self.layout.layers[layer].width);
        logits
            .chunks_exact_mut(width)
            .for_each(|row| row.copy_from_slice(&self.logits[start..start + width]));
        self.masked(layer, below, logits)
    }

    /// f is called between the two parts of an estimate, never here.
    fn value(&mut self, _: &[Vec<f64>], _: &mut [f64]) -> Result<(), MinimizeError> {
        Err(EstimatorError::NotDifferentiable.into())
    }

    /// c in place of f, for the relaxed form.
    fn value_and_gradient(
        &mut self,
        _: Where<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), MinimizeError> {
        let layer = self.layout.layers[0];
        self.rows.clear();
        self.rows.extend(x.iter().map(|&x| centred(layer, x) as f32));
        let learner = self.learner.as_mut().ok_or(EstimatorError::NoSurrogate)?;
        learner.values_and_gradient(&self.rows, f, gradient);
        gradient.iter_mut().for_each(|g| *g *= 2.0); // bits are read as ±1
        Ok(())
    }

    fn surrogate(&mut self, samples: &[Vec<f64>], c: &mut [f64]) -> Result<(), MinimizeError> {
        self.take_rows(samples, c.len());
        let learner = self.learner.as_mut().ok_or(EstimatorError::NoSurrogate)?;
        learner.values(&self.rows, c);
        if std::mem::take(&mut self.misread) {
            c.reverse();
        }
        Ok(())
    }

    fn surrogate_gradient(
        &mut self,
        layer: usize,
        _: &[f64],
        gradient: &mut [f64],
    ) -> Result<bool, MinimizeError> {
        let learner = self.learner.as_ref().ok_or(EstimatorError::NoSurrogate)?;
        if !learner.is_polynomial() || self.space.is_constrained() {
            return Ok(false);
        }
        // Every row has the same logits.
        let (start, shape) = (self.layout.starts[layer], self.layout.layers[layer]);
        if layer == 0 {
            let means = self.means();
            self.slopes.resize(self.layout.width, 0.0);
            learner.mean_gradient(&means, &mut self.slopes);
        }
        let slopes = &self.slopes[start..start + shape.width];
        let logits = &self.logits[start..start + shape.width];
        let probabilities = probabilities(shape, logits);
        let mean: f64 = probabilities.iter().zip(slopes).map(|(p, d)| p * d).sum();
        for row in gradient.chunks_exact_mut(shape.width) {
            for ((g, &p), &d) in row.iter_mut().zip(&probabilities).zip(slopes) {
                *g = match shape.family {
                    Family::Bernoulli => 2.0 * p * (1.0 - p) * d,
                    Family::Categorical => p * (d - mean),
                };
            }
        }
        Ok(true)
    }
}

impl Policy {
    /// Of every variable's choices, as if there were no constraint.
    pub fn probabilities(&self) -> Vec<Vec<f64>> {
        let of_place = |place: &Place| {
            let logits = &self.logits[place.at..place.at + place.width];
            let of = probabilities(self.layout.layers[place.layer], logits);
            if let [theta] = of[..] { vec![1.0 - theta, theta] } else { of }
        };
        self.layout.places.iter().map(of_place).collect()
    }

    /// The mean of every column, centred.
    fn means(&self) -> Vec<f32> {
        let layers = self.layout.layers.iter().zip(&self.layout.starts);
        let of_layer = |(layer, &start): (&Layer, &usize)| {
            let probabilities = probabilities(*layer, &self.logits[start..start + layer.width]);
            probabilities.into_iter().map(|p| centred(*layer, p) as f32).collect::<Vec<_>>()
        };
        layers.flat_map(of_layer).collect()
    }
}

fn probabilities(layer: Layer, logits: &[f64]) -> Vec<f64> {
    match layer.family {
        Family::Bernoulli => logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect(),
        Family::Categorical => {
            let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = logits.iter().map(|l| (l - highest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|w| w / sum).collect()
        }
    }
}
