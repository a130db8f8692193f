//! A network and a derivative in double precision that owe nothing to the kernels they are held against.

/// A tanh perceptron, computed the slow and obvious way. Per layer: weights `[in, out]`, then biases.
#[derive(Debug, Clone)]
pub struct Net {
    /// Width of every layer, input and output included.
    pub widths: Vec<usize>,
    /// All parameters, layer by layer.
    pub parameters: Vec<f64>,
}

impl Net {
    /// A network; parameters beyond those of the layers are left alone.
    #[must_use]
    pub fn new(input: usize, hidden: &[usize], output: usize, parameters: &[f32]) -> Self {
        let widths = [&[input], hidden, &[output]].concat();
        Self { widths, parameters: parameters.iter().map(|&x| f64::from(x)).collect() }
    }

    /// What every layer gives, the input first.
    fn activations(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut all = vec![x.to_vec()];
        let mut at = 0;
        for (layer, width) in self.widths.windows(2).enumerate() {
            let (n, m) = (width[0], width[1]);
            let (weights, biases) = (&self.parameters[at..], &self.parameters[at + n * m..]);
            let y = (0..m).map(|j| {
                let sum: f64 = biases[j] + (0..n).map(|i| all[layer][i] * weights[i * m + j]).sum::<f64>();
                if layer + 2 == self.widths.len() { sum } else { sum.tanh() }
            });
            let y = y.collect();
            all.push(y);
            at += n * m + m;
        }
        all
    }

    /// The network's output.
    #[must_use]
    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        self.activations(x).pop().unwrap_or_default()
    }

    /// Gradients of `d`·output by parameters (added to `gradient`) and by the input (returned).
    pub fn reverse(&self, x: &[f64], d: &[f64], gradient: &mut [f64]) -> Vec<f64> {
        let all = self.activations(x);
        let mut d = d.to_vec();
        let mut at: usize = self.widths.windows(2).map(|w| w[0] * w[1] + w[1]).sum();
        for (layer, width) in self.widths.windows(2).enumerate().rev() {
            let (n, m) = (width[0], width[1]);
            at -= n * m + m;
            if layer + 2 < self.widths.len() {
                d.iter_mut().zip(&all[layer + 1]).for_each(|(d, y)| *d *= 1.0 - y * y);
            }
            let mut below = vec![0.0; n];
            for i in 0..n {
                for j in 0..m {
                    gradient[at + i * m + j] += all[layer][i] * d[j];
                    below[i] += self.parameters[at + i * m + j] * d[j];
                }
            }
            (0..m).for_each(|j| gradient[at + n * m + j] += d[j]);
            d = below;
        }
        d
    }

    /// c and ∇c of a network with one output.
    #[must_use]
    pub fn value_and_gradient(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let mut by_parameters = vec![0.0; self.parameters.len()];
        (self.forward(x)[0], self.reverse(x, &[1.0], &mut by_parameters))
    }
}

/// d f/d x by central differences.
pub fn finite_differences(x: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    let step = 1e-5;
    (0..x.len())
        .map(|i| {
            let old = x[i];
            x[i] = old + step;
            let above = f(&x);
            x[i] = old - step;
            let below = f(&x);
            x[i] = old;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// log softmax.
#[must_use]
pub fn log_probs(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - most).exp()).sum();
    logits.iter().map(|l| l - most - sum.ln()).collect()
}
