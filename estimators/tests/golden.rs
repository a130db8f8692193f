//! Every field of the reference cases (gradients by automatic differentiation in float64), through the networks of `relax-nn`.
#[path = "common/network.rs"]
mod network;
use network::{Network, Scalar, flatten};
use relax_estimators::{
    Baseline, ControlVariate, GaussianNode, Link, Node, Projection, Real, Relaxation, bernoulli, categorical,
    combine, concrete, correction, exact, gain_gradient, gaussian, lax, lax_adjoint,
    log_temperature_gradient, mean_squared_norm, reinforce, relax, relax_adjoint, squared_norm_upstream,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The largest error of each field.
struct Report {
    name: &'static str,
    tolerance: f64,
    /// Errors are divided by the largest entry of the expected field (relative), or by 1 (absolute).
    relative: bool,
    worst: BTreeMap<String, f64>,
    comparisons: usize,
    failures: Vec<String>,
}

impl Report {
    fn new(name: &'static str, tolerance: f64, relative: bool) -> Self {
        Self { name, tolerance, relative, worst: BTreeMap::new(), comparisons: 0, failures: Vec::new() }
    }

    fn check<F: Real>(&mut self, case: &Case<'_>, field: &str, computed: &[F]) {
        let pointer = format!("/expect/{}", field.replace('.', "/"));
        let expected = flatten(case.value.pointer(&pointer).unwrap_or_else(|| panic!("no field {field}")));
        assert_eq!(computed.len(), expected.len(), "{field} of case {}", case.index);
        let scale = if self.relative { expected.iter().fold(0.0, |m: f64, e| m.max(e.abs())) } else { 1.0 };
        let difference = computed.iter().zip(&expected).map(|(c, e)| (c.to_f64() - e).abs());
        let error = difference.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
        let error = if error == 0.0 { 0.0 } else { error / scale };
        let worst = self.worst.entry(format!("{} {field}", case.kind)).or_default();
        *worst = worst.max(error);
        self.comparisons += 1;
        if error > self.tolerance {
            self.failures.push(format!("case {} ({}): {field} is off by {error:.1e}", case.index, case.kind));
        }
    }

    fn check_one<F: Real>(&mut self, case: &Case<'_>, field: &str, computed: F) {
        self.check(case, field, &[computed]);
    }

    fn finish(&self) {
        let measure = if self.relative { "relative to the field" } else { "absolute" };
        println!("{}: {} comparisons, largest errors ({measure})", self.name, self.comparisons);
        for (field, error) in &self.worst {
            println!("  {field:<50} {error:.1e}");
        }
        let (field, error) = self.worst.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        println!("{}: worst {error:.1e} ({field}), tolerance {:.0e}", self.name, self.tolerance);
        assert!(self.failures.is_empty(), "{}:\n{}", self.name, self.failures.join("\n"));
    }
}

struct Case<'a> {
    index: usize,
    kind: &'a str,
    value: &'a Value,
}

impl Case<'_> {
    fn numbers<F: Real>(&self, field: &str) -> Vec<F> {
        flatten(&self.value[field]).into_iter().map(F::from_f64).collect()
    }
}

/// A discrete node sampled with a case's noise, one row.
struct Sampled<F> {
    z: Vec<F>,
    /// The hard sample as f takes it.
    b: Vec<F>,
    z_tilde: Vec<F>,
    w: Vec<F>,
    score: Vec<F>,
    log_prob: F,
    probs: Option<Vec<F>>,
}

