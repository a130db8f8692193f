//! What studies run: comparisons with their report, curves, certificates of unbiasedness, the variance of estimators.
//!
//! | To … | look at |
//! | --- | --- |
//! | compare agents over seeds | [`study::compare`], [`compare`], [`report`] |
//! | search settings | [`sweep`](mod@sweep) |
//! | draw learning curves | [`plot`](mod@plot) |
//! | draw any chart | [`chart`] |
//! | check that estimators and agents are unbiased | [`certify`](mod@certify) |
//! | split a policy gradient's variance | [`variance`] |
//! | compare estimators on the toy problem | [`toy`] |
//! | train and compare binary auto-encoders | [`vae`] |
//! | use a network as control variate of an estimator | [`control_variate`] |

pub mod certify;
pub mod chart;
pub mod compare;
pub mod control_variate;
pub mod plot;
pub mod report;
pub mod study;
pub mod sweep;
pub mod toy;
pub mod vae;
pub mod variance;
