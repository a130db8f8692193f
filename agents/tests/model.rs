//! The control variates of a learned model and of directly estimated advantages are unbiased at every age of theirs and of V, and its mistakes are found out.

use relax_agents::certify::{Age, AgentBug, AgentTarget, Conditions, Problem};
use relax_estimators::certify::{Settings, Verdict, check};

fn verdict(gain: &str, problem: Problem, bug: AgentBug, age: Age) -> Verdict {
    of(&format!("kind = 'relax-a2c'\ncontrol_variate = 'model'\ngain = {gain}"), problem, bug, age)
}

fn of(text: &str, problem: Problem, bug: AgentBug, age: Age) -> Verdict {
    let mut target = AgentTarget::under(text, problem, 7, Conditions { bug, age, ..Conditions::default() })
        .unwrap_or_else(|error| panic!("{error}"));
    let settings = Settings { pilot: 300, limit: 3_000, detectable: 0.2, ..Settings::default() };
    let verdict = check(&mut target, &settings).unwrap_or_else(|error| panic!("{error}"));
    println!("{}: worst |z| {:.1}, p {:.1e}", verdict.name, verdict.worst(), verdict.p_value);
    verdict
}

#[test]
fn fresh_trained_and_stale_models_are_unbiased() {
    let one = [Problem::Enumerable, Problem::Aim, Problem::LinearQuadratic];
    for problem in one.into_iter().chain([Problem::MultiDiscrete, Problem::MultiBinary]) {
        for age in [Age::Fresh, Age::Trained, Age::Stale] {
            assert!(verdict("1", problem, AgentBug::None, age).p_value > 1e-4);
        }
    }
    assert!(verdict("'adaptive'", Problem::LinearQuadratic, AgentBug::None, Age::Trained).p_value > 1e-4);
}