fn sample<F: Scalar>(case: &Case<'_>) -> Sampled<F> {
    let (logits, u, v) = (case.numbers::<F>("logits"), case.numbers::<F>("u"), case.numbers::<F>("v"));
    let k = logits.len();
    let zeros = || vec![F::default(); k];
    let (mut z, mut b, mut z_tilde, mut w, mut score) = (zeros(), zeros(), zeros(), zeros(), zeros());
    let mut log_prob = [F::default()];
    if case.kind == "bernoulli" {
        bernoulli::relaxed_sample(&logits, &u, &mut z);
        bernoulli::hard_sample(&z, &mut b);
        bernoulli::score(&logits, &b, &mut score);
        bernoulli::log_prob(&logits, &b, k, &mut log_prob);
        bernoulli::conditional_independent(&logits, &b, &v, &mut z_tilde, &mut w);
        return Sampled { z, b, z_tilde, w, score, log_prob: log_prob[0], probs: None };
    }
    let (mut log_probs, mut probs, mut index) = (zeros(), zeros(), [0]);
    categorical::log_softmax(&logits, k, &mut log_probs);
    categorical::probabilities(&log_probs, &mut probs);
    categorical::relaxed_sample(&log_probs, &u, &mut z);
    categorical::hard_sample(&z, k, &mut index);
    categorical::one_hot(&index, &mut b);
    categorical::score(&probs, &index, &mut score);
    categorical::log_prob(&log_probs, &index, &mut log_prob);
    categorical::conditional_independent(&log_probs, &index, &v, &mut z_tilde, &mut w);
    Sampled { z, b, z_tilde, w, score, log_prob: log_prob[0], probs: Some(probs) }
}

impl<F: Scalar> Sampled<F> {
    fn node(&self) -> Node<'_, F> {
        match &self.probs {
            None => Node::bernoulli(&self.score, &self.w),
            Some(probs) => Node::categorical(&self.score, &self.w, probs),
        }
    }

    /// ∂z̃/∂l as rows: diag(w)·Π.
    fn z_tilde_jacobian(&self) -> Vec<F> {
        let k = self.w.len();
        let mut jacobian = vec![F::default(); k * k];
        for i in 0..k {
            let row = &mut jacobian[i * k..(i + 1) * k];
            row[i] = self.w[i];
            if let Some(probs) = &self.probs {
                categorical::apply_pi_transpose(probs, k, row);
            }
        }
        jacobian
    }
}

/// f∘σ_λ at one z: its value, its gradient, and its Hessian-vector products.
struct Relaxed<'a, F: Scalar> {
    f: &'a mut Network<F>,
    sigma: Relaxation<F>,
}

impl<F: Scalar> Relaxed<'_, F> {
    fn value_and_gradient(&mut self, z: &[F]) -> (F, Vec<F>) {
        let (mut x, mut slope) = (vec![F::default(); z.len()], vec![F::default(); z.len()]);
        self.sigma.apply(z, &mut x);
        let (value, f_gradient) = self.f.gradient(&x);
        self.sigma.multiply_jacobian(&x, &f_gradient, &mut slope);
        (value[0], slope)
    }

    fn hessian_vector(&mut self, z: &[F], beta: &[F]) -> Vec<F> {
        let zeros = || vec![F::default(); z.len()];
        let (mut x, mut tangent, mut out) = (zeros(), zeros(), zeros());
        self.sigma.apply(z, &mut x);
        self.sigma.multiply_jacobian(&x, beta, &mut tangent);
        let (_, f_gradient) = self.f.gradient(&x);
        let curved = self.f.hessian_vector(&x, &tangent);
        self.sigma.hessian_vector(&x, &tangent, &f_gradient, &curved, &mut out);
        out
    }
}

