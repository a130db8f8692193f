//! What an agent reports after each update.

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Figures of one update; NaN where an agent has no such figure.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Metrics {
            /// Names of the figures, in a fixed order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The figures in the order of [`Self::NAMES`].
            #[must_use]
            pub fn values(&self) -> [f64; Self::NAMES.len()] {
                [$(self.$name),*]
            }

            /// The figures that [`values`](Self::values) gave; none if there are more or fewer of them.
            #[must_use]
            pub fn from_values(values: &[f64]) -> Option<Self> {
                let [$($name),*] = <[f64; Self::NAMES.len()]>::try_from(values).ok()?;
                Some(Self { $($name),* })
            }
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $($name: f64::NAN,)* }
            }
        }
    };
}

metrics! {
    /// −mean log π(a)·advantage.
    policy_loss,
    /// ½ mean (V − R̂)² before the critic was fitted to this batch.
    value_loss,
    /// The control variate's variance objective before it was fitted to this batch.
    control_variate_loss,
    /// Mean entropy of the policy, in nats.
    entropy,
    /// Norm of the policy's weight gradient before clipping.
    policy_gradient_norm,
    /// Share of the returns' variance that the critic explained before it was fitted to them.
    explained_variance,
    /// Mean ‖ĝ‖² at the distribution's parameters of this agent's estimator.
    squared_norm,
    /// The same of A2C's estimator on the same batch.
    squared_norm_a2c,
    /// `squared_norm` / `squared_norm_a2c`.
    variance_ratio,
    /// Multiple of the control variate's residual that entered ĝ.
    gain,
    /// The policy's learning rate.
    learning_rate,
    /// α, what a nat of entropy is worth to an agent that learns to keep some.
    temperature,
}

impl Metrics {
    /// Figures that only those agents' tables have that [report](crate::AgentSpec::reports) them.
    pub const OPTIONAL: &'static [&'static str] = &["temperature"];

    /// Takes in the sums over a batch of `rows` rows.
    pub fn take(&mut self, sums: &crate::parts::policy::Sums, rows: usize) {
        let rows = rows as f64;
        self.policy_loss = -sums.weighted_log_prob / rows;
        self.entropy = sums.entropy / rows;
        self.squared_norm = sums.squared_norm / rows;
        self.squared_norm_a2c = sums.squared_norm_a2c / rows;
        self.variance_ratio = sums.squared_norm / sums.squared_norm_a2c;
    }
}
