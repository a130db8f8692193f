//! c, regressed on past calls: the function, the window of calls, and the steps of a batch.

use rand::Rng;
use relax_estimators::polynomial_gradient;
use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace};
use relax_rng::stream::stream;

use crate::kernel::Kernel;
use crate::options::{Function, Surrogate};
use crate::space::Layout;

/// Streams of this crate: index is the batch.
pub(crate) mod role {
    /// Noise of the points.
    pub const DRAW: u64 = 64;
    /// Noise of the free samples.
    pub const FREE: u64 = 65;
    /// Which calls a step of the fit sees.
    pub const FIT: u64 = 66;
    /// First weights of c.
    pub const INIT: u64 = 67;
    /// Starts and neighbours of the search for where c is lowest.
    pub const PROBE: u64 = 68;
}

/// After so many steps without a better prediction of the newest calls the steps of a batch end.
const PATIENCE: usize = 2;

/// c(x) at centred rows `[B, D]`, in units of the calls' standard deviation.
#[derive(Debug, Clone)]
enum Shape {
    Network(MlpShape),
    /// [bias, linear `[D]`, pairs `[D·(D−1)/2]` or none]; the pairs within one choice stay 0.
    Polynomial {
        width: usize,
        pairs: Vec<bool>,
    },
    Kernel(Box<Kernel>),
}

/// c and everything that fits it.
#[derive(Debug, Clone)]
pub(crate) struct Learner {
    settings: Surrogate,
    shape: Shape,
    parameters: Vec<f32>,
    adam: Optimizer<f32>,
    width: usize,
    fitted: bool,
    /// The window: rows `[n, D]` and f, the oldest overwritten first.
    rows: Vec<f32>,
    values: Vec<f64>,
    next: usize,
    /// c = mean + scale · net.
    mean: f64,
    scale: f64,
    workspace: Workspace<f32>,
    output: Vec<f32>,
    upstream: Vec<f32>,
    gradient: Vec<f32>,
    batch: Vec<f32>,
    targets: Vec<f32>,
    best: Vec<f32>,
}