fn check_discrete<F: Scalar>(case: &Case<'_>, report: &mut Report) {
    let (from, wide) = (<F as Real>::from_f64, <F as Real>::to_f64);
    let sampled = sample::<F>(case);
    let k = sampled.z.len();
    let zeros = || vec![F::default(); k];
    let (mut c, mut f) = (
        Network::<F>::from_layers(&case.value["c_layers"]),
        Network::<F>::from_layers(&case.value["f_layers"]),
    );
    let context = case.numbers::<F>("context");
    let fb = f.value(&sampled.b);
    report.check(case, "z", &sampled.z);
    report.check(case, "b", &sampled.b);
    report.check(case, "z_tilde", &sampled.z_tilde);
    report.check(case, "f", &fb);
    report.check_one(case, "log_prob", sampled.log_prob);
    report.check(case, "score", &sampled.score);
    report.check(case, "dz_tilde_dlogits", &sampled.z_tilde_jacobian());

    let node = sampled.node();
    let mut plain = zeros();
    reinforce(&sampled.score, &fb, Baseline::None, &mut plain);
    report.check(case, "reinforce", &plain);

    let link = if case.kind == "bernoulli" { Link::Sigmoid } else { Link::Softmax };
    let sigma = Relaxation { link, width: k, temperature: case.numbers::<F>("temperature")[0] };
    let eta = case.numbers::<F>("eta")[0];
    let mut relaxed = Relaxed { f: &mut f, sigma };
    let (_, h_slope) = relaxed.value_and_gradient(&sampled.z);
    let (h_tilde, h_slope_tilde) = relaxed.value_and_gradient(&sampled.z_tilde);
    let mut g = zeros();
    concrete(node.projection, &h_slope, 1, &mut g);
    report.check(case, "concrete", &g);

    let (mut r, mut slope, mut r_tilde, mut slope_tilde) = ([F::default()], zeros(), [F::default()], zeros());
    c.value_and_gradient(&sampled.z, &context, &mut r, &mut slope).unwrap();
    c.value_and_gradient(&sampled.z_tilde, &context, &mut r_tilde, &mut slope_tilde).unwrap();
    let mut b_rebar = zeros();
    correction(&node, &[h_tilde], &h_slope, &h_slope_tilde, &mut b_rebar);

    for (name, uses_c, uses_f) in
        [("relax", true, false), ("rebar", false, true), ("relaxed_rebar", true, true)]
    {
        let field = |x: &str| format!("{name}.{x}");
        if uses_c {
            relax(&node, &fb, &r_tilde, &slope, &slope_tilde, &mut g);
        } else {
            g.copy_from_slice(&plain);
        }
        if uses_f {
            let a = g.clone();
            combine(&a, &b_rebar, eta, &mut g);
        }
        report.check(case, &field("gradient"), &g);
        let (mut q, mut alpha, mut beta, mut beta_tilde) = (zeros(), [F::default()], zeros(), zeros());
        squared_norm_upstream(&g, 1, &mut q);
        relax_adjoint(&node, &q, &mut alpha, &mut beta, &mut beta_tilde);
        if !uses_f {
            report.check_one(case, &field("squared_norm"), mean_squared_norm(&g, 1));
        } else {
            report.check_one(case, &field("d_squared_norm_d_eta"), gain_gradient(&q, &b_rebar));
            let curved = relaxed.hessian_vector(&sampled.z, &beta);
            let curved_tilde = relaxed.hessian_vector(&sampled.z_tilde, &beta_tilde);
            let at_z = log_temperature_gradient(&sampled.z, &[from(0.0)], &beta, &h_slope, &curved);
            let at_z_tilde = log_temperature_gradient(
                &sampled.z_tilde,
                &alpha,
                &beta_tilde,
                &h_slope_tilde,
                &curved_tilde,
            );
            report.check_one(
                case,
                &field("d_squared_norm_d_log_temperature"),
                wide(eta) * (at_z + at_z_tilde),
            );
        }
        if uses_c {
            let mut d_c = vec![F::default(); ControlVariate::<F>::parameters(&c)];
            c.parameter_gradient(&sampled.z, &context, &[from(0.0)], &beta, &mut d_c).unwrap();
            c.parameter_gradient(&sampled.z_tilde, &context, &alpha, &beta_tilde, &mut d_c).unwrap();
            report.check(case, &field("d_squared_norm_d_c"), &d_c);
        }
    }

    let logits = case.numbers::<f64>("logits");
    let mut value = |b: &[f64]| wide(f.value(&b.iter().map(|&b| from(b)).collect::<Vec<_>>())[0]);
    let exact = match node.projection {
        Projection::Identity => exact::bernoulli(&logits, value).unwrap(),
        Projection::Softmax(_) => exact::categorical(&logits, |b| {
            let mut row = vec![0.0; k];
            row[b] = 1.0;
            value(&row)
        }),
    };
    report.check_one(case, "exact_value", exact.value);
    report.check(case, "exact_gradient", &exact.gradient);
}

