//! What a finished run of training comes to, for a terminal.

use std::process::ExitCode;

use relax_runtime::Error;
use relax_runtime::signals::INTERRUPTED;
use relax_training::Summary;
use relax_training::train::Outcome;

use super::output;

/// Says how the run ended.
pub(super) fn report(outcome: &Outcome, quiet: bool) -> Result<ExitCode, Error> {
    let dir = outcome.dir.display();
    if outcome.interrupted {
        output::note(&format!(
            "interrupted after {} steps; the state is saved\n  hint: `relax resume {dir}` continues the run",
            outcome.summary.env_steps
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !quiet {
        output::tell(&format!("{}run folder  {dir}\n", lines(&outcome.summary)))?;
        for complaint in &outcome.summary.health {
            output::note(&format!("health: {complaint}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(summary: &Summary) -> String {
    let mut text = format!(
        "trained     {} steps, {} episodes in {:.2} s ({:.0} steps/s)\n",
        summary.env_steps, summary.episodes, summary.wall_seconds, summary.env_steps_per_second
    );
    match (&summary.solved, summary.mean_return_100) {
        (Some(solved), _) => text.push_str(&format!(
            "solved      mean return {} after {} episodes ({} steps, {:.2} s)\n",
            solved.threshold, solved.episodes, solved.env_steps, solved.wall_seconds
        )),
        (None, Some(mean)) => {
            text.push_str(&format!("return      {mean:.2} (mean of the last 100 episodes)\n"))
        }
        (None, None) => {}
    }
    if let Some(evaluation) = &summary.evaluation {
        text.push_str(&format!(
            "evaluation  {:.2} ± {:.2} over {} episodes\n",
            evaluation.mean, evaluation.std, evaluation.episodes
        ));
    }
    if let Some(found) = &summary.control_variate
        && let (Some(mean), Some(sum)) = (found.mean_of_ratios, found.ratio_of_sums)
    {
        text.push_str(&format!(
            "variance    {mean:.2} of A2C's (mean of ratios), {sum:.2} (of sums); none in {:.0} % of batches\n",
            100.0 * found.idle_share
        ));
    }
    text.push_str(&format!("state       {}\n", summary.state_hash));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use relax_training::{ControlVariateSummary, EvaluationSummary, Milestone};

    #[test]
    fn the_report_says_what_is_known() {
        let mut summary = Summary {
            env: "CartPole-v1".into(),
            agent: "a2c".into(),
            seed: 0,
            env_steps: 1000,
            episodes: 40,
            wall_seconds: 0.5,
            env_steps_per_second: 2000.0,
            mean_return_100: Some(25.0),
            solved: None,
            first_195: None,
            evaluation: None,
            control_variate: None,
            health: Vec::new(),
            state_hash: "ab12".into(),
            version: "0".into(),
        };
        assert_eq!(
            lines(&summary),
            "trained     1000 steps, 40 episodes in 0.50 s (2000 steps/s)\nreturn      25.00 (mean of the last 100 episodes)\nstate       ab12\n"
        );
        summary.solved =
            Some(Milestone { threshold: 475.0, episodes: 30, env_steps: 900, wall_seconds: 0.4 });
        summary.evaluation = EvaluationSummary::of(&[500.0]);
        summary.control_variate = Some(ControlVariateSummary {
            mean_of_ratios: Some(0.484),
            ratio_of_sums: Some(0.69),
            mean_gain: 0.4,
            idle_share: 0.02,
        });
        let text = lines(&summary);
        assert!(
            text.contains(
                "variance    0.48 of A2C's (mean of ratios), 0.69 (of sums); none in 2 % of batches\n"
            ),
            "{text}"
        );
        assert!(text.contains("solved      mean return 475 after 30 episodes (900 steps, 0.40 s)"), "{text}");
        assert!(text.contains("evaluation  500.00 ± 0.00 over 1 episodes"), "{text}");
    }
}
