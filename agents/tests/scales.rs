//! On running scales an agent's gradient is unbiased, for the scaled return, unless the scales have seen the batch.

use relax_agents::certify::{Age, AgentBug, AgentTarget, Conditions, Problem};
use relax_estimators::certify::{Settings, check};

fn p_value(text: &str, problem: Problem, bug: AgentBug) -> f64 {
    let target =
        AgentTarget::under(text, problem, 7, Conditions { bug, scaled: true, ..Conditions::default() });
    let mut target = target.unwrap_or_else(|error| panic!("{error}"));
    let settings = Settings { pilot: 300, limit: 3_000, detectable: 0.2, ..Settings::default() };
    let verdict = check(&mut target, &settings).unwrap_or_else(|error| panic!("{error}"));
    println!("{}: worst |z| {:.1}, p {:.1e}", verdict.name, verdict.worst(), verdict.p_value);
    verdict.p_value
}

#[test]
fn scales_of_the_past_leave_gradients_unbiased_and_scales_of_the_batch_do_not() {
    let model = "kind = 'relax-a2c'\ncontrol_variate = 'model'\ngain = 1";
    for (text, problem) in [
        ("kind = 'a2c'", Problem::Enumerable),
        ("kind = 'relax-a2c'\ngain = 1", Problem::Aim),
        ("kind = 'relax-ddpg'\ngain = 1", Problem::LinearQuadratic),
        (model, Problem::MaskedMultiDiscrete),
        (model, Problem::LinearQuadratic),
    ] {
        assert!(p_value(text, problem, AgentBug::None) > 1e-4);
    }
    for text in ["kind = 'a2c'", model] {
        assert!(p_value(text, Problem::Enumerable, AgentBug::ScaledByBatch) < 1e-6);
    }
}

#[test]
fn scales_behind_an_encoder_are_refused() {
    let made = AgentTarget::under(
        "kind = 'a2c'\nencoder = 'certify'",
        Problem::Enumerable,
        7,
        Conditions { scaled: true, age: Age::Fresh, ..Conditions::default() },
    );
    let message = made.map(|_| ()).map_err(|error| error.to_string());
    assert!(message.as_ref().is_err_and(|m| m.contains("behind an encoder")), "{message:?}");
}
