//! Configuration structs of agents, and what several of them have in common.

/// A section's keys with their documentation and defaults: a struct that serde reads with every default filled in and
/// unknown keys refused.
macro_rules! keys {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$of_key:meta])* $key:ident: $type:ty = $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$of_key])* pub $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

/// What a policy's and a critic's networks are, of keys called `hidden`, `critic_hidden` and `activation`.
macro_rules! networks {
    ($name:ident) => {
        impl $name {
            /// The policy's network.
            #[must_use]
            pub fn policy_network(&self) -> $crate::parts::networks::Network<'_> {
                $crate::parts::networks::Network { hidden: &self.hidden, activation: self.activation }
            }

            /// The network of a critic.
            #[must_use]
            pub fn critic_network(&self) -> $crate::parts::networks::Network<'_> {
                let hidden = self.critic_hidden.as_deref().unwrap_or(&self.hidden);
                $crate::parts::networks::Network { hidden, activation: self.activation }
            }
        }
    };
}

/// What the networks see, of keys called `encoder`, `device` and `encoder_rate`.
macro_rules! observed {
    ($name:ident) => {
        impl $name {
            /// What the networks see of `observations`.
            ///
            /// # Errors
            /// If there is no such encoder or device, or it cannot see such observations.
            pub fn observed(
                &self,
                observations: &relax_envs::Space,
            ) -> Result<$crate::Observed, $crate::AgentError> {
                let observed = $crate::Observed::on(&self.encoder, &self.device, observations)?;
                Ok(match self.encoder_rate {
                    Some(share) => observed.at_encoder_rate(share),
                    None => observed,
                })
            }
        }
    };
}

/// What a distribution of actions is, of keys called `initial_log_std` and `state_dependent_std`.
macro_rules! distribution_options {
    ($name:ident) => {
        impl $name {
            /// What the distribution of actions is told.
            #[must_use]
            pub fn distribution(&self) -> $crate::distribution::Options {
                $crate::distribution::Options {
                    state_dependent_std: self.state_dependent_std,
                    initial_log_std: self.initial_log_std,
                }
            }
        }
    };
}

/// Gradient steps of a critic, of keys called `value_epochs` and `initial_value_epochs`.
macro_rules! value_epochs {
    ($name:ident) => {
        impl $name {
            /// Gradient steps of the critic on a batch after `progress` ∈ [0, 1] of the run.
            #[must_use]
            pub fn value_epochs_at(&self, progress: f64) -> usize {
                $crate::config::epochs_at(self.initial_value_epochs, self.value_epochs, progress)
            }
        }
    };
}

/// What a policy's objective has beside the return, of keys called `entropy` and `bounds_loss`.
macro_rules! extras {
    ($name:ident) => {
        impl $name {
            /// What the policy's objective has beside the return.
            #[must_use]
            pub fn extras(&self) -> $crate::parts::policy::Extras {
                $crate::parts::policy::Extras {
                    entropy: self.entropy as f32,
                    bounds_loss: self.bounds_loss as f32,
                }
            }
        }
    };
}

/// The scaling of observations and rewards, of keys called `normalize_observations`, `normalize_rewards`, `reward_scale` and
/// `gamma`; and annealed learning rates, of one called `anneal`.
macro_rules! scaling {
    ($name:ident) => {
        $crate::config::scaling!($name, |_| false);
    };
    ($name:ident, preserve_values) => {
        $crate::config::scaling!($name, |learner: &$name| learner.preserve_values);

        impl $name {
            /// Refuses to follow scales that stay.
            pub(crate) fn refuse_idle_preserving(&self) -> Result<(), $crate::Refusal> {
                if !self.preserve_values || self.normalize_observations || self.normalize_rewards {
                    return Ok(());
                }
                Err($crate::Refusal::new(
                    "learner.preserve_values",
                    "`learner.preserve_values` follows the running scales of observations and rewards, and there are none: \
                     learner.normalize_observations and learner.normalize_rewards are false",
                    "set one of them to true, or leave preserve_values out",
                ))
            }
        }
    };
    ($name:ident, $preserves:expr) => {
        impl $name {
            /// How observations and rewards are scaled.
            #[must_use]
            pub fn normalization(&self) -> $crate::config::Normalization {
                $crate::config::Normalization {
                    observations: self.normalize_observations,
                    rewards: self.normalize_rewards,
                    reward_scale: self.reward_scale,
                    gamma: self.gamma,
                    preserve_values: ($preserves)(self),
                }
            }

            /// A learning rate after `progress` ∈ [0, 1] of the run.
            #[must_use]
            pub fn annealed(&self, rate: f64, progress: f64) -> f64 {
                $crate::config::annealed(self.anneal, rate, progress)
            }
        }
    };
}

pub(crate) use {distribution_options, extras, keys, networks, observed, scaling, value_epochs};
