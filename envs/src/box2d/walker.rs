//! `BipedalWalker-v3`.

use std::f64::consts::PI;

use super::env::{Box2dEnv, Game};
use super::scene::{Body, Joint, Pair, RATE, Scene, Surface};
use crate::canvas::{Canvas, Rgb, rotate};
use crate::{EnvError, EnvRng, Frame, KwargReader, Kwargs, Space, Step};

pub(super) const ID: &str = "BipedalWalker-v3";

/// Pixels of a metre, in which most constants are given.
const SCALE: f64 = 30.0;
const TORQUE: f32 = 80.0;
const SPEEDS: [f32; 4] = [4.0, 6.0, 4.0, 6.0];
const LIDAR_RANGE: f64 = 160.0 / SCALE;
const RAYS: usize = 10;
const INITIAL_FORCE: f64 = 5.0;
const HULL: [Pair; 5] = [(-30.0, 9.0), (6.0, 9.0), (34.0, 1.0), (34.0, -8.0), (-30.0, -8.0)];
const LEG_DOWN: f64 = -8.0 / SCALE;
const LEG: Pair = (8.0 / SCALE, 34.0 / SCALE);
const WIDTH: f64 = 600.0 / SCALE;
const HEIGHT: f64 = 400.0 / SCALE;
const TERRAIN_STEP: f64 = 14.0 / SCALE;
const TERRAIN_LENGTH: usize = 200;
const TERRAIN_HEIGHT: f64 = HEIGHT / 4.0;
const GRASS: usize = 10;
const START_PAD: usize = 20;
const FRICTION: f32 = 2.5;

struct Bodies {
    scene: Scene,
    hull: Body,
    /// Upper and lower part of one leg, then of the other.
    legs: [Body; 4],
    /// Hip and knee of one leg, then of the other.
    joints: [Joint; 4],
}

/// A hull on two legs of two joints each, which is paid for going right over slightly uneven ground and pays for torque; a fall
/// costs 100. Ten rays measure the ground ahead.
///
/// Source: Gymnasium's `BipedalWalker`. There all episodes run in one Box2D world, here each has its own, as an episode could
/// not be reproduced from its seed otherwise.
struct Walker {
    bodies: Option<Bodies>,
    ground: Vec<f64>,
    clouds: Vec<[Pair; 5]>,
    previous_shaping: Option<f64>,
    observation: [f32; 24],
    observation_space: Space,
    action_space: Space,
}

impl Walker {
    fn new() -> Self {
        let leg = [PI as f32, 5.0, PI as f32, 5.0, 1.0];
        let high: Vec<f32> =
            [PI as f32, 5.0, 5.0, 5.0].into_iter().chain(leg).chain(leg).chain([1.0; RAYS]).collect();
        // A flag of contact is not negative.
        let low: Vec<f32> = high
            .iter()
            .enumerate()
            .map(|(i, &bound)| if i == 8 || i == 13 { -0.0 } else { -bound })
            .collect();
        Self {
            bodies: None,
            ground: Vec::new(),
            clouds: Vec::new(),
            previous_shaping: None,
            observation: [0.0; 24],
            observation_space: Space::bounded(&low, &high),
            action_space: Space::uniform_box(-1.0, 1.0, &[4]),
        }
    }

    /// Draws the ground and the clouds, which take random numbers too.
    #[allow(clippy::approx_constant)] // the clouds' 3.14 is Gymnasium's
    fn draw_terrain(&mut self, rng: &mut EnvRng) {
        let (mut velocity, mut y, mut counter, mut fresh) = (0.0, TERRAIN_HEIGHT, START_PAD, false);
        self.ground.clear();
        for i in 0..TERRAIN_LENGTH {
            // The first piece of a stretch of grass is level.
            if !fresh {
                let above = TERRAIN_HEIGHT - y;
                let sign = if above == 0.0 { 0.0 } else { above.signum() };
                velocity = 0.8 * velocity + 0.01 * sign;
                if i > START_PAD {
                    velocity += rng.uniform(-1.0, 1.0) / SCALE;
                }
                y += velocity;
            }
            fresh = false;
            self.ground.push(y);
            counter -= 1;
            if counter == 0 {
                counter = rng.integers(GRASS as i64 / 2, GRASS as i64) as usize;
                fresh = true;
            }
        }
        self.clouds.clear();
        for _ in 0..TERRAIN_LENGTH / 20 {
            let x = rng.uniform(0.0, TERRAIN_LENGTH as f64) * TERRAIN_STEP;
            let y = HEIGHT * 3.0 / 4.0;
            self.clouds.push(std::array::from_fn(|corner| {
                let (sin, cos) = (3.14 * 2.0 * corner as f64 / 5.0).sin_cos();
                (
                    x + 15.0 * TERRAIN_STEP * sin + rng.uniform(0.0, 5.0 * TERRAIN_STEP),
                    y + 5.0 * TERRAIN_STEP * cos + rng.uniform(0.0, 5.0 * TERRAIN_STEP),
                )
            }));
        }
    }

