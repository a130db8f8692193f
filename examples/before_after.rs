//! One policy before and after training, side by side, with step and return: the picture on the front page.
//!
//! ```text
//! cargo run --release --example before_after -- configs/cartpole-relax.toml before-after.gif [key=value]…
//! ```

use std::ops::ControlFlow;
use std::path::Path;

use relax_lab::chart::png;
use relax_rl::Error;
use relax_rl::config::Config;
use relax_rl::envs::{self, Env, EnvRng};
use relax_rl::gif::GifWriter;
use relax_rl::train::{self, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Height of the caption, in pixels.
const CAPTION: usize = 40;
/// Steps from one frame to the next, frames per second, and how many of them stand still at the end.
const EVERY: u32 = 5;
const FRAMES_PER_SECOND: f64 = 20.0;
const STANDING: usize = 40;

/// An episode under way, and what its picture says above it.
struct Stage<'a> {
    name: &'a str,
    trainer: &'a Trainer,
    env: Box<dyn Env>,
    rng: EnvRng,
    observation: Vec<f32>,
    step: u32,
    total_reward: f64,
    over: bool,
}

impl<'a> Stage<'a> {
    /// The episode of the seed 0.
    fn new(name: &'a str, trainer: &'a Trainer, config: &Config) -> Result<Self, Error> {
        let failed = |error: envs::EnvError| Error::runtime(error.to_string());
        let mut env = envs::make(&config.env.id, &config.env.kwargs).map_err(failed)?;
        let mut rng = EnvRng::from_seed(0);
        let mut observation = vec![0.0; env.observation_space().flat_dim()];
        env.reset(&mut rng, &mut observation).map_err(failed)?;
        Ok(Self { name, trainer, env, rng, observation, step: 0, total_reward: 0.0, over: false })
    }

    fn step(&mut self) -> Result<(), Error> {
        if self.over {
            return Ok(());
        }
        let action = self.trainer.predict(&self.observation)?;
        let step = self
            .env
            .step(action.as_action_ref(), &mut self.rng, &mut self.observation)
            .map_err(|error| Error::runtime(error.to_string()))?;
        self.step += 1;
        self.total_reward += step.reward;
        self.over = step.terminated || step.truncated;
        Ok(())
    }

    /// The width of its picture, and its pixels: the caption, and below it the environment at half its size.
    fn picture(&self) -> Result<(usize, Vec<u8>), Error> {
        let frame =
            self.env.render().ok_or_else(|| Error::runtime("the environment cannot be drawn".to_owned()))?;
        let width = frame.width as usize / 2;
        let (weight, end) = if self.over { ("bold", ", over") } else { ("normal", "") };
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{CAPTION}\" font-family=\"sans-serif\">\
             <text x=\"8\" y=\"16\" font-size=\"14\" font-weight=\"bold\">{}</text>\
             <text x=\"8\" y=\"34\" font-size=\"14\" font-weight=\"{weight}\">step {}, return {:.0}{end}</text></svg>",
            self.name, self.step, self.total_reward
        );
        let (drawn, caption) = png::rgb(&svg)?;
        let mut pixels = halved(&caption, drawn);
        pixels.extend(halved(&frame.rgb, frame.width as usize));
        Ok((width, pixels))
    }
}

/// A picture of `width` pixels a row at half its size: each pixel is the mean of four.
fn halved(rgb: &[u8], width: usize) -> Vec<u8> {
    let rows = rgb.len() / (3 * width);
    let mut out = Vec::with_capacity(rgb.len() / 4);
    for y in 0..rows / 2 {
        for x in 0..width / 2 {
            for colour in 0..3 {
                let at =
                    |dx: usize, dy: usize| u32::from(rgb[3 * ((2 * y + dy) * width + 2 * x + dx) + colour]);
                out.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    out
}

/// Two pictures of one height beside one another.
fn beside((a_width, a): (usize, Vec<u8>), (b_width, b): (usize, Vec<u8>)) -> Vec<u8> {
    let rows = a.chunks(3 * a_width).zip(b.chunks(3 * b_width));
    rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, out, overrides @ ..] = arguments.as_slice() else {
        return Err(Error::input("usage: before_after CONFIG FILE.gif [key=value]…"));
    };
    let config = Config::load(Path::new(config), overrides)?;
    let untrained = Trainer::new(&config)?;
    let trained = train::watched(&config, |_| ControlFlow::Continue(()))?;
    let after = format!("after {} steps of training", trained.env_steps());
    let mut stages =
        [Stage::new("before training", &untrained, &config)?, Stage::new(&after, &trained, &config)?];

    let mut gif: Option<GifWriter> = None;
    let mut standing = 0;
    while standing < STANDING {
        let [a, b] = [stages[0].picture()?, stages[1].picture()?];
        let width = a.0 + b.0;
        let pixels = beside(a, b);
        let height = pixels.len() / (3 * width);
        let writer = match &mut gif {
            Some(writer) => writer,
            None => {
                gif.insert(GifWriter::create(Path::new(out), width as u32, height as u32, FRAMES_PER_SECOND)?)
            }
        };
        writer.push(&pixels)?;
        for _ in 0..EVERY {
            stages.iter_mut().try_for_each(Stage::step)?;
        }
        standing += usize::from(stages.iter().all(|stage| stage.over));
    }
    for stage in &stages {
        println!("{}: {} steps, return {:.1}", stage.name, stage.step, stage.total_reward);
    }
    gif.map_or(Ok(()), GifWriter::finish)
}
