//! Time spent: by the process, by all processes of a run, and by training alone.

use std::time::{Duration, Instant};

/// Clocks of a run, which go on where an interrupted run's stopped.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_before: f64,
    training: f64,
}

impl Clock {
    pub fn new() -> Self {
        Self { started: Instant::now(), wall_before: 0.0, training: 0.0 }
    }

    /// Seconds since the start, those of earlier processes included.
    pub fn wall(&self) -> f64 {
        self.wall_before + self.started.elapsed().as_secs_f64()
    }

    /// Seconds of training: without start-up, evaluation and checkpoints.
    pub fn training(&self) -> f64 {
        self.training
    }

    pub fn add_training(&mut self, lap: Duration) {
        self.training += lap.as_secs_f64();
    }

    pub fn state(&self) -> [f64; 2] {
        [self.wall(), self.training]
    }

    pub fn restore(&mut self, [wall, training]: [f64; 2]) {
        (self.wall_before, self.training) = (wall, training);
    }
}
