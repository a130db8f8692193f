//! The commands and their arguments, with the text of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use relax_latent::vae::Method;

/// TOML has no larger whole numbers, and the run's configuration is saved as TOML.
const MAX_SEED: u64 = i64::MAX as u64;

/// Train reinforcement-learning agents with learned control variates.
#[derive(Debug, Parser)]
#[command(name = "relax", version, propagate_version = true, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// The Python of `gym:` environments [default: RELAX_PYTHON, VIRTUAL_ENV, python3]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) python: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  relax train configs/cartpole-relax.toml
  relax train configs/cartpole-relax.toml --seed 3 --set learner.learning_rate=5e-4
  relax eval runs/cartpole-relax-s0-1 --deterministic --render cartpole.gif
  relax resume runs/cartpole-relax-s0-1
  relax plot runs --out curves.svg

Exit codes: 0 done, 1 failed while running, 2 bad input, 130 interrupted after saving the state.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Train an agent as a configuration file says
    Train(TrainArgs),
    /// Continue an interrupted run, or train a finished one for longer
    Resume(ResumeArgs),
    /// Let a trained agent play, and report its returns
    Eval(EvalArgs),
    /// Train a binary latent-variable model as a configuration file says
    Vae(VaeArgs),
    /// Compare estimators on a latent-variable model, over learning rates and seeds
    VaeSweep(VaeSweepArgs),
    /// Measure the variance of estimators' gradients at the weights of a `relax vae` run
    VaeVariance(VaeVarianceArgs),
    /// List, show or check environments
    Envs {
        #[command(subcommand)]
        command: EnvsCommand,
    },
    /// Show a configuration with all its defaults, or the schema of all keys
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Draw learning curves of run folders as SVG or PNG
    Plot(PlotArgs),
    /// Compare gradient estimators on one Bernoulli variable
    Toy(ToyArgs),
    /// Run configurations with several seeds and write a report with intervals, curves and tests
    Compare(super::compare::CompareArgs),
    /// Test that every estimator and agent is unbiased, or that a known mistake is found out
    Certify(super::certify::CertifyArgs),
    /// Split a policy gradient's variance by states, actions and the rest of the trajectory
    Variance(super::variance::VarianceArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  relax completions bash > ~/.local/share/bash-completion/completions/relax"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(super) struct TrainArgs {
    /// The configuration, a TOML file (see `configs/`)
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// The run's seed; short for --set run.seed=N
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=MAX_SEED))]
    pub(super) seed: Option<u64>,
    /// The run folder [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Threads that gather experience, 0 for none but the main one; short for --set rollout.workers=N
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<u32>,
    /// Show nothing but errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  relax train configs/cartpole-relax.toml
  relax train configs/cartpole-relax.toml --seed 7 --out runs/try --set agent.hidden='[32, 32]'
  relax train configs/cartpole-relax.toml --set agent.kind=a2c --set run.env_steps=1e6

The run folder holds config.toml (all settings), metrics.csv, episodes.csv, summary.json,
TensorBoard events, and the checkpoints `latest` and `best`. Ctrl-C saves the state;
`relax resume DIR` continues as if nothing had happened. `relax config schema` lists every key.";

#[derive(Debug, Args)]
#[command(after_help = VAE_EXAMPLES)]
pub(super) struct VaeArgs {
    /// The configuration, a TOML file (see `configs/vae/`)
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// The run's seed; short for --set run.seed=N
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=MAX_SEED))]
    pub(super) seed: Option<u64>,
    /// The folder with the images; short for --set data.folder=DIR [default: data/mnist or data/omniglot]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The run folder [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Threads that share each iteration, to the same numbers; more than one pays for large models only. Short for --set run.threads=N
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<u16>,
    /// Show nothing but errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const VAE_EXAMPLES: &str = "\
Examples:
  relax vae configs/vae/mnist-linear1.toml
  relax vae configs/vae/mnist-linear2.toml --set estimator.method=rebar --set run.iterations=1e5
  relax vae configs/vae/omniglot-linear1.toml --data ~/omniglot

The run folder holds config.toml (all settings), metrics.csv, evaluations.csv, summary.json,
curves.png, samples.png, reconstructions.png, TensorBoard events and a checkpoint. Ctrl-C saves the state;
`relax resume DIR` continues as if nothing had happened. `relax config schema --vae` lists
every key.";

