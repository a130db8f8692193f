//! c by regression with a kernel: the mean of a Gaussian process over the points called, whose covariance falls with the number of
//! variables that differ.
//!
//! ```text
//! k(x, x') = exp(−d(x, x') / (ℓ V))     d of V variables differ
//! c(x) = μ + Σ_i α_i k(x, x_i)          (K + ν I) α = f − μ,  μ by generalised least squares
//! ```
//!
//! ℓ and ν are those of a grid with the largest marginal likelihood, chosen anew at 16, 32, … 512 calls. The Cholesky factor of K + ν I
//! gains a row a call. When the window is full half of the points go: the older ones with the largest f.

use std::collections::HashMap;

use crate::space::{Layout, Place};

/// Scales ℓ and noises ν that are tried.
const SCALES: [f64; 6] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0];
const NOISES: [f64; 3] = [1e-3, 1e-2, 1e-1];
/// The last number of calls at which they are.
const LAST_CHOICE: usize = 512;
const FIRST_CHOICE: usize = 16;

/// Points that are kept at most, whatever the window, and numbers of all their choices.
const MOST: usize = 2048;
const NUMBERS: usize = 1 << 26;

/// The process.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    places: Vec<Place>,
    window: usize,
    repeats: bool,
    /// Of 64 bits, a point.
    words: usize,
    /// One bit a choice of each variable, `[n, words]`.
    bits: Vec<u64>,
    /// Whether a point has each choice but a variable's first, a column a choice: `[columns][n]`.
    hot: Vec<Vec<f32>>,
    f: Vec<f64>,
    known: HashMap<Vec<u64>, usize>,
    /// k by the number of variables that differ.
    table: Vec<f64>,
    noise: f64,
    /// Rows of the lower factor, packed.
    factor: Vec<f64>,
    /// L⁻¹ f and L⁻¹ 1.
    of_f: Vec<f64>,
    of_one: Vec<f64>,
    alpha: Vec<f64>,
    mean: f64,
}

impl Kernel {
    /// `repeats`: whether a point that is called again is another observation.
    pub fn new(layout: &Layout, window: usize, repeats: bool) -> Self {
        let choices: usize = layout.places.iter().map(|place| place.width.max(2)).sum();
        let columns: usize = layout.places.iter().map(|place| place.width.max(2) - 1).sum();
        let window = window.min(MOST).min((NUMBERS / columns).max(2 * FIRST_CHOICE));
        let mut kernel = Self {
            places: layout.places.clone(),
            window,
            repeats,
            words: choices.div_ceil(64),
            bits: Vec::new(),
            hot: vec![Vec::new(); columns],
            f: Vec::new(),
            known: HashMap::new(),
            table: Vec::new(),
            noise: NOISES[1],
            factor: Vec::new(),
            of_f: Vec::new(),
            of_one: Vec::new(),
            alpha: Vec::new(),
            mean: 0.0,
        };
        kernel.table = kernel.table_of(SCALES[3]);
        kernel
    }

    fn table_of(&self, scale: f64) -> Vec<f64> {
        let variables = self.places.len();
        (0..=variables).map(|d| (-(d as f64) / (scale * variables as f64)).exp()).collect()
    }

    fn choice(place: &Place, row: &[f32]) -> usize {
        match &row[place.at..place.at + place.width] {
            [bit] => usize::from(*bit > 0.0),
            of => of.iter().position(|&x| x > 0.0).unwrap_or(0),
        }
    }

    fn encode(&self, row: &[f32], bits: &mut Vec<u64>) {
        let start = bits.len();
        bits.resize(start + self.words, 0);
        let mut at = 0;
        for place in &self.places {
            let bit = at + Self::choice(place, row);
            bits[start + bit / 64] |= 1 << (bit % 64);
            at += place.width.max(2);
        }
    }

    /// How many variables differ from each point.
    fn distances<'a>(&'a self, bits: &'a [u64]) -> impl Iterator<Item = usize> + 'a {
        self.bits.chunks_exact(self.words).map(move |other| {
            let differ: u32 = other.iter().zip(bits).map(|(a, b)| (a ^ b).count_ones()).sum();
            differ as usize / 2
        })
    }

    pub fn is_fitted(&self) -> bool {
        self.f.len() >= FIRST_CHOICE
    }

    /// Takes in calls.
    pub fn learn(&mut self, rows: &[f32], width: usize, f: &[f64]) {
        for (row, &f) in rows.chunks_exact(width).zip(f) {
            let mut bits = Vec::new();
            self.encode(row, &mut bits);
            if !self.repeats && self.known.contains_key(&bits) {
                continue;
            }
            if self.f.len() >= self.window {
                self.shed();
            }
            let mut at = 0;
            for place in &self.places {
                let choice = Self::choice(place, row);
                for k in 1..place.width.max(2) {
                    self.hot[at].push(if k == choice { 1.0 } else { 0.0 });
                    at += 1;
                }
            }
            self.known.insert(bits.clone(), self.f.len());
            self.f.push(f);
            self.bits.extend(bits);
            self.extend_factor();
            let n = self.f.len();
            if n.is_power_of_two() && (FIRST_CHOICE..=LAST_CHOICE).contains(&n) {
                self.choose();
            }
        }
        self.solve();
    }

