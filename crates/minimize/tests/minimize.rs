//! Minimisation: what is found, faults of f, constraints, journals, and ĝ against enumeration.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use relax_estimators::certify::{Moments, certify};
use relax_estimators::{Estimator, exact};
use relax_minimize::{
    Control, Function, MinimizeError, Minimizer, Options, Reason, Space, Surrogate, minimize, minimize_with,
};

const VALUES: [f64; 12] = [6.0, 5.0, 8.0, 9.0, 6.0, 7.0, 3.0, 4.0, 2.0, 7.0, 5.0, 3.0];
const WEIGHTS: [f64; 12] = [2.0, 3.0, 6.0, 7.0, 5.0, 9.0, 3.0, 4.0, 1.0, 8.0, 4.0, 2.0];

fn knapsack(x: &[usize]) -> f64 {
    let sum = |of: &[f64; 12]| of.iter().zip(x).map(|(v, &x)| v * x as f64).sum::<f64>();
    let over = (sum(&WEIGHTS) - 25.0).max(0.0);
    65.0 - sum(&VALUES) + 3.0 * over + if over > 0.0 { 5.0 } else { 0.0 }
}

fn network() -> Surrogate {
    Surrogate { function: Function::Network(vec![64, 64]), ..Surrogate::default() }
}

fn leave_one_out() -> Estimator {
    Estimator::LeaveOneOut { group: 2 }
}

#[test]
fn the_best_is_found_by_every_estimator_and_function() {
    let of = |function| Surrogate { function, ..Surrogate::default() };
    let cases = [
        (Options::default(), network()),
        (Options::default(), Surrogate { relaxed: true, ..network() }),
        (Options::default(), of(Function::Linear)),
        (Options::default(), of(Function::Quadratic)),
        (Options::default(), of(Function::Kernel)),
        (Options { estimator: leave_one_out(), ..Options::default() }, network()),
        (Options { estimator: Estimator::Reinforce, ..Options::default() }, network()),
    ];
    // With probes nearly all of the 4096 points would be called in the end, and the last calls are the worst ones.
    for ((options, surrogate), (probe, calls)) in
        cases.into_iter().flat_map(|case| [(case.clone(), (0, 3000)), (case, (4, 600))])
    {
        let options = Options { calls, batch: 4, probe, surrogate, ..options };
        let found = minimize(knapsack, &Space::bits(12), &options).unwrap();
        assert!(found.best.value <= 28.0, "{options:?}: {:?}", found.best); // 27 is the best of 4096
        assert_eq!(knapsack(&found.best.choices), found.best.value);
        let mean =
            |calls: &[relax_minimize::Call]| calls.iter().map(|c| c.value).sum::<f64>() / calls.len() as f64;
        let (first, last) = (&found.history[..40], &found.history[found.history.len() - 40..]);
        assert!(mean(last) < mean(first), "{options:?}");
    }
}

#[test]
fn maximising_is_minimising_the_negative() {
    let options = Options { calls: 400, ..Options::default() };
    let down = minimize(knapsack, &Space::bits(12), &options).unwrap();
    let up = Options { maximize: true, ..options };
    let up = minimize(|x: &[usize]| -knapsack(x), &Space::bits(12), &up).unwrap();
    assert_eq!(up.best.choices, down.best.choices);
    assert_eq!(up.history.len(), down.history.len());
}

