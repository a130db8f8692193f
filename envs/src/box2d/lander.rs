//! `LunarLander-v3` and `LunarLanderContinuous-v3`.

use std::f64::consts::{PI, TAU};

use super::env::{Box2dEnv, Game};
use super::scene::{Body, Pair, RATE, Scene, Surface};
use crate::canvas::{Canvas, rotate};
use crate::{EnvError, EnvRng, Frame, KwargReader, Kwargs, Space, Step};

pub(super) const ID: &str = "LunarLander-v3";
pub(super) const CONTINUOUS_ID: &str = "LunarLanderContinuous-v3";

/// Pixels of a metre, in which most constants are given.
const SCALE: f64 = 30.0;
const MAIN_POWER: f64 = 13.0;
const SIDE_POWER: f64 = 0.6;
const INITIAL_FORCE: f64 = 1000.0;
const HULL: [Pair; 6] =
    [(-14.0, 17.0), (-17.0, 0.0), (-17.0, -10.0), (17.0, -10.0), (17.0, 0.0), (14.0, 17.0)];
const LEG_AWAY: f64 = 20.0;
const LEG_DOWN: f64 = 18.0;
const LEG: Pair = (2.0, 8.0);
const LEG_TORQUE: f64 = 40.0;
const SIDE_ENGINE_HEIGHT: f64 = 14.0;
const SIDE_ENGINE_AWAY: f64 = 12.0;
const MAIN_ENGINE_Y: f64 = 4.0;
const WIDTH: f64 = 600.0 / SCALE;
const HEIGHT: f64 = 400.0 / SCALE;
const CHUNKS: usize = 11;
const PAD: f64 = HEIGHT / 4.0;

struct Bodies {
    scene: Scene,
    lander: Body,
    legs: [Body; 2],
}

/// A lander above a moon of eleven chunks: main engine, two side engines, two legs; fuel costs little, a crash 100, and rest on
/// the ground brings 100. Wind, if it blows, is a sine of the step.
///
/// Source: Gymnasium's `LunarLander`. What its particles draw when it renders is left out.
struct Lander {
    continuous: bool,
    gravity: f64,
    /// Power of wind and turbulence.
    wind: Option<(f64, f64)>,
    wind_index: i64,
    torque_index: i64,
    bodies: Option<Bodies>,
    /// Heights of the ground at the chunks' borders.
    ground: [f64; CHUNKS],
    previous_shaping: Option<f64>,
    observation: [f32; 8],
    observation_space: Space,
    action_space: Space,
}

impl Lander {
    fn new(continuous: bool, gravity: f64, wind: Option<(f64, f64)>) -> Self {
        let high = [2.5, 2.5, 10.0, 10.0, TAU as f32, 10.0, 1.0, 1.0];
        let low = [-2.5, -2.5, -10.0, -10.0, -TAU as f32, -10.0, -0.0, -0.0];
        let action_space = if continuous { Space::uniform_box(-1.0, 1.0, &[2]) } else { Space::discrete(4) };
        Self {
            continuous,
            gravity,
            wind,
            wind_index: 0,
            torque_index: 0,
            bodies: None,
            ground: [0.0; CHUNKS],
            previous_shaping: None,
            observation: [0.0; 8],
            observation_space: Space::bounded(&low, &high),
            action_space,
        }
    }

    fn chunk_x(i: usize) -> f64 {
        WIDTH / (CHUNKS - 1) as f64 * i as f64
    }

