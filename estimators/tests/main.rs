//! The estimators' tests, one binary.

#![allow(clippy::unwrap_used)]

mod common;
mod golden;
mod identities;
mod one_call;
mod rivals;
mod several_choices;
mod unbiased;