/// Bits and choices in one space, without and with a constraint, and every c: the mean of ĝ is the enumerated gradient while c and
/// the gain go on learning.
#[test]
fn estimates_are_unbiased_while_c_learns() {
    fn f(x: &[usize]) -> f64 {
        let [a, b, c] = [x[0] as f64, x[1] as f64, x[2] as f64];
        (a - 2.0 * b + 0.7 * c * c - 1.3).powi(2) + if a + b + c > 2.0 { 1.5 } else { 0.0 }
    }
    // a, b bits, c one of three; all logits 0.
    let gradient = |allowed: fn(&[usize]) -> [bool; 3]| {
        let at = |x: &[f64], logits: &[f64; 3]| {
            let x = [x[0] as usize, x[1] as usize];
            let masked: Vec<usize> = (0..3).filter(|&c| allowed(&x)[c]).collect();
            let some: Vec<f64> = masked.iter().map(|&c| logits[c]).collect();
            exact::categorical(&some, |c| f(&[x[0], x[1], masked[c]])).value
        };
        let bits = exact::bernoulli(&[0.0, 0.0], |x| at(x, &[0.0; 3])).unwrap().gradient;
        let step = 1e-6;
        let choice = (0..3).map(|c| {
            let mut up = [0.0; 3];
            up[c] = step;
            let mut down = [0.0; 3];
            down[c] = -step;
            let of = |logits: [f64; 3]| exact::bernoulli(&[0.0, 0.0], |x| at(x, &logits)).unwrap().value;
            (of(up) - of(down)) / (2.0 * step)
        });
        bits.into_iter().chain(choice).collect::<Vec<f64>>()
    };
    fn any(_: &[usize]) -> [bool; 3] {
        [true; 3]
    }
    fn some(x: &[usize]) -> [bool; 3] {
        if x[0] == x[1] { [true, false, true] } else { [true; 3] }
    }
    let space = Space::choices(&[2, 2, 3]);
    let masked = space.clone().constrained(|x, allowed| {
        if let [a, b] = *x {
            allowed.copy_from_slice(&some(&[a, b]));
        }
    });
    for (space, exact) in [(space, gradient(any)), (masked, gradient(some))] {
        let functions = [Function::Linear, Function::Quadratic, Function::Kernel, Function::Network(vec![8])];
        for (function, probe) in functions.into_iter().flat_map(|f| [(f.clone(), 0), (f, 2)]) {
            // A kernel's window is short, so that it sheds points.
            let window = if function == Function::Kernel { 64 } else { 10_000 };
            let surrogate =
                Surrogate { function, free: 32, steps: 4, minibatch: 16, window, ..Surrogate::default() };
            // The logits hardly move: 2000 batches at 1e-9.
            // Noisy, so that probes go on when all points are known.
            let options = Options {
                learning_rate: 1e-9,
                batch: 4,
                probe,
                noisy: true,
                surrogate,
                ..Options::default()
            };
            let (mut moments, mut gains) = (Moments::new(5), 0.0);
            let mut minimizer = Minimizer::new(&space, &options).unwrap();
            for _ in 0..2000 {
                let values: Vec<f64> = minimizer.ask().unwrap().iter().map(|x| f(x)).collect();
                minimizer.tell(&values).unwrap();
                moments.push(minimizer.gradient());
                gains += minimizer.gain() / 2000.0;
            }
            let certificate = certify(&moments, &exact, 1e-3).unwrap();
            assert!(certificate.passes(), "{options:?}\n{certificate}");
            assert!(gains > 0.3, "the gain of {options:?} is {gains}");
        }
    }
}

#[test]
fn probes_are_new_allowed_and_beside_the_batch() {
    let few = |chosen: &[usize], allowed: &mut [bool]| {
        if chosen.iter().sum::<usize>() >= 4 {
            allowed[1..].fill(false);
        }
    };
    let spaces = [Space::bits(12), Space::choices(&[2, 3, 4, 2, 5]), Space::bits(12).constrained(few)];
    for (space, constrained) in spaces.into_iter().zip([false, false, true]) {
        let f = |x: &[usize]| x.iter().enumerate().map(|(i, &x)| ((i + 3 * x) % 7) as f64).sum::<f64>();
        let options = Options { batch: 8, probe: 3, surrogate: network(), ..Options::default() };
        let mut minimizer = Minimizer::new(&space, &options).unwrap();
        let (mut known, mut probed, mut rows) = (std::collections::HashSet::new(), 0, 0);
        for _ in 0..12 {
            let points = minimizer.ask().unwrap().to_vec();
            let (batch, probes) = points.split_at(8);
            rows += batch.len();
            for (i, probe) in probes.iter().enumerate() {
                assert!(!known.contains(probe) && !probes[..i].contains(probe), "{probe:?} is not new");
                assert!(space.variables().iter().zip(probe).all(|(v, &x)| x < v.choices));
                assert!(!constrained || probe.iter().sum::<usize>() <= 4, "{probe:?}");
            }
            probed += probes.len();
            let values: Vec<f64> = points.iter().map(|x| f(x)).collect();
            known.extend(points);
            minimizer.tell(&values).unwrap();
        }
        assert_eq!(rows, 96);
        assert!(probed >= 20, "{probed} probes in nine batches"); // c knows nothing in the first three
    }
    // Without c there are none.
    let options = Options { probe: 3, estimator: leave_one_out(), ..Options::default() };
    let found = minimize(knapsack, &Space::bits(12), &options).unwrap();
    assert_eq!(found, minimize(knapsack, &Space::bits(12), &Options { probe: 0, ..options }).unwrap());
}