    fn build(&mut self, rng: &mut EnvRng) -> Bodies {
        let mut scene = Scene::new(self.gravity);
        let mut heights: [f64; CHUNKS + 1] = std::array::from_fn(|_| rng.uniform(0.0, HEIGHT / 2.0));
        heights[CHUNKS / 2 - 2..=CHUNKS / 2 + 2].fill(PAD);
        // The first height is smoothed with the last, which belongs to no chunk.
        let before = |i: usize| heights[if i == 0 { CHUNKS } else { i - 1 }];
        self.ground = std::array::from_fn(|i| 0.33 * (before(i) + heights[i] + heights[i + 1]));

        let moon = scene.body(false, (0.0, 0.0), 0.0);
        scene.shape(moon, &[(0.0, 0.0), (WIDTH, 0.0)], Surface::ground(0.2));
        for i in 0..CHUNKS - 1 {
            let edge = [(Self::chunk_x(i), self.ground[i]), (Self::chunk_x(i + 1), self.ground[i + 1])];
            scene.shape(moon, &edge, Surface::ground(0.1));
        }

        let (x, y) = (WIDTH / 2.0, HEIGHT);
        let lander = scene.body(true, (x, y), 0.0);
        scene.shape(lander, &HULL.map(|(x, y)| (x / SCALE, y / SCALE)), Surface::part(5.0, 0.1, 0x10));
        let force = (rng.uniform(-INITIAL_FORCE, INITIAL_FORCE), rng.uniform(-INITIAL_FORCE, INITIAL_FORCE));
        scene.push(lander, force, 0.0);
        if self.wind.is_some() {
            (self.wind_index, self.torque_index) = (rng.integers(-9999, 9999), rng.integers(-9999, 9999));
        }

        let legs = [-1.0, 1.0].map(|side| {
            let leg = scene.body(true, (x - side * LEG_AWAY / SCALE, y), side * 0.05);
            scene.rectangle(leg, (LEG.0 / SCALE, LEG.1 / SCALE), Surface::part(1.0, 0.2, 0x20));
            let limits = if side < 0.0 { (0.9 - 0.5, 0.9) } else { (-0.9, -0.9 + 0.5) };
            let anchors = [(0.0, 0.0), (side * LEG_AWAY / SCALE, LEG_DOWN / SCALE)];
            scene.hinge([lander, leg], anchors, limits, (LEG_TORQUE, 0.3 * side));
            leg
        });
        Bodies { scene, lander, legs }
    }
}

/// Gymnasium's wind: never periodic.
fn gust(index: i64, power: f64) -> f64 {
    let index = index as f64;
    ((0.02 * index).sin() + (PI * 0.01 * index).sin()).tanh() * power
}

impl Game for Lander {
    fn id(&self) -> &'static str {
        if self.continuous { CONTINUOUS_ID } else { ID }
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn begin(&mut self, rng: &mut EnvRng) {
        self.bodies = Some(self.build(rng));
        self.previous_shaping = None;
        self.act(&[0.0, 0.0][..self.action_space.size()], rng);
    }

    fn act(&mut self, action: &[f32], rng: &mut EnvRng) -> Step {
        let Some(Bodies { scene, lander, legs }) = &mut self.bodies else { return Step::default() };
        let (lander, legs) = (*lander, *legs);
        if let Some((wind, turbulence)) = self.wind
            && !legs.iter().any(|leg| scene.state(*leg).contact)
        {
            let (force, torque) = (gust(self.wind_index, wind), gust(self.torque_index, turbulence));
            scene.push(lander, (force, 0.0), torque);
            (self.wind_index, self.torque_index) = (self.wind_index + 1, self.torque_index + 1);
        }

        let now = scene.state(lander);
        let tip = (now.angle.sin(), now.angle.cos());
        let side = (-tip.1, tip.0);
        let dispersion = [rng.uniform(-1.0, 1.0) / SCALE, rng.uniform(-1.0, 1.0) / SCALE];

        // Throttle of the main engine, and of a side engine with its direction.
        let (main_power, side_power, direction) = if self.continuous {
            let [main, turn] = [action[0], action[1]].map(|value| f64::from(value.clamp(-1.0, 1.0)));
            (
                if main > 0.0 { (main.clamp(0.0, 1.0) + 1.0) * 0.5 } else { 0.0 },
                if turn.abs() > 0.5 { turn.abs().clamp(0.5, 1.0) } else { 0.0 },
                turn.signum(),
            )
        } else {
            let fires = |index: f32| if action[0] == index { 1.0 } else { 0.0 };
            (fires(2.0), fires(1.0) + fires(3.0), f64::from(action[0]) - 2.0)
        };
        if main_power > 0.0 {
            let along = MAIN_ENGINE_Y / SCALE + 2.0 * dispersion[0];
            let x = tip.0 * along + side.0 * dispersion[1];
            let y = -tip.1 * along - side.1 * dispersion[1];
            let impulse = (-x * MAIN_POWER * main_power, -y * MAIN_POWER * main_power);
            scene.impulse(lander, impulse, (now.x + x, now.y + y));
        }
        if side_power > 0.0 {
            let across = 3.0 * dispersion[1] + direction * SIDE_ENGINE_AWAY / SCALE;
            let x = tip.0 * dispersion[0] + side.0 * across;
            let y = -tip.1 * dispersion[0] - side.1 * across;
            // 17 and not the engine's height, as in Gymnasium.
            let at = (now.x + x - tip.0 * 17.0 / SCALE, now.y + y + tip.1 * SIDE_ENGINE_HEIGHT / SCALE);
            scene.impulse(lander, (-x * SIDE_POWER * side_power, -y * SIDE_POWER * side_power), at);
        }
        scene.step();

        let now = scene.state(lander);
        let flag = |leg: Body| if scene.state(leg).contact { 1.0 } else { 0.0 };
        let state = [
            (now.x - WIDTH / 2.0) / (WIDTH / 2.0),
            (now.y - (PAD + LEG_DOWN / SCALE)) / (HEIGHT / 2.0),
            now.velocity_x * (WIDTH / 2.0) / RATE,
            now.velocity_y * (HEIGHT / 2.0) / RATE,
            now.angle,
            20.0 * now.angular_velocity / RATE,
            flag(legs[0]),
            flag(legs[1]),
        ];
        self.observation = state.map(|value| value as f32);
        let shaping = -100.0 * (state[0] * state[0] + state[1] * state[1]).sqrt()
            - 100.0 * (state[2] * state[2] + state[3] * state[3]).sqrt()
            - 100.0 * state[4].abs()
            + 10.0 * state[6]
            + 10.0 * state[7];
        let mut reward = self.previous_shaping.map_or(0.0, |previous| shaping - previous);
        self.previous_shaping = Some(shaping);
        reward -= main_power * 0.30;
        reward -= side_power * 0.03;
        let mut terminated = false;
        if now.hit || state[0].abs() >= 1.0 {
            (terminated, reward) = (true, -100.0);
        }
        if !now.awake {
            (terminated, reward) = (true, 100.0);
        }
        Step { reward, terminated, truncated: false }
    }

