//! The functions, each made by a stated rule from a seed of its own (the same for all methods and seeds of methods).

use rand::Rng;
use relax_minimize::Space;

/// What can only be called.
pub type BlackBox = dyn Fn(&[usize]) -> f64;

pub struct Problem {
    pub name: &'static str,
    pub choices: Vec<usize>,
    pub f: Box<BlackBox>,
    /// Calls of a run.
    pub calls: usize,
    /// Values whose first reaching is counted: what is left, of the way from the mean of random points to the best of three long
    /// annealings, is a tenth and a fiftieth (`compare values`); of the knapsack, whose best is known to be 27, 28 and 27.
    pub targets: [f64; 2],
}

impl Problem {
    pub fn space(&self) -> Space {
        Space::choices(&self.choices)
    }

    pub fn bits(&self) -> bool {
        self.choices.iter().all(|&k| k == 2)
    }
}

pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v) = (1.0 - unit(rng), unit(rng));
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

pub fn below(rng: &mut impl Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

pub fn all() -> Vec<Problem> {
    vec![knapsack(), features(), choices(), satisfiability(), quadratic()]
}

/// Twelve things, a limit of 25 with a step at it; 27 is the best of 4096.
fn knapsack() -> Problem {
    let values = [6.0, 5.0, 8.0, 9.0, 6.0, 7.0, 3.0, 4.0, 2.0, 7.0, 5.0, 3.0];
    let weights = [2.0, 3.0, 6.0, 7.0, 5.0, 9.0, 3.0, 4.0, 1.0, 8.0, 4.0, 2.0];
    let f = move |x: &[usize]| {
        let sum = |of: &[f64; 12]| of.iter().zip(x).map(|(v, &x)| v * x as f64).sum::<f64>();
        let over = (sum(&weights) - 25.0).max(0.0);
        65.0 - sum(&values) + 3.0 * over + if over > 0.0 { 5.0 } else { 0.0 }
    };
    Problem { name: "knapsack", choices: vec![2; 12], f: Box::new(f), calls: 500, targets: [28.0, 27.0] }
}

/// A hundred bits: Σ_{i<j} Q_ij x_i x_j + Σ_i q_i x_i, Q and q standard normal, and 20 steps: +10 where at least five of ten bits drawn
/// at random are 1.
fn quadratic() -> Problem {
    let mut rng = relax_rng::stream::stream(7, 100, 0);
    let pairs: Vec<f64> = (0..100 * 100).map(|_| normal(&mut rng)).collect();
    let steps: Vec<[usize; 10]> = (0..20).map(|_| std::array::from_fn(|_| below(&mut rng, 100))).collect();
    let f = move |x: &[usize]| {
        let on: Vec<usize> = (0..100).filter(|&i| x[i] == 1).collect();
        let mut sum = 0.0;
        for (n, &i) in on.iter().enumerate() {
            sum += on[n..].iter().map(|&j| pairs[100 * i + j]).sum::<f64>();
        }
        sum + steps.iter().filter(|s| s.iter().filter(|&&i| x[i] == 1).count() >= 5).count() as f64 * 10.0
    };
    Problem {
        name: "quadratic",
        choices: vec![2; 100],
        f: Box::new(f),
        calls: 2000,
        targets: [-202.0, -231.5],
    }
}

/// MAX-3-SAT: 50 variables, 215 clauses of three distinct variables drawn at random, each negated with probability ½; f counts the
/// clauses that fail.
fn satisfiability() -> Problem {
    let mut rng = relax_rng::stream::stream(7, 101, 0);
    let clauses: Vec<[(usize, usize); 3]> = (0..215)
        .map(|_| {
            let mut all: Vec<usize> = (0..50).collect();
            std::array::from_fn(|_| (all.swap_remove(below(&mut rng, all.len())), below(&mut rng, 2)))
        })
        .collect();
    let f = move |x: &[usize]| {
        clauses.iter().filter(|c| c.iter().all(|&(i, wanted)| x[i] != wanted)).count() as f64
    };
    Problem { name: "max-3-sat", choices: vec![2; 50], f: Box::new(f), calls: 2000, targets: [3.0, 1.0] }
}

/// Feature selection: 60 observations of 30 correlated features, of which 8 enter y, with noise of standard deviation 1; f is the
/// leave-one-out error of ridge regression (penalty 1) on the features chosen.
fn features() -> Problem {
    let mut rng = relax_rng::stream::stream(7, 102, 0);
    let (n, d) = (60, 30);
    let mut x = vec![0.0; n * d];
    for row in x.chunks_exact_mut(d) {
        let shared: [f64; 3] = std::array::from_fn(|_| normal(&mut rng));
        row.iter_mut().enumerate().for_each(|(j, x)| *x = 0.7 * shared[j % 3] + 0.7 * normal(&mut rng));
    }
    let y: Vec<f64> = x
        .chunks_exact(d)
        .map(|x| {
            let signal: f64 = (0..8).map(|j| x[3 * j] * if j % 2 == 0 { 0.8 } else { -0.6 }).sum();
            signal + normal(&mut rng)
        })
        .collect();
    let f = move |chosen: &[usize]| {
        let on: Vec<usize> = (0..d).filter(|&j| chosen[j] == 1).collect();
        let k = on.len();
        // Cholesky of XᵀX + I, then the hat matrix's diagonal.
        let mut a = vec![0.0; k * k];
        for (p, &i) in on.iter().enumerate() {
            for (q, &j) in on[..=p].iter().enumerate() {
                a[p * k + q] =
                    x.chunks_exact(d).map(|r| r[i] * r[j]).sum::<f64>() + f64::from(u8::from(p == q));
            }
        }
        for p in 0..k {
            for q in 0..=p {
                let sum: f64 = (0..q).map(|m| a[p * k + m] * a[q * k + m]).sum();
                a[p * k + q] =
                    if p == q { (a[p * k + p] - sum).sqrt() } else { (a[p * k + q] - sum) / a[q * k + q] };
            }
        }
        let forward = |v: Vec<f64>| {
            let mut w = v;
            for p in 0..k {
                let sum: f64 = (0..p).map(|m| a[p * k + m] * w[m]).sum();
                w[p] = (w[p] - sum) / a[p * k + p];
            }
            w
        };
        let rows: Vec<Vec<f64>> =
            x.chunks_exact(d).map(|r| forward(on.iter().map(|&j| r[j]).collect())).collect();
        let b = (0..k).map(|m| rows.iter().zip(&y).map(|(r, y)| r[m] * y).sum::<f64>()).collect::<Vec<_>>();
        let error = |(r, y): (&Vec<f64>, &f64)| {
            let fit: f64 = r.iter().zip(&b).map(|(r, b)| r * b).sum();
            ((y - fit) / (1.0 - r.iter().map(|r| r * r).sum::<f64>())).powi(2)
        };
        rows.iter().zip(&y).map(error).sum::<f64>() / n as f64
    };
    Problem { name: "features", choices: vec![2; 30], f: Box::new(f), calls: 600, targets: [1.07, 0.92] }
}

/// Ten choices among eight: Σ_i T_i[x_i] + Σ_{i<j} P_ij[x_i, x_j], T standard normal, P normal with standard deviation ½.
fn choices() -> Problem {
    let mut rng = relax_rng::stream::stream(7, 103, 0);
    let single: Vec<f64> = (0..80).map(|_| normal(&mut rng)).collect();
    let pairs: Vec<f64> = (0..10 * 10 * 64).map(|_| 0.5 * normal(&mut rng)).collect();
    let f = move |x: &[usize]| {
        let mut sum = 0.0;
        for i in 0..10 {
            sum += single[8 * i + x[i]];
            sum += (i + 1..10).map(|j| pairs[(10 * i + j) * 64 + 8 * x[i] + x[j]]).sum::<f64>();
        }
        sum
    };
    Problem { name: "choices", choices: vec![8; 10], f: Box::new(f), calls: 1000, targets: [-23.4, -25.5] }
}