/// A kernel's probes: half of them stay in a ball around the best point, which shrinks while none is better and starts anew.
#[test]
fn half_of_a_kernels_probes_are_near_the_best() {
    let options = Options { batch: 4, probe: 2, ..Options::default() };
    let few = |chosen: &[usize], allowed: &mut [bool]| allowed[1] = chosen.iter().sum::<usize>() < 25;
    for space in [Space::bits(40), Space::bits(40).constrained(few)] {
        let mut minimizer = Minimizer::new(&space, &options).unwrap();
        let (mut radius, mut nearest, mut anew) = (20.0_f64, 40, 0);
        for batch in 0..60 {
            let points = minimizer.ask().unwrap().to_vec();
            // Nothing is better than the first.
            let value = |i: usize| if batch + i == 0 { 0.0 } else { 1.0 + ((i + batch) % 5) as f64 };
            let values: Vec<f64> = (0..points.len()).map(value).collect();
            if let probes @ [_, ..] = &points[4..] {
                assert_eq!(batch >= 4, probes.len() == 2);
                let best = &minimizer.best().unwrap().choices;
                let differ = |x: &Vec<usize>| x.iter().zip(best).filter(|(a, b)| a != b).count();
                let near = probes.iter().map(differ).min().unwrap();
                assert!((1..=radius as usize).contains(&near), "{near} of {radius}");
                assert!(!space.is_constrained() || probes.iter().all(|x| x.iter().sum::<usize>() <= 25));
                nearest = nearest.min(near);
                radius *= 0.85;
                if radius < 1.0 {
                    (radius, anew) = (20.0, anew + 1);
                }
            }
            minimizer.tell(&values).unwrap();
        }
        assert_eq!((nearest, anew), (1, 2));
    }
}

/// A space too large for all neighbours to be looked at, and one that is used up.
#[test]
fn probes_of_large_and_small_spaces() {
    let f = |x: &[usize]| x.iter().map(|&x| (x as f64 - 20.0).abs()).sum::<f64>();
    let options = Options { calls: 80, ..Options::default() };
    let found = minimize(f, &Space::choices(&[100; 30]), &options).unwrap();
    assert_eq!(found.history.len(), 80);
    let found = minimize(f, &Space::bits(4), &options).unwrap();
    assert_eq!((found.best.value, found.reason), (76.0, Reason::Converged));
    assert!((12..=16).contains(&found.history.len()), "{}", found.history.len());
}

/// Of eight calls a step six where c is lowest save half the calls to within 1 of the best, on ten seeds; and journals know probes.
#[test]
fn probes_save_calls_and_journals_know_them() {
    let space = Space::bits(12);
    let calls = |batch: usize, probe: usize| -> usize {
        let of = |seed| {
            let options =
                Options { seed, batch, probe, calls: 2000, target: Some(28.0), ..Options::default() };
            minimize(knapsack, &space, &options).unwrap().history.len()
        };
        (1000..1010).map(of).sum()
    };
    let (with, without) = (calls(2, 6), calls(8, 0));
    println!("calls of ten runs: {with} with probes, {without} without");
    assert!(2 * with < without, "{with} against {without}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.jsonl");
    let options = Options { calls: 100, probe: 2, ..Options::default() };
    let half = Options { calls: 53, ..options.clone() };
    minimize_with(knapsack, &space, &half, Some(&path), |_| Control::Continue).unwrap();
    let resumed = minimize_with(knapsack, &space, &options, Some(&path), |_| Control::Continue).unwrap();
    assert_eq!(resumed, minimize(knapsack, &space, &options).unwrap());
    let other = Options { probe: 1, ..options };
    let error = minimize_with(knapsack, &space, &other, Some(&path), |_| Control::Continue).unwrap_err();
    assert!(error.to_string().contains("its options are"), "{error}");
}

