//! Which values a configuration may have.

use relax_estimators::{Coupling, Estimator};
use relax_runtime::config::{ConfigError, refuse, within};

use super::{ModelKind, VaeConfig};
use crate::vae::METHODS;

/// Largest batch, width, number of samples and of minibatches.
const MAX_COUNT: u64 = 1 << 20;
/// Iterations replayed in one: each is a step of the regression, and nobody waits for more.
const MAX_REPLAY: u64 = 1000;

impl VaeConfig {
    /// Checks every value's range; [`VaeConfig::load`] does this already.
    ///
    /// # Errors
    /// Names the first value out of range, and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let whole = i64::MAX as u64;
        within("data.binarization_seed", self.data.binarization_seed, 0, whole)?;
        self.validate_model()?;
        self.validate_estimator()?;
        let run = &self.run;
        within("run.iterations", run.iterations, 1, whole)?;
        within("run.seed", run.seed, 0, whole)?;
        within("run.batch_size", run.batch_size as u64, 1, MAX_COUNT)?;
        within("run.log_every", run.log_every, 1, whole)?;
        within("run.evaluate_every", run.evaluate_every, 0, whole)?;
        within("run.final_samples", run.final_samples as u64, 0, MAX_COUNT)?;
        within("run.threads", run.threads as u64, 1, 256)?;
        if run.variance_batches == 1 || run.variance_batches as u64 > MAX_COUNT {
            let found = run.variance_batches.to_string();
            return Err(refuse("run.variance_batches", &found, &format!("0 or from 2 to {MAX_COUNT}")));
        }
        within("checkpoint.every_iterations", self.checkpoint.every_iterations, 0, whole)?;
        self.validate_sweep()
    }

    fn validate_model(&self) -> Result<(), ConfigError> {
        let model = &self.model;
        let custom = model.kind == ModelKind::Custom;
        for (key, widths) in [("model.latent", &model.latent), ("model.hidden", &model.hidden)] {
            if !custom && !widths.is_empty() {
                let right = "left out, unless model.kind = \"custom\"";
                return Err(refuse(key, &format!("{widths:?}"), right));
            }
            widths_within(key, widths)?;
        }
        if custom && model.latent.is_empty() {
            let right = "the numbers of binary units in each layer, [200] say";
            return Err(refuse("model.latent", "[]", right));
        }
        Ok(())
    }

    fn validate_estimator(&self) -> Result<(), ConfigError> {
        let estimator = &self.estimator;
        trains("estimator.method", estimator.method)?;
        if let Some(named) = estimator.method.coupling()
            && named == Coupling::Coupled
            && estimator.coupling == Some(Coupling::Independent)
        {
            let right =
                format!("\"coupled\" or left out, since estimator.method is \"{}\"", estimator.method);
            return Err(refuse("estimator.coupling", "\"independent\"", &right));
        }
        let control = estimator.control_variate_learning_rate.unwrap_or(1.0);
        for (key, number) in [
            ("estimator.learning_rate", estimator.learning_rate),
            ("estimator.control_variate_learning_rate", control),
            ("estimator.temperature", estimator.temperature),
        ] {
            if !(number.is_finite() && number > 0.0) {
                return Err(refuse(key, &format!("{number:?}"), "a finite number above 0"));
            }
        }
        if !(0.0..1.0).contains(&estimator.beta2) {
            let found = format!("{:?}", estimator.beta2);
            return Err(refuse("estimator.beta2", &found, "a number from 0 to below 1"));
        }
        within("estimator.warm_up", estimator.warm_up, 0, i64::MAX as u64)?;
        within("estimator.replay", estimator.replay as u64, 0, MAX_REPLAY)?;
        within("estimator.replay_window", estimator.replay_window as u64, 1, MAX_COUNT)?;
        if estimator.control_variate_hidden.is_empty() {
            return Err(refuse(
                "estimator.control_variate_hidden",
                "[]",
                "one or more widths, [200, 200] say",
            ));
        }
        widths_within("estimator.control_variate_hidden", &estimator.control_variate_hidden)
    }

    fn validate_sweep(&self) -> Result<(), ConfigError> {
        let sweep = &self.sweep;
        let lengths = [
            ("sweep.methods", sweep.methods.len(), "one estimator or more"),
            ("sweep.learning_rates", sweep.learning_rates.len(), "one learning rate or more"),
            ("sweep.seeds", sweep.seeds.len(), "one seed or more"),
        ];
        for (key, length, right) in lengths {
            if length == 0 {
                return Err(refuse(key, "[]", right));
            }
        }
        for &method in &sweep.methods {
            trains("sweep.methods", method)?;
        }
        if let Some(rate) = sweep.learning_rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(refuse("sweep.learning_rates", &format!("[… {rate:?} …]"), "finite numbers above 0"));
        }
        for &seed in sweep.seeds.iter().chain([&sweep.tuning_seed]) {
            within("sweep.seeds", seed, 0, i64::MAX as u64)?;
        }
        Ok(())
    }
}

/// Refuses an estimator that does not train auto-encoders.
fn trains(key: &str, method: Estimator) -> Result<(), ConfigError> {
    if METHODS.contains(&method) {
        return Ok(());
    }
    Err(refuse(key, &format!("\"{method}\""), &format!("one of {}", METHODS.map(Estimator::name).join(", "))))
}

fn widths_within(key: &str, widths: &[usize]) -> Result<(), ConfigError> {
    match widths.iter().find(|&&width| !(1..=MAX_COUNT as usize).contains(&width)) {
        Some(_) => Err(refuse(key, &format!("{widths:?}"), &format!("widths from 1 to {MAX_COUNT}"))),
        None if widths.len() > 64 => {
            Err(refuse(key, &format!("{} layers", widths.len()), "at most 64 layers"))
        }
        None => Ok(()),
    }
}
