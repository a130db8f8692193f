//! Actor-critic agents whose baseline is a learned control variate, and the ones they are compared with.

pub mod config;
