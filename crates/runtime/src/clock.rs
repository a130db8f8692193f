//! Time spent: by the process, by all processes of a run, and by training alone.

use std::time::{Duration, Instant};

/// Clocks of a run, which go on where an interrupted run's stopped.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    wall_before: f64,
    training: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Clocks that start now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), wall_before: 0.0, training: 0.0 }
    }

    /// Seconds since the start, those of earlier processes included.
    #[must_use]
    pub fn wall(&self) -> f64 {
        self.wall_before + self.started.elapsed().as_secs_f64()
    }

    /// Seconds of training: without start-up, evaluation and checkpoints.
    #[must_use]
    pub fn training(&self) -> f64 {
        self.training
    }

    /// Adds to the seconds of training.
    pub fn add_training(&mut self, lap: Duration) {
        self.training += lap.as_secs_f64();
    }

    /// What a checkpoint keeps: seconds since the start, and of training.
    #[must_use]
    pub fn state(&self) -> [f64; 2] {
        [self.wall(), self.training]
    }

    /// Goes on from a saved [`state`](Self::state).
    pub fn restore(&mut self, [wall, training]: [f64; 2]) {
        (self.wall_before, self.training) = (wall, training);
    }
}
