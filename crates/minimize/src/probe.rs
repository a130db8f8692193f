//! Where c is lowest: the points that are called beside a batch.
//!
//! c is free, so it is searched as one would search a cheap f: from the best point so far and from points of the distribution, always
//! to the best neighbour (one variable changed) until none is better. What has not been called yet and has the lowest c on the way is
//! called next. The search knows nothing of the batch that is drawn beside it, and the batch's ĝ nothing of what it finds.
//!
//! A kernel's probes are half of this kind, and half of them stay within a ball around the best point so far. Its radius grows when a
//! probe was better than all before, shrinks when none was, and starts anew when nothing is left of it.

use std::collections::HashSet;

use rand::Rng;
use relax_estimators::{Estimate, Estimator};

use crate::MinimizeError;
use crate::policy::Policy;

/// Points drawn, of which those with the lowest c are starts.
const DRAWN: usize = 64;
/// Neighbours looked at in a step of the search, at most; if there are more, so many of them, drawn at random.
const NEIGHBOURS: usize = 256;
/// Numbers in the rows of one step, at most, and of all searches of a batch: wide spaces are searched less thoroughly.
const NUMBERS: usize = 1 << 18;
const BUDGET: usize = 1 << 23;

/// The ball's radius when a probe was better, and when none was, over the one before.
const GROWS: f64 = 1.5;
const SHRINKS: f64 = 0.85;

/// A point and c there.
type Candidate = (f64, Vec<usize>);

/// The search.
#[derive(Debug)]
pub(crate) struct Probe {
    variables: usize,
    /// Whether half of the probes stay near the best point.
    half_near: bool,
    /// Variables in which a probe near the best point may differ from it.
    radius: f64,
    estimate: Estimate<f64>,
    rows: Vec<f32>,
    c: Vec<f64>,
}

impl Probe {
    pub fn new(variables: usize, half_near: bool) -> Self {
        let radius = variables as f64 / 2.0;
        Self { variables, half_near, radius, estimate: Estimate::new(), rows: Vec::new(), c: Vec::new() }
    }

    /// Whether a probe was better than all before.
    pub fn learn(&mut self, better: bool) {
        self.radius *= if better { GROWS } else { SHRINKS };
        self.radius = self.radius.min(self.variables as f64);
        if self.radius < 1.0 {
            self.radius = self.variables as f64 / 2.0;
        }
    }