    fn observation(&self) -> &[f32] {
        &self.observation
    }

    fn draw(&self) -> Option<Frame> {
        let Bodies { scene, lander, legs } = self.bodies.as_ref()?;
        let mut canvas = Canvas::new(600, 400)?;
        for i in 0..CHUNKS - 1 {
            let (left, right) = (Self::chunk_x(i) * SCALE, Self::chunk_x(i + 1) * SCALE);
            let (a, b) = (self.ground[i] * SCALE, self.ground[i + 1] * SCALE);
            canvas.polygon(&[(left, a), (right, b), (right, 400.0), (left, 400.0)], [0, 0, 0]);
        }
        let color = [128, 102, 230];
        let leg = [(-LEG.0, -LEG.1), (LEG.0, -LEG.1), (LEG.0, LEG.1), (-LEG.0, LEG.1)];
        let mut draw = |body: Body, corners: &[Pair]| {
            let state = scene.state(body);
            let place = |&corner: &Pair| {
                let (x, y) = rotate(corner, state.angle);
                (x + state.x * SCALE, y + state.y * SCALE)
            };
            let corners: Vec<_> = corners.iter().map(place).collect();
            // Far away there is nothing to see, and the coordinates would overflow.
            if corners.iter().all(|(x, y)| x.abs() < 1e4 && y.abs() < 1e4) {
                canvas.polygon(&corners, color);
            }
        };
        draw(*lander, &HULL);
        legs.iter().for_each(|body| draw(*body, &leg));
        for x in [Self::chunk_x(CHUNKS / 2 - 1) * SCALE, Self::chunk_x(CHUNKS / 2 + 1) * SCALE] {
            let (low, high) = (PAD * SCALE, PAD * SCALE + 50.0);
            canvas.line((x, low), (x, high), [255, 255, 255]);
            canvas.polygon(&[(x, high), (x, high - 10.0), (x + 25.0, high - 5.0)], [204, 204, 0]);
        }
        Some(canvas.into_frame())
    }
}

pub(super) fn make(kwargs: &Kwargs, continuous: bool) -> Result<Box2dEnv, EnvError> {
    let id = if continuous { CONTINUOUS_ID } else { ID };
    let arguments = ["gravity", "enable_wind", "wind_power", "turbulence_power"];
    let reader = KwargReader::new(id, kwargs, &arguments)?;
    let gravity = reader.float("gravity", -10.0)?;
    if !(gravity > -12.0 && gravity < 0.0) {
        return Err(EnvError::KwargValue {
            env: id.to_owned(),
            key: "gravity".to_owned(),
            expected: "between -12 and 0".to_owned(),
            got: gravity.to_string(),
            valid: arguments.join(", "),
        });
    }
    let wind = (reader.float("wind_power", 15.0)?, reader.float("turbulence_power", 1.5)?);
    let wind = reader.bool("enable_wind", false)?.then_some(wind);
    Ok(Box2dEnv::new(Lander::new(continuous, gravity, wind)))
}
