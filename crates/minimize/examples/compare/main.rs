//! The surrogate against everything else: calls to reach a value, and variance at frozen logits.
//!
//! ```text
//! cargo run --release -p relax-minimize --example compare -- calls [PROBLEM …] [METHOD …]   best so far by calls, CSV
//! cargo run --release -p relax-minimize --example compare -- variance [PROBLEM …] [SETTING …]   variance of a step's gradient, CSV
//! cargo run --release -p relax-minimize --example compare -- values [PROBLEM …]     what the values to reach were set by
//! cargo run --release -p relax-minimize --example compare -- probes [PROBLEM …]     what probes, batch and fit were chosen by
//! cargo run --release -p relax-minimize --example compare -- serve PROBLEM          f of points on standard input
//! ```
//!
//! Every method has one number that is tuned: the best of its grid of four by the mean of the best value found, on seeds 1000 and
//! 1001, is used on seeds 0 to 9. Where the best is an end of the grid, the grid goes on that way, three numbers at most. No method
//! calls a point twice; a call is a call of a new point. `serve` is for methods in other languages (`rivals.py`, and `tables.py`, which
//! puts all lines together).

mod methods;
mod problems;

use std::time::Instant;

use methods::{Calls, METHODS, Method};
use problems::Problem;
use relax_estimators::certify::Moments;
use relax_estimators::{Coupling, Estimator};
use relax_minimize::{Function, Minimizer, Options, Surrogate};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| arguments.len() < 2 || arguments[1..].iter().any(|a| a == name);
    let problems: Vec<Problem> = problems::all().into_iter().filter(|p| wanted(p.name)).collect();
    match arguments.first().map(String::as_str) {
        Some("calls") => problems.iter().for_each(calls),
        Some("variance") => problems.iter().for_each(variance),
        Some("probes") => problems.iter().for_each(probes),
        Some("values") => problems.into_iter().for_each(values),
        Some("serve") => problems.first().into_iter().for_each(serve),
        _ => eprintln!("calls, variance, probes, values or serve? See the top of this example's main.rs"),
    }
}

/// Mean f of 1000 random points, and the best of three annealings of 50 000 calls.
fn values(problem: Problem) {
    let long = Problem { calls: 50_000, ..problem };
    let mut rng = relax_rng::stream::stream(1000, 114, 0);
    let mean = (0..1000).map(|_| (long.f)(&methods::draw(&long, &mut rng)) / 1000.0).sum::<f64>();
    let best = (1000..1003).flat_map(|seed| {
        let mut calls = Calls::new(&long);
        methods::annealing(&mut calls, 0.3, seed);
        calls.best
    });
    println!("{},{mean},{}", long.name, best.fold(f64::INFINITY, f64::min));
}

/// First a line of the numbers of choices, the calls of a run, and the values to reach; then one number for each line of choices.
fn serve(problem: &Problem) {
    let words = |x: &[usize]| x.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    println!("{},{},{},{}", words(&problem.choices), problem.calls, problem.targets[0], problem.targets[1]);
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let x: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        println!("{}", (problem.f)(&x));
    }
}

/// Seconds that this thread has had of a processor, where Linux tells, so that other work on the machine does not count.
fn seconds() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |n| 1e-9 * n)
}

fn run<'a>(problem: &'a Problem, method: &Method, tuned: f64, seed: u64) -> Calls<'a> {
    let mut calls = Calls::new(problem);
    (method.run)(&mut calls, tuned, seed);
    calls
}

/// One line a method and seed: the number chosen, seconds of the run, calls to each value, and the best so far at powers of two of the
/// calls. On standard error what every number of the grid came to.
fn calls(problem: &Problem) {
    let last = |best: &[f64]| best.last().copied().unwrap_or(f64::INFINITY);
    let named: Vec<&Method> = METHODS.iter().filter(|m| std::env::args().any(|a| a == m.name)).collect();
    let methods = if named.is_empty() { METHODS.iter().collect() } else { named };
    for method in methods.into_iter().filter(|method| (method.serves)(problem)) {
        let mean = |tuned: f64| {
            (1000..1002).map(|seed| last(&run(problem, method, tuned, seed).best) / 2.0).sum::<f64>()
        };
        let tuned = tune(method, mean, problem);
        for seed in 0..10 {
            let start = seconds();
            let found = run(problem, method, tuned, seed);
            let seconds = seconds() - start;
            let at =
                |calls: usize| found.best.get(calls.min(found.best.len()) - 1).copied().unwrap_or(f64::NAN);
            let firsts: Vec<String> = (0..)
                .map(|i| 50 << i)
                .take_while(|&calls| calls < problem.calls)
                .chain([problem.calls])
                .map(|calls| format!("{calls}:{}", at(calls)))
                .collect();
            let reached: Vec<String> = (problem.targets.iter())
                .map(|target| {
                    found
                        .best
                        .iter()
                        .position(|best| best <= target)
                        .map_or("-".into(), |i| (i + 1).to_string())
                })
                .collect();
            println!(
                "{},{},{tuned},{seed},{seconds:.3},{},{}",
                problem.name,
                method.name,
                reached.join("/"),
                firsts.join(" ")
            );
        }
    }
}