fn check_gaussian<F: Scalar>(case: &Case<'_>, report: &mut Report) {
    let (mean, log_std, eps) =
        (case.numbers::<F>("mean"), case.numbers::<F>("log_std"), case.numbers::<F>("eps"));
    let (k, context) = (mean.len(), case.numbers::<F>("context"));
    let zeros = || vec![F::default(); k];
    let (mut c, mut f) = (
        Network::<F>::from_layers(&case.value["c_layers"]),
        Network::<F>::from_layers(&case.value["f_layers"]),
    );
    let (mut std, mut action, mut log_prob) = (zeros(), zeros(), [F::default()]);
    gaussian::standard_deviation(&log_std, &mut std);
    gaussian::sample(&mean, &std, &eps, &mut action);
    gaussian::log_prob(&eps, &log_std, k, &mut log_prob);
    let (mut score_mean, mut score_log_std) = (zeros(), zeros());
    gaussian::score(&eps, &std, &mut score_mean, &mut score_log_std);
    let fa = f.value(&action);
    report.check(case, "action", &action);
    report.check(case, "f", &fa);
    report.check(case, "log_prob", &log_prob);
    report.check(case, "score_mean", &score_mean);
    report.check(case, "score_log_std", &score_log_std);

    let node = GaussianNode { eps: &eps, std: &std };
    let (mut value, mut slope, mut g_mean, mut g_log_std) = ([F::default()], zeros(), zeros(), zeros());
    c.value_and_gradient(&action, &context, &mut value, &mut slope).unwrap();
    lax(&node, &fa, &value, &slope, &mut g_mean, &mut g_log_std);
    report.check(case, "lax.gradient_mean", &g_mean);
    report.check(case, "lax.gradient_log_std", &g_log_std);
    let norm = mean_squared_norm(&g_mean, 1) + mean_squared_norm(&g_log_std, 1);
    report.check_one(case, "lax.squared_norm", norm);

    let (mut q_mean, mut q_log_std, mut alpha, mut beta) = (zeros(), zeros(), [F::default()], zeros());
    squared_norm_upstream(&g_mean, 1, &mut q_mean);
    squared_norm_upstream(&g_log_std, 1, &mut q_log_std);
    lax_adjoint(&node, &q_mean, &q_log_std, &mut alpha, &mut beta);
    let mut d_c = vec![F::default(); ControlVariate::<F>::parameters(&c)];
    c.parameter_gradient(&action, &context, &alpha, &beta, &mut d_c).unwrap();
    report.check(case, "lax.d_squared_norm_d_c", &d_c);
}

fn check_all<F: Scalar>(cases: &[Value], mut report: Report) {
    for (index, value) in cases.iter().enumerate() {
        let case = Case { index, kind: value["kind"].as_str().unwrap(), value };
        match case.kind {
            "bernoulli" | "categorical" => check_discrete::<F>(&case, &mut report),
            "gaussian" => check_gaussian::<F>(&case, &mut report),
            other => panic!("case {index} is of an unknown kind `{other}`"),
        }
    }
    report.finish();
}

#[test]
fn golden() {
    let folder = std::env::var_os("RELAX_GOLDEN_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"), PathBuf::from);
    let path = folder.join("estimators/cases.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value = serde_json::from_str(&text).unwrap();
    let cases = value["cases"].as_array().map_or(&[][..], Vec::as_slice);
    println!("{} golden cases of the estimators in {}", cases.len(), path.display());
    assert!(!cases.is_empty(), "{} holds no cases", path.display());
    check_all::<f64>(cases, Report::new("f64", 1e-9, false));
    check_all::<f32>(cases, Report::new("f32", 1e-4, true));
}