    fn build(&mut self, rng: &mut EnvRng) -> Bodies {
        self.draw_terrain(rng);
        let mut scene = Scene::new(-10.0);
        for (i, heights) in self.ground.windows(2).enumerate() {
            let x = |i: usize| i as f64 * TERRAIN_STEP;
            let ground = scene.body(false, (0.0, 0.0), 0.0);
            scene.shape(ground, &[(x(i), heights[0]), (x(i + 1), heights[1])], Surface::ground(FRICTION));
        }
        let (x, y) = (TERRAIN_STEP * START_PAD as f64 / 2.0, TERRAIN_HEIGHT + 2.0 * LEG.1);
        let hull = scene.body(true, (x, y), 0.0);
        scene.shape(hull, &HULL.map(|(x, y)| (x / SCALE, y / SCALE)), Surface::part(5.0, 0.1, 0x20));
        scene.push(hull, (rng.uniform(-INITIAL_FORCE, INITIAL_FORCE), 0.0), 0.0);

        let torque = f64::from(TORQUE);
        let surface = Surface::part(1.0, 0.2, 0x20);
        let sides = [-1.0, 1.0].map(|side| {
            let upper = scene.body(true, (x, y - LEG.1 / 2.0 - LEG_DOWN), side * 0.05);
            scene.rectangle(upper, (LEG.0 / 2.0, LEG.1 / 2.0), surface);
            let at_hip = [(0.0, LEG_DOWN), (0.0, LEG.1 / 2.0)];
            let hip = scene.hinge([hull, upper], at_hip, (-0.8, 1.1), (torque, side));
            let lower = scene.body(true, (x, y - LEG.1 * 3.0 / 2.0 - LEG_DOWN), side * 0.05);
            scene.rectangle(lower, (0.8 * LEG.0 / 2.0, LEG.1 / 2.0), surface);
            let at_knee = [(0.0, -LEG.1 / 2.0), (0.0, LEG.1 / 2.0)];
            let knee = scene.hinge([upper, lower], at_knee, (-1.6, -0.1), (torque, 1.0));
            ([upper, lower], [hip, knee])
        });
        let [(first, first_joints), (second, second_joints)] = sides;
        Bodies {
            scene,
            hull,
            legs: [first[0], first[1], second[0], second[1]],
            joints: [first_joints[0], first_joints[1], second_joints[0], second_joints[1]],
        }
    }
}