/// The number of the grid with the lowest `mean`, the smaller of equal ones.
fn tune(method: &Method, mean: impl Fn(f64) -> f64, problem: &Problem) -> f64 {
    let mut grid = method.grid.to_vec();
    if grid.len() == 1 {
        return grid[0];
    }
    let mut scores: Vec<f64> = grid.iter().map(|&tuned| mean(tuned)).collect();
    let best =
        |scores: &[f64]| (0..scores.len()).min_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
    for _ in 0..3 {
        let (at, last) = (best(&scores), grid.len() - 1);
        let further = match at {
            0 => grid[0] * grid[0] / grid[1],
            at if at == last => (grid[last] * grid[last] / grid[last - 1]).min(method.most),
            _ => break,
        };
        if grid.contains(&further) {
            break;
        }
        let place = if at == 0 { 0 } else { grid.len() };
        grid.insert(place, further);
        scores.insert(place, mean(further));
    }
    eprintln!("{},{},{:?}", problem.name, method.name, grid.iter().zip(&scores).collect::<Vec<_>>());
    grid[best(&scores)]
}

/// The one choice of batch, probes, c and its fit: the mean best value of seeds 1000 and 1001 after a quarter, half and all of the
/// calls, at two step sizes.
fn probes(problem: &Problem) {
    for (batch, probe) in [(8, 0), (8, 1), (8, 2), (4, 4)] {
        for (function, fit) in [
            (Function::Network(vec![64, 64]), (8, 3e-3)),
            (Function::Network(vec![64, 64]), (32, 3e-3)),
            (Function::Quadratic, (8, 0.01)),
        ] {
            for rate in [0.05, 0.1] {
                let (steps, learning_rate) = fit;
                let surrogate =
                    Surrogate { function: function.clone(), steps, learning_rate, ..Surrogate::default() };
                let options = Options { batch, probe, surrogate, ..Options::default() };
                let start = seconds();
                let means = (1000..1002).fold([0.0; 3], |mut means, seed| {
                    let mut calls = Calls::new(problem);
                    methods::logits(&mut calls, rate, seed, options.clone());
                    for (mean, part) in means.iter_mut().zip([4, 2, 1]) {
                        *mean += calls.best[(problem.calls / part).min(calls.best.len()) - 1] / 2.0;
                    }
                    means
                });
                let [quarter, half, all] = means;
                println!(
                    "{},{batch},{probe},{function:?},{steps},{rate},{quarter:.4},{half:.4},{all:.4},{:.2}",
                    problem.name,
                    seconds() - start
                );
            }
        }
    }
}

/// Variance of a step's gradient, summed over logits, while c goes on learning and the logits stand still, every choice as likely as
/// the others: batches 1000 to 1499.
fn variance(problem: &Problem) {
    let base = Options { learning_rate: 1e-12, batch: 8, probe: 0, ..Options::default() };
    let with = |surrogate: Surrogate| Options { surrogate, ..base.clone() };
    let mut settings = vec![
        (
            "leave-one-out".to_owned(),
            Options { estimator: Estimator::LeaveOneOut { group: 2 }, ..base.clone() },
        ),
        ("reinforce".to_owned(), Options { estimator: Estimator::Reinforce, ..base.clone() }),
        (
            "linear".to_owned(),
            with(Surrogate { function: Function::Linear, learning_rate: 0.01, ..Surrogate::default() }),
        ),
        (
            "quadratic".to_owned(),
            with(Surrogate { function: Function::Quadratic, learning_rate: 0.01, ..Surrogate::default() }),
        ),
    ];
    for free in [256, 1024] {
        settings.push((format!("kernel M={free}"), with(Surrogate { free, ..Surrogate::default() })));
    }
    for free in [16, 64, 256, 1024] {
        settings.push((format!("64-64 M={free}"), with(Surrogate { free, ..methods::network() })));
    }
    settings.extend([
        ("relaxed 64-64".to_owned(), with(Surrogate { relaxed: true, ..methods::network() })),
        ("64-64 gain 1".to_owned(), with(Surrogate { gain: Some(1.0), ..methods::network() })),
        ("64-64 early stop".to_owned(), with(Surrogate { early_stop: true, ..methods::network() })),
    ]);
    for window in [100, 300, 1000] {
        settings.push((format!("64-64 window {window}"), with(Surrogate { window, ..methods::network() })));
    }
    for hidden in [vec![16], vec![64], vec![128, 128]] {
        let name = format!("{hidden:?} M=256");
        settings
            .push((name, with(Surrogate { function: Function::Network(hidden), ..Surrogate::default() })));
    }
    // `quadratic` is a problem.
    let problems: Vec<&str> = problems::all().iter().map(|p| p.name).collect();
    let named: Vec<String> = std::env::args().skip(2).filter(|a| !problems.contains(&a.as_str())).collect();
    settings.retain(|(name, _)| named.is_empty() || named.contains(name));
    for estimator in [Estimator::DisArm, Estimator::Relax(Coupling::Coupled)] {
        if !problem.bits() || !named.is_empty() {
            continue;
        }
        let (mut moments, mut batch) = (Moments::new(problem.choices.len()), 0);
        methods::steps(&mut Calls::new(problem), 1e-12, 0, estimator, |_, gradient| {
            if batch >= 1000 {
                moments.push(gradient);
            }
            batch += 1;
            batch < 1500
        });
        println!("{},{estimator},{:.4},", problem.name, moments.variance().iter().sum::<f64>());
    }
    for (name, options) in settings {
        let Ok(mut minimizer) = Minimizer::new(&problem.space(), &options) else { continue };
        let mut moments = Moments::new(minimizer.gradient().len());
        let mut gain = 0.0;
        for batch in 0..1500 {
            let Ok(points) = minimizer.ask() else { break };
            let values: Vec<f64> = points.iter().map(|x| (problem.f)(x)).collect();
            if minimizer.tell(&values).is_err() {
                break;
            }
            if batch >= 1000 {
                moments.push(minimizer.gradient());
                gain += minimizer.gain() / 500.0;
            }
        }
        let variance: f64 = moments.variance().iter().sum();
        println!("{},{name},{variance:.4},{gain:.3}", problem.name);
    }
}
