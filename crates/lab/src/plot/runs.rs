//! What a plot needs to know of a run, read from its folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use relax_runtime::Error;
use relax_runtime::logging::columns;
use relax_training::Summary;
use relax_training::config::Config;

/// Episodes whose mean return is drawn.
const WINDOW: usize = 100;
/// Fewer episodes than these give no point: their mean says little.
const LEAST_WINDOW: usize = 10;
/// Updates whose variance ratios are summed up in one point, by their median.
const RATIO_WINDOW: usize = 15;

/// One run: points are (environment steps, value).
#[derive(Debug)]
pub(super) struct Run {
    pub(super) folder: PathBuf,
    pub(super) env: String,
    pub(super) agent: String,
    /// The configuration without what may differ between runs of one experiment.
    pub(super) experiment: String,
    pub(super) threshold: Option<f64>,
    pub(super) returns: Vec<(f64, f64)>,
    pub(super) variance_ratios: Vec<(f64, f64)>,
}

/// The run in `folder`, or the runs directly inside it, in the order of their names.
pub(super) fn load_all(folder: &Path) -> Result<Vec<Run>, Error> {
    let is_run = |path: &Path| path.join("config.toml").is_file();
    if is_run(folder) {
        return Ok(vec![Run::load(folder)?]);
    }
    let missing = || {
        Error::input(format!("{} is not a run folder, nor does it hold any", folder.display()))
            .with_hint("give folders made by `relax train`")
    };
    let entries = std::fs::read_dir(folder).map_err(|_| missing())?;
    let mut inner: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_run(path)).collect();
    inner.sort();
    if inner.is_empty() {
        return Err(missing());
    }
    inner.iter().map(|path| Run::load(path)).collect()
}

impl Run {
    fn load(folder: &Path) -> Result<Self, Error> {
        let config = Config::load_recorded(&folder.join("config.toml"))?;
        let mut experiment = config.clone();
        experiment.run.seed = 0;
        experiment.rollout.workers = 0;
        let episodes = points(&folder.join("episodes.csv"), "return")?;
        let metrics = folder.join("metrics.csv");
        let ratios = if metrics.is_file() {
            points(&metrics, "variance_ratio").unwrap_or_default()
        } else {
            Vec::new()
        };
        Ok(Self {
            folder: folder.to_owned(),
            threshold: threshold(folder, &config),
            agent: config.agent.kind.clone(),
            experiment: experiment.to_toml(),
            env: config.env.id,
            returns: moving_mean(&episodes),
            variance_ratios: medians(&ratios),
        })
    }
}

/// The mean return at which the environment counts as solved.
fn threshold(folder: &Path, config: &Config) -> Option<f64> {
    match relax_envs::spec(&config.env.id) {
        Ok(spec) => spec.reward_threshold,
        // Another program's environment: what the run noted is all there is.
        Err(_) => Summary::load(&folder.join("summary.json")).ok()?.solved.map(|solved| solved.threshold),
    }
}

/// (environment steps, value) of the rows that have both.
fn points(path: &Path, value: &str) -> Result<Vec<(f64, f64)>, Error> {
    Ok(columns(path, ["env_steps", value])?.into_iter().map(|[x, y]| (x, y)).collect())
}

/// At each episode the mean of the last [`WINDOW`] ones, from the [`LEAST_WINDOW`]th on.
fn moving_mean(episodes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut window = VecDeque::with_capacity(WINDOW);
    let mut sum = 0.0;
    let mut points = Vec::with_capacity(episodes.len());
    for &(env_steps, value) in episodes {
        if window.len() == WINDOW {
            sum -= window.pop_front().unwrap_or(0.0);
        }
        window.push_back(value);
        sum += value;
        if window.len() >= LEAST_WINDOW {
            points.push((env_steps, sum / window.len() as f64));
        }
    }
    points
}

/// One point for every [`RATIO_WINDOW`] values: their median. Single batches scatter far too much to be seen.
fn medians(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    values
        .chunks(RATIO_WINDOW)
        .map(|chunk| {
            let mut sorted: Vec<f64> = chunk.iter().map(|&(_, value)| value).collect();
            sorted.sort_by(f64::total_cmp);
            (chunk[chunk.len() - 1].0, sorted[sorted.len() / 2])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moving_mean_is_that_of_the_last_hundred() {
        let episodes: Vec<(f64, f64)> = (0..250).map(|i| (f64::from(i) * 10.0, f64::from(i))).collect();
        let points = moving_mean(&episodes);
        assert_eq!(points[0], (90.0, 4.5));
        assert_eq!(points.last(), Some(&(2490.0, 199.5)));
        assert_eq!(points.len(), 241);
    }

    #[test]
    fn medians_do_not_mind_outliers() {
        let mut values: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i), 0.5)).collect();
        values[3].1 = 1e9;
        assert_eq!(medians(&values), [(14.0, 0.5), (29.0, 0.5)]);
    }

    #[test]
    fn a_run_folder_is_read_even_while_it_is_written() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("a");
        std::fs::create_dir(&folder).expect("folder");
        let mut config = Config::new("CartPole-v1", "relax-a2c").expect("an agent");
        config.run.seed = 9;
        std::fs::write(folder.join("config.toml"), config.to_toml()).expect("write");
        let rows: String = (1..=12).map(|i| format!("{i},{},0,{i}.5,3,true,0.1\n", i * 20)).collect();
        let heading = "episode,env_steps,slot,return,length,terminated,wall_seconds\n";
        std::fs::write(folder.join("episodes.csv"), format!("{heading}{rows}13,26")).expect("write");
        std::fs::write(folder.join("metrics.csv"), "update,env_steps,variance_ratio\n1,256,\n2,512,0.5\n")
            .expect("write");
        let runs = load_all(root.path()).expect("runs below the folder");
        let [run] = runs.as_slice() else { panic!("one run") };
        assert_eq!((run.agent.as_str(), run.returns.len()), ("relax-a2c", 3));
        assert_eq!(run.variance_ratios, [(512.0, 0.5)]);
        config.run.seed = 0;
        config.rollout.workers = 0;
        assert_eq!(run.experiment, config.to_toml());
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let root = tempfile::tempdir().expect("a temporary folder");
        assert!(load_all(root.path()).expect_err("empty").to_string().contains("not a run folder"));
        assert!(load_all(&root.path().join("none")).is_err());
        let text = Config::new("CartPole-v1", "a2c").expect("an agent").to_toml();
        std::fs::write(root.path().join("config.toml"), text).expect("write");
        std::fs::write(root.path().join("episodes.csv"), "a,b\n1,2\n").expect("write");
        assert!(load_all(root.path()).expect_err("columns").to_string().contains("no column `env_steps`"));
    }
}