impl Game for Walker {
    fn id(&self) -> &'static str {
        ID
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
        self.act(&[0.0; 4], rng);
    }

    fn act(&mut self, action: &[f32], _: &mut EnvRng) -> Step {
        let Some(Bodies { scene, hull, legs, joints }) = &mut self.bodies else { return Step::default() };
        let throttle = |value: f32| value.abs().clamp(0.0, 1.0);
        for ((joint, speed), &value) in joints.iter().zip(SPEEDS).zip(action) {
            let sign = if value == 0.0 { 0.0 } else { value.signum() };
            scene.motor(*joint, speed * sign, TORQUE * throttle(value));
        }
        scene.step();

        let now = scene.state(*hull);
        let mut state = [0.0; 24];
        state[..4].copy_from_slice(&[
            now.angle,
            2.0 * now.angular_velocity / RATE,
            0.3 * now.velocity_x * WIDTH / RATE,
            0.3 * now.velocity_y * HEIGHT / RATE,
        ]);
        for side in 0..2 {
            let [(hip, hip_speed), (knee, knee_speed)] =
                [joints[2 * side], joints[2 * side + 1]].map(|joint| scene.joint(joint));
            let contact = scene.state(legs[2 * side + 1]).contact;
            state[4 + 5 * side..9 + 5 * side].copy_from_slice(&[
                hip,
                hip_speed / f64::from(SPEEDS[0]),
                knee + 1.0,
                knee_speed / f64::from(SPEEDS[1]),
                f64::from(u8::from(contact)),
            ]);
        }
        for (i, fraction) in state[14..].iter_mut().enumerate() {
            let (sin, cos) = (1.5 * i as f64 / 10.0).sin_cos();
            *fraction = scene.ray((now.x, now.y), (now.x + sin * LIDAR_RANGE, now.y - cos * LIDAR_RANGE));
        }
        self.observation = state.map(|value| value as f32);

        let mut shaping = 130.0 * now.x / SCALE;
        shaping -= 5.0 * state[0].abs();
        let difference = self.previous_shaping.map_or(0.0, |previous| shaping - previous);
        self.previous_shaping = Some(shaping);
        // Gymnasium takes the costs off as float32 numbers, which the action's are.
        let cost = (0.00035 * f64::from(TORQUE)) as f32;
        let mut reward = f64::from(
            action.iter().fold(difference as f32, |reward, &value| reward - cost * throttle(value)),
        );
        let mut terminated = false;
        if now.hit || now.x < 0.0 {
            (terminated, reward) = (true, -100.0);
        }
        terminated |= now.x > (TERRAIN_LENGTH - GRASS) as f64 * TERRAIN_STEP;
        Step { reward, terminated, truncated: false }
    }

    fn observation(&self) -> &[f32] {
        &self.observation
    }

    fn draw(&self) -> Option<Frame> {
        let Bodies { scene, hull, legs, .. } = self.bodies.as_ref()?;
        let scroll = scene.state(*hull).x - WIDTH / 5.0;
        let mut canvas = Canvas::new(600, 400)?;
        canvas.polygon(&[(0.0, 0.0), (0.0, 400.0), (600.0, 400.0), (600.0, 0.0)], [215, 215, 255]);
        let pixel = |(x, y): Pair, scroll: f64| ((x - scroll) * SCALE, y * SCALE);
        let visible = |corners: &[Pair]| {
            corners.iter().any(|(x, _)| (-50.0..650.0).contains(x))
                && corners.iter().all(|(x, y)| x.abs() < 1e4 && y.abs() < 1e4)
        };
        for cloud in &self.clouds {
            // Clouds are farther away.
            let corners = cloud.map(|corner| pixel(corner, scroll / 2.0));
            if visible(&corners) {
                canvas.polygon(&corners, [255, 255, 255]);
            }
        }
        for (i, heights) in self.ground.windows(2).enumerate() {
            let (left, right) = (i as f64 * TERRAIN_STEP, (i + 1) as f64 * TERRAIN_STEP);
            let corners = [(left, heights[0]), (right, heights[1]), (right, 0.0), (left, 0.0)]
                .map(|corner| pixel(corner, scroll));
            if visible(&corners) {
                canvas.polygon(&corners, [102, 153, 76]);
                canvas.polyline(&corners[..2], 2.0, [76, if i % 2 == 0 { 255 } else { 204 }, 76]);
            }
        }
        let mut draw = |body: Body, corners: &[Pair], color: Rgb| {
            let state = scene.state(body);
            let place = |&corner: &Pair| {
                let (x, y) = rotate(corner, state.angle);
                pixel((x + state.x, y + state.y), scroll)
            };
            let corners: Vec<_> = corners.iter().map(place).collect();
            if visible(&corners) {
                canvas.polygon(&corners, color);
            }
        };
        let rectangle = |(w, h): Pair| [(-w, -h), (w, -h), (w, h), (-w, h)];
        let (upper, lower) = (rectangle((LEG.0 / 2.0, LEG.1 / 2.0)), rectangle((0.4 * LEG.0, LEG.1 / 2.0)));
        for (side, color) in [(0, [178, 101, 152]), (1, [128, 51, 102])] {
            draw(legs[2 * side], &upper, color);
            draw(legs[2 * side + 1], &lower, color);
        }
        draw(*hull, &HULL.map(|(x, y)| (x / SCALE, y / SCALE)), [127, 51, 229]);
        let flag = (TERRAIN_STEP * 3.0, TERRAIN_HEIGHT);
        let (x, y) = pixel(flag, scroll);
        if (-50.0..650.0).contains(&x) {
            canvas.line((x, y), (x, y + 50.0), [0, 0, 0]);
            canvas.polygon(&[(x, y + 50.0), (x, y + 40.0), (x + 25.0, y + 45.0)], [230, 51, 0]);
        }
        Some(canvas.into_frame())
    }
}

pub(super) fn make(kwargs: &Kwargs) -> Result<Box2dEnv, EnvError> {
    KwargReader::new(ID, kwargs, &[])?;
    Ok(Box2dEnv::new(Walker::new()))
}
