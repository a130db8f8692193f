//! A network's step: an encoder's weights more slowly than the rest, and centred where it has layers that ask for it ([`Centring`]).

use relax_nn::{AffineLayer, Centring, Optimizer};

/// Takes the steps of one network or part of a network.
#[derive(Debug)]
pub(super) struct Centred {
    layers: Vec<AffineLayer>,
    shares: Vec<(usize, f64)>,
    means: Vec<f32>,
    centring: Centring<f32>,
}

impl Centred {
    /// With these layers centred, if any, of a vector whose parts end at these places and move at these shares of the learning rate.
    /// Layers of a part that does not move are not centred: they stay as they are, to the bit.
    pub fn new(mut layers: Vec<AffineLayer>, shares: Vec<(usize, f64)>) -> Self {
        let moves =
            |place: usize| shares.iter().find(|(end, _)| place < *end).is_some_and(|(_, share)| *share > 0.0);
        layers.retain(|layer| moves(layer.weight.start));
        Self { layers, shares, means: Vec::new(), centring: Centring::default() }
    }

    /// One step down `gradient` at the rate and with the factor of clipping given; each shard with the number of its rows, and the
    /// means over them of what the layers took.
    pub fn step<'a>(
        &mut self,
        shards: impl Iterator<Item = (usize, &'a [f32])>,
        optimizer: &mut Optimizer<f32>,
        parameters: &mut [f32],
        gradient: &[f32],
        rates: (f64, f64),
    ) {
        let Self { layers, shares, means, centring } = self;
        if layers.is_empty() {
            return optimizer.step_at_shares(parameters, gradient, rates, shares);
        }
        let mut all = 0.0;
        means.clear();
        for (rows, of_shard) in shards {
            means.resize(of_shard.len(), 0.0);
            means.iter_mut().zip(of_shard).for_each(|(sum, mean)| *sum += rows as f32 * mean);
            all += rows as f32;
        }
        means.iter_mut().for_each(|sum| *sum /= all);
        centring.step((layers, means), optimizer, parameters, gradient, rates, shares);
    }
}