/// At frozen logits the surrogate has a fraction of leave-one-out's variance once it has learned.
#[test]
fn the_variance_falls() {
    let variance = |estimator: Estimator| {
        let base = Options { batch: 8, probe: 4, surrogate: network(), ..Options::default() };
        let options = Options { learning_rate: 1e-9, estimator, ..base };
        let mut minimizer = Minimizer::new(&Space::bits(12), &options).unwrap();
        let mut moments = Moments::new(12);
        for batch in 0..1000 {
            let values: Vec<f64> = minimizer.ask().unwrap().iter().map(|x| knapsack(x)).collect();
            minimizer.tell(&values).unwrap();
            if batch >= 500 {
                moments.push(minimizer.gradient());
            }
        }
        moments.variance().iter().sum::<f64>()
    };
    let (surrogate, others) = (variance(Options::default().estimator), variance(leave_one_out()));
    println!("variance: surrogate {surrogate:.3}, leave-one-out {others:.3}");
    assert!(surrogate < 0.25 * others, "{surrogate} against {others}");
}

#[test]
fn a_constraint_is_kept() {
    let space = Space::bits(20).constrained(|chosen, allowed| {
        if chosen.iter().sum::<usize>() == 5 {
            allowed[1] = false;
        }
        if chosen.len() >= 15 && chosen.iter().sum::<usize>() + 20 - chosen.len() <= 5 {
            allowed[0] = false;
        }
    });
    let f = |x: &[usize]| x.iter().enumerate().map(|(i, &x)| (x * i) as f64).sum::<f64>();
    let found = minimize(f, &space, &Options { calls: 600, ..Options::default() }).unwrap();
    assert!(found.history.iter().all(|call| call.choices.iter().sum::<usize>() == 5));
    assert!(found.best.value <= 14.0, "{:?}", found.best); // 0 + 1 + 2 + 3 + 4 = 10 is the best
    let stuck = Space::bits(2).constrained(|chosen, allowed| {
        if !chosen.is_empty() {
            allowed.fill(false);
        }
    });
    let error = minimize(|_: &[usize]| 0.0, &stuck, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("no choice for x1 after x0="), "{error}");
}

#[test]
fn a_journal_goes_on_bit_for_bit_and_keeps_what_was_called() {
    let folder = tempfile::tempdir().unwrap();
    let (path, space) = (folder.path().join("calls.jsonl"), Space::bits(12));
    let options = Options { calls: 300, ..Options::default() };
    let whole = minimize(knapsack, &space, &options).unwrap();
    let calls = AtomicUsize::new(0);
    let fragile = |x: &[usize]| match calls.fetch_add(1, Ordering::Relaxed) {
        100 => Err("the machine is on fire"),
        _ => Ok(knapsack(x)),
    };
    let error = minimize_with(fragile, &space, &options, Some(&path), |_| Control::Continue).unwrap_err();
    assert!(
        error.to_string().contains("f failed at x0=") && error.to_string().contains("on fire"),
        "{error}"
    );
    // A crash in the middle of a line.
    let mut text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 101);
    text.push_str("{\"batch\":12,\"ro");
    std::fs::write(&path, text).unwrap();
    let resumed = minimize_with(fragile, &space, &options, Some(&path), |_| Control::Continue).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 301);
    assert_eq!(resumed, whole);
    // On several threads, further, and another's journal.
    let more = Options { calls: 400, workers: 3, ..options.clone() };
    let further = minimize_with(knapsack, &space, &more, Some(&path), |_| Control::Continue).unwrap();
    assert_eq!(further.history[..300], whole.history);
    let other = Options { seed: 1, ..options.clone() };
    let error = minimize_with(knapsack, &space, &other, Some(&path), |_| Control::Continue).unwrap_err();
    assert!(error.to_string().contains("its options are"), "{error}");
    let error =
        minimize_with(knapsack, &Space::bits(13), &options, Some(&path), |_| Control::Continue).unwrap_err();
    assert!(error.to_string().contains("its space is another"), "{error}");
    // A file that is something else, even one without a line's end, is left as it is; a first line that a crash cut short is not.
    let text = std::fs::read(&path).unwrap();
    for other in [&b"buy bread"[..], b"buy bread\n", b"\xff\xfe"] {
        std::fs::write(&path, other).unwrap();
        let error =
            minimize_with(knapsack, &space, &options, Some(&path), |_| Control::Continue).unwrap_err();
        assert!(error.to_string().contains("is not the journal of this minimisation"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), other);
    }
    std::fs::write(&path, &text[..40]).unwrap();
    let resumed = minimize_with(knapsack, &space, &options, Some(&path), |_| Control::Continue).unwrap();
    assert_eq!(resumed, whole);
}

