//! [`Status`]: what a run shows of itself while it trains.

use relax_runtime::logging::Shown;

/// How an agent's training stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Status {
    /// Environment steps so far.
    pub env_steps: u64,
    /// Episodes finished so far.
    pub episodes: u64,
    /// Mean return of the last 100 episodes.
    pub mean_return_100: Option<f64>,
    /// Variance of this agent's gradient as a multiple of A2C's on the same batch; none for A2C, whose is 1 by definition.
    pub variance_ratio: Option<f64>,
    /// What is plainly off, in two or three words.
    pub complaint: Option<&'static str>,
}

impl Shown for Status {
    const UNIT: &'static str = "steps";

    fn position(&self) -> u64 {
        self.env_steps
    }

    fn notes(&self) -> Vec<String> {
        let mean = self.mean_return_100.map(|mean| format!("return {mean:.1}"));
        let episodes = (self.episodes > 0).then(|| format!("{} episodes", self.episodes));
        let ratio = self.variance_ratio.map(|ratio| format!("variance ratio {ratio:.2}"));
        let complaint = self.complaint.map(|short| format!("! {short}"));
        mean.into_iter().chain(episodes).chain(complaint).chain(ratio).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_say_what_is_known() {
        let mut status = Status { env_steps: 50_000, ..Status::default() };
        assert!(status.notes().is_empty());
        status.episodes = 120;
        status.mean_return_100 = Some(123.44);
        status.variance_ratio = Some(0.456);
        assert_eq!(status.notes(), ["return 123.4", "120 episodes", "variance ratio 0.46"]);
        status.complaint = Some("entropy collapsed");
        assert_eq!(status.notes()[2], "! entropy collapsed");
    }
}
