//! A network's step, centred where an encoder has layers that ask for it ([`Centring`]).

use relax_nn::{AffineLayer, Centring, Optimizer};

/// Takes the steps of one network or part of a network.
#[derive(Debug)]
pub(super) struct Centred {
    layers: Vec<AffineLayer>,
    means: Vec<f32>,
    centring: Centring<f32>,
}

impl Centred {
    /// With these layers centred; with none, steps are the optimiser's own.
    pub fn new(layers: Vec<AffineLayer>) -> Self {
        Self { layers, means: Vec::new(), centring: Centring::default() }
    }

    /// One step down `gradient` at the rate and with the factor of clipping given; each shard with the number of its rows, and the
    /// means over them of what the layers took.
    pub fn step<'a>(
        &mut self,
        shards: impl Iterator<Item = (usize, &'a [f32])>,
        optimizer: &mut Optimizer<f32>,
        parameters: &mut [f32],
        gradient: &[f32],
        (learning_rate, scale): (f64, f64),
    ) {
        if self.layers.is_empty() {
            return optimizer.step(parameters, gradient, learning_rate, scale);
        }
        let mut all = 0.0;
        self.means.clear();
        for (rows, means) in shards {
            self.means.resize(means.len(), 0.0);
            self.means.iter_mut().zip(means).for_each(|(sum, mean)| *sum += rows as f32 * mean);
            all += rows as f32;
        }
        self.means.iter_mut().for_each(|sum| *sum /= all);
        let Self { layers, means, centring } = self;
        centring.step(layers, means, optimizer, parameters, gradient, (learning_rate, scale));
    }
}