#[derive(Debug, Args)]
#[command(after_help = VAE_SWEEP_EXAMPLES)]
pub(super) struct VaeSweepArgs {
    /// The configuration, a TOML file; its section [sweep] says what is compared
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// Runs at a time, each on one thread
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    pub(super) jobs: u16,
    /// The folder with the images; short for --set data.folder=DIR [default: data/mnist or data/omniglot]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The sweep's folder [default: runs/NAME-sweep, NAME being the configuration's]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Show nothing but errors and the final tables
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const VAE_SWEEP_EXAMPLES: &str = "\
Examples:
  relax vae-sweep configs/vae/mnist-linear1.toml --jobs 2
  relax vae-sweep configs/vae/mnist-linear2.toml --set sweep.methods='[\"rebar\", \"disarm\"]' --set sweep.seeds='[0]'

Every estimator is tried at every learning rate with the tuning seed; the rate with the best
final validation bound is run with every seed. However a sweep ends, the same command goes on
with it: finished runs are kept, interrupted ones continued. The folder holds table.md,
table.csv, runs.csv and the run folders, and is up to date after every run.";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax vae-variance runs/mnist-linear1-s0-1 --jobs 2
  relax vae-variance runs/mnist-linear1-s0-1 --methods rebar,relaxed-rebar --fit 20000

The run's model is frozen. Each estimator's control variate is fitted to it for --fit iterations, the
same minibatches for all; then the variance of its encoder gradient is estimated, --repetitions times
from --draws gradients. Shown is the logarithm of the variance, averaged over the weights of each
layer's encoder: mean over repetitions ± standard error.")]
pub(super) struct VaeVarianceArgs {
    /// The run folder
    pub(super) dir: PathBuf,
    /// The estimators
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "nvil,muprop,rebar,relax,relaxed-rebar,disarm,loo"
    )]
    pub(super) methods: Vec<Method>,
    /// Iterations that fit each control variate
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) fit: u64,
    /// Gradients per sample variance
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(2..=1_000_000))]
    pub(super) draws: u32,
    /// Sample variances per estimator
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(2..=1_000_000))]
    pub(super) repetitions: u32,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// The folder with the images, if it is not where it was
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Estimators at a time, each on one thread
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    pub(super) jobs: u16,
    /// The CSV file to write [default: variance.csv in the run folder]
    #[arg(long, value_name = "FILE.csv")]
    pub(super) out: Option<PathBuf>,
    /// Show nothing but errors and the table
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Change one setting, for example learner.gamma=0.98; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax resume runs/cartpole-relax-s0-1
  relax resume runs/cartpole-relax-s0-1 --set run.env_steps=1_000_000

Interrupted and resumed gives the same numbers as uninterrupted. So only run.* (but not the
seed) and rollout.workers can change.")]
pub(super) struct ResumeArgs {
    /// The run folder
    pub(super) dir: PathBuf,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// Threads that gather experience; short for --set rollout.workers=N
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<u32>,
    /// Show nothing but errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax eval runs/cartpole-relax-s0-1
  relax eval runs/cartpole-relax-s0-1 --episodes 1 --deterministic --render cartpole.gif")]
pub(super) struct EvalArgs {
    /// The run folder
    pub(super) dir: PathBuf,
    /// How many episodes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..))]
    pub(super) episodes: u32,
    /// Draw the first episode into an animated GIF
    #[arg(long, value_name = "FILE.gif")]
    pub(super) render: Option<PathBuf>,
    /// Take the most probable action instead of drawing one
    #[arg(long)]
    pub(super) deterministic: bool,
    /// Names the episodes' random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(..=MAX_SEED))]
    pub(super) seed: u64,
}

#[derive(Debug, Subcommand)]
pub(super) enum EnvsCommand {
    /// List all environments
    List,
    /// Show an environment's spaces, limits and arguments
    Show {
        /// Its id, such as CartPole-v1
        id: String,
    },
    /// Check that an environment keeps the promises agents rely on
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Its id, such as CartPole-v1
    pub(super) id: String,
    /// Seed of the episodes and the random actions
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Steps of the random walk that the checks watch
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u32).range(1..=100_000_000))]
    pub(super) steps: u32,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration with every default and --set filled in
    #[command(after_help = "\
Example:
  relax config show configs/cartpole-relax.toml --set learner.gamma=0.98 > mine.toml")]
    Show(ConfigShowArgs),
    /// Print the JSON schema of configurations: every key, its meaning, type and default
    Schema {
        /// Of the configurations of `relax vae`
        #[arg(long)]
        vae: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct ConfigShowArgs {
    /// The configuration, a TOML file
    pub(super) config: PathBuf,
    #[command(flatten)]
    pub(super) set: SetArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax plot runs/cartpole-relax-s0-1 runs/cartpole-a2c-s0-1 --out cartpole.svg
  relax plot runs --out curves.svg          (all runs in the folder `runs`)

Runs that differ in nothing but their seed form one curve: their mean, with a band from the
lowest to the highest.")]
pub(super) struct PlotArgs {
    /// Run folders, or folders that hold run folders
    #[arg(required = true, value_name = "DIR")]
    pub(super) dirs: Vec<PathBuf>,
    /// The file to write: .svg or .png
    #[arg(long, short, value_name = "FILE.svg|.png")]
    pub(super) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax toy
  relax toy --estimator relax,rebar --target 0.45 --steps 5000 --out toy45

Minimises E[(b - t)^2] over b ~ Bernoulli(theta), one sample a step. Writes toy.csv (theta, loss and
log-variance of every run), relaxation.csv (the learned control variates at theta = 1/2), toy.svg and
toy.png, and prints a table. Learning rates and networks are those of docs/estimators.md.")]
pub(super) struct ToyArgs {
    /// Which estimators, separated by commas; may be repeated [default: all but the coupled ones]
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    pub(super) estimator: Vec<relax_estimators::Estimator>,
    /// t, between 0 and 1
    #[arg(long, value_name = "T", default_value_t = 0.499)]
    pub(super) target: f64,
    /// Steps of each run
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(super) steps: u64,
    /// Runs of each estimator
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..=100_000))]
    pub(super) seeds: u64,
    /// Seed of the first run; the others follow it
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(..=MAX_SEED - 100_000))]
    pub(super) first_seed: u64,
    /// Step size of Adam, for theta and for what an estimator learns
    #[arg(long, value_name = "RATE", default_value_t = 0.01)]
    pub(super) learning_rate: f64,
    /// The folder to write to [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