    /// `count` points, or fewer where no more are found, none of them twice and none in `known`, lowest c first.
    pub fn search(
        &mut self,
        policy: &mut Policy,
        best: &[usize],
        known: &HashSet<Vec<usize>>,
        count: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<Vec<usize>>, MinimizeError> {
        Estimator::Baseline.draw(policy, DRAWN, rng, &mut self.estimate)?;
        let samples = self.estimate.samples();
        let mut drawn: Vec<Vec<usize>> = (0..DRAWN).map(|row| policy.layout.decode(samples, row)).collect();
        policy.layout.encode(samples, DRAWN, &mut self.rows);
        let c = self.values(policy, DRAWN).to_vec();
        let mut order: Vec<usize> = (0..DRAWN).collect();
        order.sort_by(|&a, &b| c[a].total_cmp(&c[b]));
        let mut drawn = order.into_iter().map(|row| (std::mem::take(&mut drawn[row]), self.variables));
        let mut starts = Vec::new();
        if self.half_near {
            for n in 0..count {
                let far = if n % 2 == 1 { drawn.next() } else { None };
                let near = || (self.near(policy, best, n, rng), self.radius as usize);
                starts.push(far.unwrap_or_else(near));
            }
        } else {
            starts.push((best.to_vec(), self.variables));
            starts.extend(drawn.take(count));
        }
        let mut found: Vec<Candidate> = Vec::new();
        let budget = BUDGET / starts.len();
        for (start, radius) in starts {
            found.extend(self.climb(policy, start, known, &found, budget, rng, (best, radius)));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.truncate(count);
        Ok(found.into_iter().map(|(_, point)| point).collect())
    }

    /// The best point, and after that such with half a radius of changes.
    fn near(&self, policy: &mut Policy, best: &[usize], n: usize, rng: &mut impl Rng) -> Vec<usize> {
        let mut point = best.to_vec();
        let changes = if n == 0 { 0 } else { ((self.radius as usize) / 2).max(1) };
        for _ in 0..changes {
            let variable = below(rng, point.len());
            let (old, choices) = (point[variable], policy.space.variables()[variable].choices);
            point[variable] = (old + 1 + below(rng, choices - 1)) % choices;
            if !policy.allows(&point) {
                point[variable] = old;
            }
        }
        point
    }

    /// c of `count` rows.
    fn values(&mut self, policy: &mut Policy, count: usize) -> &[f64] {
        self.c.clear();
        self.c.resize(count, 0.0);
        if let Some(learner) = &mut policy.learner {
            learner.values(&self.rows, &mut self.c);
        }
        &self.c
    }

    /// c at `here` with one variable changed.
    fn neighbours(&mut self, policy: &mut Policy, here: &[usize], changes: &[(usize, usize)]) -> &[f64] {
        self.c.clear();
        self.c.resize(changes.len(), 0.0);
        if let Some(learner) = &mut policy.learner {
            learner.neighbours(&policy.layout, here, changes, &mut self.rows, &mut self.c);
        }
        &self.c
    }

    /// Down c from a start that is allowed; the lowest new point on the way. None differs from `centre` in more than `radius` variables.
    #[allow(clippy::too_many_arguments)]
    fn climb(
        &mut self,
        policy: &mut Policy,
        start: Vec<usize>,
        known: &HashSet<Vec<usize>>,
        found: &[Candidate],
        budget: usize,
        rng: &mut impl Rng,
        (centre, radius): (&[usize], usize),
    ) -> Option<Candidate> {
        let bounded = radius < self.variables;
        let differ = |point: &[usize]| point.iter().zip(centre).filter(|(a, b)| a != b).count();
        let new =
            |point: &Vec<usize>| !known.contains(point) && found.iter().all(|(_, other)| other != point);
        self.rows.clear();
        policy.layout.push(&start, &mut self.rows);
        let mut height = self.values(policy, 1)[0];
        let mut lowest = new(&start).then(|| (height, start.clone()));
        let mut here = start;
        let mut used = 0;
        while used < budget {
            let changes = neighbours(policy, &here, rng);
            used += changes.len() * policy.layout.width;
            let c = self.neighbours(policy, &here, &changes);
            let mut order: Vec<usize> = (0..changes.len()).collect();
            order.sort_by(|&a, &b| c[a].total_cmp(&c[b]));
            let mut next = None;
            for row in order {
                let lower = c[row] < height && next.is_none();
                let useful = lowest.as_ref().is_none_or(|(lowest, _)| c[row] < *lowest);
                if !lower && !useful {
                    break;
                }
                let mut point = here.clone();
                point[changes[row].0] = changes[row].1;
                if bounded && differ(&point) > radius || !policy.allows(&point) {
                    continue;
                }
                if useful && new(&point) {
                    lowest = Some((c[row], point.clone()));
                }
                if lower {
                    next = Some((c[row], point));
                }
            }
            let Some((lower, point)) = next else { break };
            (height, here) = (lower, point);
        }
        lowest
    }
}

/// Variable and new choice of all neighbours, or of as many as are looked at.
fn neighbours(policy: &Policy, here: &[usize], rng: &mut impl Rng) -> Vec<(usize, usize)> {
    let variables = policy.space.variables();
    let count: usize = variables.iter().map(|v| v.choices - 1).sum();
    let most = (NUMBERS / policy.layout.width).clamp(16, NEIGHBOURS);
    let other = |variable: usize, n: usize| (variable, if n < here[variable] { n } else { n + 1 });
    if count <= most {
        let of = |(variable, v): (usize, &crate::Variable)| (0..v.choices - 1).map(move |n| (variable, n));
        return variables.iter().enumerate().flat_map(of).map(|(v, n)| other(v, n)).collect();
    }
    let draw = |_| {
        let variable = below(rng, variables.len());
        other(variable, below(rng, variables[variable].choices - 1))
    };
    (0..most).map(draw).collect()
}

fn below(rng: &mut impl Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}
