//! What the numbers of a comparison do not say: what was not measured, or not in the same way.

use super::analysis::{Entry, LEAST_RUNS};
use super::runs::Rule;

/// Sentences on `entries`, each beginning with the agent's name.
pub(super) fn of(entries: &[Entry]) -> Vec<String> {
    entries.iter().flat_map(|entry| on(entry, entries)).collect()
}

fn on(entry: &Entry, all: &[Entry]) -> Vec<String> {
    let what = format!("{} on {}", entry.name, entry.env);
    let mut remarks = evaluation(entry, all, &what);
    let longest = all.iter().filter(|other| other.env == entry.env).map(|e| e.budget).fold(0.0, f64::max);
    if !entry.has_budget(longest) {
        remarks
            .push(format!("{what}: a run had {} environment steps, others up to {longest}.", entry.budget));
    }
    remarks
}

/// On how it was evaluated.
fn evaluation(entry: &Entry, all: &[Entry], what: &str) -> Vec<String> {
    let (runs, evaluated) = (entry.runs.len(), entry.scores.len());
    let imported = entry.runs.iter().all(|run| run.config.is_none());
    if evaluated == 0 {
        let remedy = if imported {
            "its table has no column `evaluation`, or nothing in it"
        } else {
            "`run.evaluation_episodes` is 0"
        };
        return vec![format!(
            "{what}: not evaluated after training ({remedy}). Its training return is shown, which is another measure, and \
             it is not compared by evaluations."
        )];
    }
    let mut remarks = Vec::new();
    if evaluated < runs {
        remarks.push(format!(
            "{what}: the return after training is that of {evaluated} of {runs} runs, the others have none."
        ));
    }
    let others = || all.iter().filter(|other| other.env == entry.env && other.name != entry.name);
    if entry.rule == Rule::Unstated {
        let stated =
            entry.runs.iter().filter_map(|run| run.evaluation).any(|found| found.rule != Rule::Unstated);
        let why = if stated {
            "its runs were not all evaluated in the same way"
        } else {
            "how its evaluation chose actions is not stated; the column `evaluation_rule` says greedy or sampled"
        };
        remarks.push(format!("{what}: {why}. It is compared with no other agent by evaluations."));
    } else if entry.rule != Rule::Greedy && others().any(|other| other.rule == Rule::Greedy) {
        remarks.push(format!(
            "{what}: its evaluation drew actions from the policy, others took the most probable one. They are not compared."
        ));
    }
    if evaluated < LEAST_RUNS && others().next().is_some() {
        let runs = if evaluated == 1 { "one run".to_owned() } else { format!("{evaluated} runs") };
        remarks.push(format!(
            "{what}: {runs} evaluated. Whether it is better than another agent is not judged by fewer than {LEAST_RUNS}."
        ));
    }
    remarks
}