    /// A row more of the factor, for the point just added.
    fn extend_factor(&mut self) {
        let n = self.of_f.len();
        let bits = &self.bits[n * self.words..][..self.words];
        let start = self.factor.len();
        let row: Vec<f64> = self.distances(bits).take(n).map(|d| self.table[d]).collect();
        self.factor.extend(row);
        let (done, row) = self.factor.split_at_mut(start);
        let mut at = 0;
        for j in 0..n {
            let other = &done[at..=at + j];
            row[j] = (row[j] - dot(&other[..j], &row[..j])) / other[j];
            at += j + 1;
        }
        let left = (1.0 + self.noise - dot(row, row)).max(1e-9).sqrt();
        self.of_f.push((self.f[n] - dot(row, &self.of_f)) / left);
        self.of_one.push((1.0 - dot(row, &self.of_one)) / left);
        self.factor.push(left);
    }

    /// Everything from the points anew.
    fn refactor(&mut self, table: Vec<f64>, noise: f64) {
        (self.table, self.noise) = (table, noise);
        self.factor.clear();
        self.of_f.clear();
        self.of_one.clear();
        while self.of_f.len() < self.f.len() {
            self.extend_factor();
        }
    }

    /// The logarithm of the marginal likelihood, without constants, at the best mean and amplitude.
    fn evidence(&self) -> f64 {
        let n = self.f.len() as f64;
        let mean = dot(&self.of_one, &self.of_f) / dot(&self.of_one, &self.of_one);
        let square: f64 = self.of_f.iter().zip(&self.of_one).map(|(f, one)| (f - mean * one).powi(2)).sum();
        let (mut at, mut log) = (0, 0.0);
        for i in 0..self.f.len() {
            log += self.factor[at + i].ln();
            at += i + 1;
        }
        -0.5 * n * (square / n).max(1e-300).ln() - log
    }

    fn choose(&mut self) {
        let mut best = (f64::NEG_INFINITY, SCALES[3], NOISES[1]);
        for scale in SCALES {
            for noise in NOISES {
                self.refactor(self.table_of(scale), noise);
                let evidence = self.evidence();
                if evidence > best.0 {
                    best = (evidence, scale, noise);
                }
            }
        }
        self.refactor(self.table_of(best.1), best.2);
    }

    /// Half of the points go, those with the largest f but for the newest quarter.
    fn shed(&mut self) {
        let n = self.f.len();
        let mut order: Vec<usize> = (0..n - n / 4).collect();
        order.sort_by(|&a, &b| self.f[a].total_cmp(&self.f[b]));
        order.truncate(n / 4);
        order.extend(n - n / 4..n);
        order.sort_unstable();
        let words = self.words;
        self.bits = order.iter().flat_map(|&i| self.bits[i * words..(i + 1) * words].to_vec()).collect();
        for column in &mut self.hot {
            *column = order.iter().map(|&i| column[i]).collect();
        }
        self.f = order.iter().map(|&i| self.f[i]).collect();
        self.known = self.bits.chunks_exact(words).enumerate().map(|(i, bits)| (bits.to_vec(), i)).collect();
        let table = std::mem::take(&mut self.table);
        self.refactor(table, self.noise);
    }

    fn solve(&mut self) {
        let n = self.f.len();
        if n == 0 {
            return;
        }
        self.mean = dot(&self.of_one, &self.of_f) / dot(&self.of_one, &self.of_one);
        self.alpha.clear();
        self.alpha.extend(self.of_f.iter().zip(&self.of_one).map(|(f, one)| f - self.mean * one));
        let mut start = self.factor.len();
        for j in (0..n).rev() {
            start -= j + 1;
            let row = &self.factor[start..=start + j];
            let x = self.alpha[j] / row[j];
            self.alpha[j] = x;
            self.alpha[..j].iter_mut().zip(row).for_each(|(a, l)| *a -= l * x);
        }
    }

    /// c at rows.
    pub fn values(&self, rows: &[f32], width: usize, c: &mut [f64]) {
        let mut bits = Vec::new();
        for (row, c) in rows.chunks_exact(width).zip(c) {
            bits.clear();
            self.encode(row, &mut bits);
            *c = self.mean
                + self.distances(&bits).zip(&self.alpha).map(|(d, a)| a * self.table[d]).sum::<f64>();
        }
    }