#[test]
fn relaxed_samples_through_a_model_are_unbiased_unless_they_are_of_other_actions() {
    for (noise, problem, age) in [
        ("coupled", Problem::Enumerable, Age::Fresh),
        ("independent", Problem::Enumerable, Age::Stale),
        ("coupled", Problem::MultiDiscrete, Age::Trained),
        ("coupled", Problem::MaskedMultiDiscrete, Age::Trained),
        ("independent", Problem::MultiBinary, Age::Trained),
    ] {
        let text = format!(
            "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'relaxed'\nnoise = '{noise}'\ngain = 1"
        );
        assert!(of(&text, problem, AgentBug::None, age).p_value > 1e-4);
    }
    let text = "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'relaxed'\ngain = 1";
    let found = of(text, Problem::MultiDiscrete, AgentBug::OtherNoise, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn a_baseline_for_each_choice_is_unbiased() {
    let text = "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'per-factor'\ngain = 1";
    for (problem, age) in [
        (Problem::MultiDiscrete, Age::Fresh),
        (Problem::MultiBinary, Age::Trained),
        (Problem::MaskedMultiDiscrete, Age::Stale),
    ] {
        assert!(of(text, problem, AgentBug::None, age).p_value > 1e-4);
    }
    let found = of(text, Problem::MultiDiscrete, AgentBug::FittedFirst, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn relaxed_samples_are_for_choices_and_of_a_model() {
    use relax_agents::{AgentSettings, RolloutShape, agent_spec, make_agent};
    use relax_envs::Space;
    let settings = |text: &str| {
        AgentSettings::from_texts(&format!("kind = 'relax-a2c'\nown_action = 'relaxed'\n{text}"), "")
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let observations = Space::uniform_box(-1.0, 1.0, &[3]);
    let model = settings("control_variate = 'model'");
    let made = make_agent(&model, &observations, &Space::uniform_box(-1.0, 1.0, &[1]), 0);
    let message = made.map(|_| ()).map_err(|error| error.to_string());
    assert!(message.as_ref().is_err_and(|m| m.contains("relaxes choices")), "{message:?}");
    assert!(make_agent(&model, &observations, &Space::MultiBinary { n: 3 }, 0).is_ok());

    let settings_of = "kind = 'relax-a2c'\nown_action = 'per-factor'\ncontrol_variate = 'model'";
    let several = AgentSettings::from_texts(settings_of, "").unwrap_or_else(|error| panic!("{error}"));
    let made = make_agent(&several, &observations, &Space::discrete(3), 0);
    let message = made.map(|_| ()).map_err(|error| error.to_string());
    assert!(message.as_ref().is_err_and(|m| m.contains("each of several choices")), "{message:?}");
    assert!(make_agent(&several, &observations, &Space::MultiBinary { n: 3 }, 0).is_ok());

    let refusal = |settings: &AgentSettings| {
        agent_spec("relax-a2c").map(|spec| spec.refuse(settings, RolloutShape::default()))
    };
    assert_eq!(refusal(&model), Some(Ok(())));
    let refused = refusal(&settings("control_variate = 'residual'"));
    assert!(matches!(&refused, Some(Err(r)) if r.key == "agent.own_action"), "{refused:?}");
}

#[test]
fn a_model_that_has_seen_the_batch_is_found_out() {
    let found = verdict("1", Problem::Enumerable, AgentBug::FittedFirst, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn a_gain_from_the_batch_itself_is_found_out() {
    let found = verdict("'adaptive'", Problem::LinearQuadratic, AgentBug::GainFromBatch, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn a_correction_of_v_that_has_seen_the_batch_is_found_out() {
    let found = verdict("1", Problem::Enumerable, AgentBug::CorrectionFittedFirst, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn a_corrected_baseline_is_unbiased_unless_it_has_seen_the_batch() {
    let text = "kind = 'a2c'\nbaseline_window = 3";
    for problem in [Problem::Enumerable, Problem::LinearQuadratic] {
        for age in [Age::Trained, Age::Stale] {
            assert!(of(text, problem, AgentBug::None, age).p_value > 1e-4);
        }
    }
    let text = "kind = 'a2c'\nbaseline_window = 1";
    let found = of(text, Problem::Enumerable, AgentBug::CorrectionFittedFirst, Age::Fresh);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

/// At the end of an annealed run the policy stands still, and so does V, unless there is a model, whose V has to follow the scales.
#[test]
fn with_a_model_the_values_rate_is_not_annealed() {
    use crate::common::{agent, array, settings};
    use relax_agents::{Compute, Metrics, Rollout};
    for (control_variate, follows) in [("model", true), ("residual", false)] {
        let text = format!("kind = 'relax-a2c'\nhidden = [4]\ncontrol_variate = '{control_variate}'");
        let settings = settings(&text, "anneal = true");
        let mut agent = agent(&settings, 1, &relax_envs::Space::discrete(2), 3);
        let policy = agent.acting_policy();
        let mut batch = Rollout::new(1, 1, 2, policy.distribution().action_buffer());
        batch.levels.push(1);
        batch.slot.push(0);
        batch.observations.push(0.5);
        batch.noise.extend([0.3, 0.6]);
        batch.actions.resize(1);
        batch.rewards.push(1.0);
        batch.terminated.push(true);
        batch.truncated.push(false);
        let before = agent.state();
        let (compute, mut metrics) = (Compute::serial(), Metrics::default());
        let improved = agent.improve_policy(&batch, 1.0, &compute, &mut metrics);
        let fitted = improved.and_then(|()| agent.fit_critics(&batch, 1.0, &compute, &mut metrics));
        fitted.unwrap_or_else(|error| panic!("{error}"));
        let moved = |name| array(&before, name) != array(&agent.state(), name);
        assert_eq!(
            (moved("policy.parameters"), moved("critic.parameters")),
            (false, follows),
            "{control_variate}"
        );
    }
}

#[test]
fn direct_advantages_are_unbiased_unless_they_have_seen_the_batch() {
    let text = |gain: &str| format!("kind = 'relax-a2c'\ncontrol_variate = 'dae'\ngain = {gain}");
    for (gain, problem, age) in [
        ("1", Problem::Enumerable, Age::Fresh),
        ("1", Problem::Enumerable, Age::Trained),
        ("1", Problem::Enumerable, Age::Stale),
        ("'adaptive'", Problem::Enumerable, Age::Trained),
        ("1", Problem::Masked, Age::Trained),
    ] {
        assert!(of(&text(gain), problem, AgentBug::None, age).p_value > 1e-4);
    }
    let found = of(&text("1"), Problem::Enumerable, AgentBug::FittedFirst, Age::Trained);
    assert!(found.p_value < 1e-6, "{}", found.p_value);
}

#[test]
fn direct_advantages_are_those_of_one_choice() {
    use relax_agents::{AgentSettings, RolloutShape, agent_spec, make_agent};
    use relax_envs::Space;
    let settings = |learner: &str| {
        AgentSettings::from_texts("kind = 'relax-a2c'\ncontrol_variate = 'dae'", learner)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let observations = Space::uniform_box(-1.0, 1.0, &[3]);
    for actions in [Space::uniform_box(-1.0, 1.0, &[1]), Space::MultiBinary { n: 3 }] {
        let made = make_agent(&settings(""), &observations, &actions, 0);
        let message = made.map(|_| ()).map_err(|error| error.to_string());
        assert!(message.as_ref().is_err_and(|m| m.contains("of which one is made")), "{message:?}");
    }
    let refused = agent_spec("relax-a2c")
        .map(|spec| spec.refuse(&settings("normalize_advantages = true"), RolloutShape::default()));
    assert!(matches!(&refused, Some(Err(r)) if r.key == "learner.normalize_advantages"), "{refused:?}");
}