impl Learner {
    pub fn new(settings: &Surrogate, layout: &Layout, seed: u64, noisy: bool) -> Self {
        let width = layout.width;
        let (shape, parameters) = match &settings.function {
            Function::Network(hidden) => {
                let shape = MlpShape::new(width, hidden, 1, Activation::Tanh);
                // c is 0 at first: leave-one-out until it knows better.
                let parameters = shape.orthogonal(&mut stream(seed, role::INIT, 0), 1.0, 0.0);
                (Shape::Network(shape), parameters)
            }
            Function::Kernel => {
                (Shape::Kernel(Box::new(Kernel::new(layout, settings.window, noisy))), Vec::new())
            }
            Function::Linear => (Shape::Polynomial { width, pairs: Vec::new() }, vec![0.0; 1 + width]),
            Function::Quadratic => {
                let mut of_choice = vec![0; width];
                for (choice, place) in layout.places.iter().enumerate() {
                    of_choice[place.at..place.at + place.width].fill(choice);
                }
                let pairs: Vec<bool> = (0..width)
                    .flat_map(|i| (i + 1..width).map(move |j| (i, j)))
                    .map(|(i, j)| of_choice[i] != of_choice[j])
                    .collect();
                let count = 1 + width + pairs.len();
                (Shape::Polynomial { width, pairs }, vec![0.0; count])
            }
        };
        Self {
            settings: settings.clone(),
            adam: Optimizer::new(Rule::ADAM, parameters.len()),
            gradient: vec![0.0; parameters.len()],
            best: parameters.clone(),
            shape,
            parameters,
            width,
            fitted: false,
            rows: Vec::new(),
            values: Vec::new(),
            next: 0,
            mean: 0.0,
            scale: 1.0,
            workspace: Workspace::new(),
            output: Vec::new(),
            upstream: Vec::new(),
            batch: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// c at centred rows, in units of f.
    pub fn values(&mut self, rows: &[f32], c: &mut [f64]) {
        if let Shape::Kernel(kernel) = &self.shape {
            return kernel.values(rows, self.width, c);
        }
        self.output.resize(c.len(), 0.0);
        self.forward(rows);
        for (c, &net) in c.iter_mut().zip(&self.output) {
            *c = self.mean + self.scale * f64::from(net);
        }
    }

    /// c at `here` with one variable changed to another choice; `rows` is room.
    pub fn neighbours(
        &mut self,
        layout: &Layout,
        here: &[usize],
        changes: &[(usize, usize)],
        rows: &mut Vec<f32>,
        c: &mut [f64],
    ) {
        rows.clear();
        if let Shape::Kernel(kernel) = &self.shape {
            layout.push(here, rows);
            return kernel.neighbours(rows, here, changes, c);
        }
        for &(variable, choice) in changes {
            let at = rows.len();
            layout.push(here, rows);
            layout.set(layout.places[variable], choice, &mut rows[at..]);
        }
        self.values(rows, c);
    }

    /// c and its gradient by centred rows, in units of f.
    pub fn values_and_gradient(&mut self, rows: &[f32], c: &mut [f64], gradient: &mut [f64]) {
        let (scale, count, width) = (self.scale, c.len(), self.width);
        self.output.resize(count, 0.0);
        match &self.shape {
            Shape::Network(shape) => {
                self.upstream.resize(rows.len(), 0.0);
                let (output, slope) = (&mut self.output, &mut self.upstream);
                shape.value_and_gradient(&self.parameters, rows, &mut self.workspace, output, slope);
                gradient.iter_mut().zip(slope).for_each(|(g, s)| *g = scale * f64::from(*s));
            }
            // A kernel is not differentiated: the relaxed form is refused.
            Shape::Kernel(_) => gradient.fill(f64::NAN),
            Shape::Polynomial { .. } => {
                self.forward(rows);
                let mut slope = vec![0.0; width];
                for (row, gradient) in rows.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
                    polynomial_gradient(
                        &self.parameters[1..=width],
                        &self.parameters[1 + width..],
                        row,
                        &mut slope,
                    );
                    gradient.iter_mut().zip(&slope).for_each(|(g, s)| *g = scale * f64::from(*s));
                }
            }
        }
        for (c, &net) in c.iter_mut().zip(&self.output) {
            *c = self.mean + scale * f64::from(net);
        }
    }

    /// ∂E\[c\]/∂(mean of each centred column) if c is linear or quadratic, for columns of different choices independent of each other.
    pub fn mean_gradient(&self, means: &[f32], gradient: &mut [f64]) -> bool {
        let Shape::Polynomial { width, .. } = &self.shape else { return false };
        let mut slope = vec![0.0; *width];
        polynomial_gradient(&self.parameters[1..=*width], &self.parameters[1 + *width..], means, &mut slope);
        gradient.iter_mut().zip(&slope).for_each(|(g, &s)| *g = self.scale * f64::from(s));
        true
    }

    /// Whether ∂E\[c\]/∂l is a closed form where choices are independent.
    pub fn is_polynomial(&self) -> bool {
        matches!(self.shape, Shape::Polynomial { .. })
    }

    /// Whether c has seen calls; it is their mean before.
    pub fn is_fitted(&self) -> bool {
        if let Shape::Kernel(kernel) = &self.shape { kernel.is_fitted() } else { self.fitted }
    }

    fn forward(&mut self, rows: &[f32]) {
        match &self.shape {
            Shape::Network(shape) => {
                shape.forward(&self.parameters, rows, &mut self.workspace, &mut self.output);
            }
            Shape::Kernel(_) => {}
            Shape::Polynomial { width, pairs } => {
                let (linear, quadratic) = self.parameters[1..].split_at(*width);
                for (out, row) in self.output.iter_mut().zip(rows.chunks_exact(*width)) {
                    *out = self.parameters[0] + dot(linear, row);
                    if !pairs.is_empty() {
                        let mut at = 0;
                        for (i, &x) in row.iter().enumerate() {
                            let rest = &row[i + 1..];
                            *out += x * dot(&quadratic[at..at + rest.len()], rest);
                            at += rest.len();
                        }
                    }
                }
            }
        }
    }

    /// Fits c on the window, then takes the batch just called into it: `rows` `[B, D]`, `f` `[B]`. The batch has been used for ĝ
    /// already, and no step of this call sees it; with an early stop it says when the steps end.
    pub fn fit(&mut self, rows: &[f32], f: &[f64], seed: u64, index: u64) {
        if let Shape::Kernel(kernel) = &mut self.shape {
            return kernel.learn(rows, self.width, f);
        }
        let count = self.values.len();
        if count >= self.settings.minibatch.min(2 * f.len()) {
            self.normalise();
            self.fitted = true;
            let mut rng = stream(seed, role::FIT, index);
            let (mut best, mut since) = (self.error(rows, f), 0);
            if self.settings.early_stop {
                self.best.copy_from_slice(&self.parameters);
            }
            for _ in 0..self.settings.steps {
                self.step(&mut rng);
                if !self.settings.early_stop {
                    continue;
                }
                let error = self.error(rows, f);
                if error < best {
                    (best, since) = (error, 0);
                    self.best.copy_from_slice(&self.parameters);
                } else {
                    since += 1;
                    if since >= PATIENCE {
                        break;
                    }
                }
            }
            if self.settings.early_stop {
                self.parameters.copy_from_slice(&self.best);
            }
        }
        for (row, &f) in rows.chunks_exact(self.width).zip(f) {
            if self.values.len() < self.settings.window {
                self.rows.extend_from_slice(row);
                self.values.push(f);
            } else {
                let at = self.next;
                self.rows[at * self.width..(at + 1) * self.width].copy_from_slice(row);
                self.values[at] = f;
            }
            self.next = (self.next + 1) % self.settings.window;
        }
        if count == 0 {
            self.normalise();
        }
    }

    /// Mean and standard deviation of the window.
    fn normalise(&mut self) {
        let n = self.values.len() as f64;
        self.mean = self.values.iter().sum::<f64>() / n;
        let square = self.values.iter().map(|f| (f - self.mean).powi(2)).sum::<f64>() / n;
        self.scale = square.sqrt().max(1e-12 * self.mean.abs()).max(f64::MIN_POSITIVE);
    }

    /// Mean squared error of c on `rows`, in units of the window's variance.
    fn error(&mut self, rows: &[f32], f: &[f64]) -> f64 {
        self.output.resize(f.len(), 0.0);
        self.forward(rows);
        let errors = self
            .output
            .iter()
            .zip(f)
            .map(|(&net, f)| ((f - self.mean) / self.scale - f64::from(net)).powi(2));
        errors.sum::<f64>() / f.len() as f64
    }

    /// One Adam step down the mean squared error of a minibatch.
    fn step(&mut self, rng: &mut impl Rng) {
        let (count, size, width) = (self.values.len(), self.settings.minibatch, self.width);
        self.batch.clear();
        self.targets.clear();
        for _ in 0..size {
            let at = ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize;
            self.batch.extend_from_slice(&self.rows[at * width..(at + 1) * width]);
            self.targets.push(((self.values[at] - self.mean) / self.scale) as f32);
        }
        self.output.resize(size, 0.0);
        let batch = std::mem::take(&mut self.batch);
        self.forward(&batch);
        self.upstream.clear();
        let scale = 2.0 / size as f32;
        self.upstream.extend(self.output.iter().zip(&self.targets).map(|(net, y)| scale * (net - y)));
        self.gradient.fill(0.0);
        match &self.shape {
            Shape::Network(shape) => {
                let (parameters, gradient) = (&self.parameters, &mut self.gradient);
                shape.reverse(parameters, &batch[..], &self.workspace, &self.upstream, gradient, None);
            }
            Shape::Kernel(_) => {}
            Shape::Polynomial { width, pairs } => {
                let (first, quadratic) = self.gradient.split_at_mut(1 + width);
                for (&d, row) in self.upstream.iter().zip(batch.chunks_exact(*width)) {
                    first[0] += d;
                    first[1..].iter_mut().zip(row).for_each(|(g, x)| *g += d * x);
                    if !pairs.is_empty() {
                        let mut at = 0;
                        for (i, &x) in row.iter().enumerate() {
                            let rest = &row[i + 1..];
                            let to = &mut quadratic[at..at + rest.len()];
                            to.iter_mut().zip(rest).for_each(|(g, y)| *g += d * x * y);
                            at += rest.len();
                        }
                    }
                }
                quadratic.iter_mut().zip(pairs).filter(|(_, free)| !**free).for_each(|(g, _)| *g = 0.0);
            }
        }
        self.adam.step(&mut self.parameters, &self.gradient, self.settings.learning_rate, 1.0);
        self.batch = batch;
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