    /// c at `here` with one variable changed.
    pub fn neighbours(&self, row: &[f32], here: &[usize], changes: &[(usize, usize)], c: &mut [f64]) {
        let mut bits = Vec::new();
        self.encode(row, &mut bits);
        let (mut nearer, mut further) = (Vec::new(), Vec::new());
        let mut height = self.mean;
        let last = self.table.len() - 1;
        for (d, &alpha) in self.distances(&bits).zip(&self.alpha) {
            let now = self.table[d];
            height += alpha * now;
            nearer.push((alpha * (self.table[d.saturating_sub(1)] - now)) as f32);
            further.push((alpha * (self.table[(d + 1).min(last)] - now)) as f32);
        }
        let (all_nearer, all_further) = (total(&nearer), total(&further));
        let mut sums: Vec<(f64, f64)> = Vec::new();
        let mut starts = Vec::new();
        for place in &self.places {
            let at = sums.len() - starts.len();
            starts.push(sums.len());
            sums.push((all_nearer, all_further));
            let first = sums.len() - 1;
            for k in 1..place.width.max(2) {
                let column = &self.hot[at + k - 1];
                let own = (dot32(column, &nearer), dot32(column, &further));
                sums[first].0 -= own.0;
                sums[first].1 -= own.1;
                sums.push(own);
            }
        }
        for (c, &(variable, choice)) in c.iter_mut().zip(changes) {
            *c = height + sums[starts[variable] + here[variable]].1 + sums[starts[variable] + choice].0;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, ra) = a.as_chunks::<8>();
    let (b8, rb) = b[..a.len()].as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + ra.iter().zip(rb).map(|(a, b)| a * b).sum::<f64>()
}

fn dot32(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f32; 16];
    let (a8, ra) = a.as_chunks::<16>();
    let (b8, rb) = b.as_chunks::<16>();
    for (a, b) in a8.iter().zip(b8) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().map(|&s| f64::from(s)).sum::<f64>()
        + ra.iter().zip(rb).map(|(a, b)| f64::from(a * b)).sum::<f64>()
}

fn total(a: &[f32]) -> f64 {
    a.iter().map(|&a| f64::from(a)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Space;

    const CHOICES: [usize; 6] = [2, 3, 4, 2, 2, 5];

    fn point(n: usize) -> Vec<usize> {
        CHOICES.iter().enumerate().map(|(i, k)| (n / (i + 1) + 7 * n * i) % k).collect()
    }

    fn f(x: &[usize]) -> f64 {
        x.iter().enumerate().map(|(i, &x)| (i as f64 - 1.5) * x as f64).sum::<f64>() + (x[0] * x[4]) as f64
    }

    fn learned(count: usize, window: usize) -> (Kernel, Layout) {
        let layout = Layout::new(&Space::choices(&CHOICES));
        let mut kernel = Kernel::new(&layout, window, false);
        for n in 0..count {
            let mut row = Vec::new();
            layout.push(&point(n), &mut row);
            kernel.learn(&row, layout.width, &[f(&point(n))]);
        }
        (kernel, layout)
    }

    fn value(kernel: &Kernel, layout: &Layout, x: &[usize]) -> f64 {
        let (mut row, mut c) = (Vec::new(), [0.0]);
        layout.push(x, &mut row);
        kernel.values(&row, layout.width, &mut c);
        c[0]
    }

    /// (K + νI) α = f − μ with Σα = 0, which is what the best μ makes, written out over the points.
    #[test]
    fn it_solves_its_equations() {
        let (kernel, layout) = learned(60, 1000);
        let n = kernel.f.len();
        assert!(n > 40 && kernel.is_fitted());
        assert!(kernel.alpha.iter().sum::<f64>().abs() < 1e-9);
        let mut seen = std::collections::HashSet::new();
        for (i, x) in (0..60).map(point).filter(|x| seen.insert(x.clone())).enumerate() {
            let left = value(&kernel, &layout, &x) + kernel.noise * kernel.alpha[i];
            assert!((left - f(&x)).abs() < 1e-8, "{left} and {}", f(&x));
        }
    }

    #[test]
    fn neighbours_are_the_points_that_they_are() {
        let (kernel, layout) = learned(60, 1000);
        let here = point(17);
        let changes: Vec<(usize, usize)> = (CHOICES.iter().enumerate())
            .flat_map(|(i, &k)| (0..k).map(move |choice| (i, choice)))
            .filter(|&(i, choice)| here[i] != choice)
            .collect();
        let (mut row, mut c) = (Vec::new(), vec![0.0; changes.len()]);
        layout.push(&here, &mut row);
        kernel.neighbours(&row, &here, &changes, &mut c);
        for (c, (i, choice)) in c.into_iter().zip(changes) {
            let mut x = here.clone();
            x[i] = choice;
            assert!((c - value(&kernel, &layout, &x)).abs() < 1e-4, "{c} at {x:?}");
        }
    }

    #[test]
    fn a_full_window_sheds_half() {
        let (kernel, layout) = learned(200, 32);
        assert!(kernel.f.len() <= 32);
        let last = point(199);
        assert!((value(&kernel, &layout, &last) - f(&last)).abs() < 2.0);
    }
}