#[test]
fn it_stops_where_it_is_told_to() {
    let space = Space::bits(12);
    let run = |options: Options| minimize(knapsack, &space, &options).unwrap();
    let options = Options::default();
    let found = run(Options { calls: 37, ..options.clone() });
    assert_eq!((found.history.len(), found.reason), (37, Reason::Calls));
    let found = run(Options { calls: 100_000, target: Some(30.0), ..options.clone() });
    assert_eq!(found.reason, Reason::Target);
    assert!(found.best.value <= 30.0 && found.history.len() < 10_000);
    let all = Options { calls: 100_000, ..options.clone() };
    let found = minimize(knapsack, &Space::bits(8), &all).unwrap();
    assert_eq!(found.reason, Reason::Converged);
    let mut points: Vec<_> = found.history.iter().map(|call| &call.choices).collect();
    let all = points.len();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), all, "no point is called twice");
    let found = run(Options { calls: 100_000, noisy: true, seconds: Some(1e-9), ..options });
    assert_eq!((found.reason, found.history.len()), (Reason::Seconds, 2));
}

#[test]
fn mistakes_are_named() {
    let space = Space::bits(3);
    let refuse = |options: Options| minimize(|_: &[usize]| 0.0, &space, &options).unwrap_err().to_string();
    let fine = Options::default();
    assert!(refuse(Options { calls: 0, ..fine.clone() }).contains("calls is 0"));
    assert!(refuse(Options { batch: 1, ..fine.clone() }).contains("batch is 1"));
    assert!(refuse(Options { learning_rate: 0.0, ..fine.clone() }).contains("learning_rate is 0"));
    assert!(
        refuse(Options { estimator: Estimator::MuProp, ..fine.clone() }).contains("muprop does not minimise")
    );
    let few = Surrogate { free: 1, ..Surrogate::default() };
    assert!(refuse(Options { surrogate: few, ..fine.clone() }).contains("surrogate.free is 1"));
    assert!(refuse(Options { probe: 1001, ..fine.clone() }).contains("probe is 1001, and must be 1000"));
    let kernel = Surrogate { relaxed: true, ..Surrogate::default() };
    assert!(refuse(Options { surrogate: kernel, ..fine.clone() }).contains("a kernel has none"));
    let relaxed = Surrogate { relaxed: true, ..network() };
    let options = Options { surrogate: relaxed, ..fine.clone() };
    let error = minimize(|_: &[usize]| 0.0, &Space::choices(&[2, 3]), &options).unwrap_err();
    assert!(error.to_string().contains("surrogate.relaxed is for spaces of bits"), "{error}");
    let error = minimize(|_: &[usize]| f64::NAN, &space, &fine).unwrap_err();
    assert!(matches!(&error, MinimizeError::NotFinite { choices, .. } if choices.len() == 3), "{error}");
    for (variables, says) in [
        (vec![], "no variables"),
        (vec![("a", 1)], "`a` has 1 choices"),
        (vec![("a", 2), ("a", 3)], "two variables are called `a`"),
    ] {
        assert!(Space::new(variables).unwrap_err().to_string().contains(says));
    }
    let mut minimizer = Minimizer::new(&space, &fine).unwrap();
    assert_eq!(minimizer.probabilities(), vec![vec![0.5; 2]; 3]);
    assert_eq!(minimizer.certainty(), 0.5);
    let points = minimizer.ask().unwrap().to_vec();
    assert!(minimizer.tell(&[1.0]).unwrap_err().to_string().contains("1 values were told for 2 points"));
    assert!(minimizer.tell(&[f64::INFINITY; 2]).is_err());
    assert_eq!(minimizer.ask().unwrap(), points, "a batch refused can be told again");
    minimizer.tell(&[1.0; 2]).unwrap();
}
