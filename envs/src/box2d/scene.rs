//! `Scene`: a Box2D world behind safe methods. Bodies and joints are numbers in the order of their creation.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Once;

/// How a fixture behaves; Box2D collides two of them if each one's mask has the other's category.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Surface {
    pub(super) density: f32,
    pub(super) friction: f32,
    pub(super) restitution: f32,
    pub(super) category: u16,
    pub(super) mask: u16,
}

impl Surface {
    /// Fixed ground, which collides with everything.
    pub(super) fn ground(friction: f32) -> Self {
        Self { density: 0.0, friction, restitution: 0.0, category: 1, mask: 0xffff }
    }

    /// A part of a body, which collides with the ground alone. 0.2 is Box2D's own friction.
    pub(super) fn part(density: f32, friction: f32, category: u16) -> Self {
        Self { density, friction, restitution: 0.0, category, mask: 1 }
    }
}

unsafe extern "C" {
    fn relax_scene_new(gravity: f32) -> *mut c_void;
    fn relax_scene_delete(scene: *mut c_void);
    fn relax_scene_body(scene: *mut c_void, dynamic: c_int, x: f32, y: f32, angle: f32) -> c_int;
    fn relax_scene_fixture(
        scene: *mut c_void,
        body: c_int,
        points: *const f32,
        count: c_int,
        surface: *const Surface,
    );
    fn relax_scene_hinge(
        scene: *mut c_void,
        a: c_int,
        b: c_int,
        anchors: *const f32,
        lower: f32,
        upper: f32,
        torque: f32,
        speed: f32,
    ) -> c_int;
    fn relax_scene_motor(scene: *mut c_void, joint: c_int, speed: f32, torque: f32);
    fn relax_scene_force(scene: *mut c_void, body: c_int, x: f32, y: f32, torque: f32);
    fn relax_scene_impulse(scene: *mut c_void, body: c_int, x: f32, y: f32, at_x: f32, at_y: f32);
    fn relax_scene_step(
        scene: *mut c_void,
        seconds: f32,
        velocity_iterations: c_int,
        position_iterations: c_int,
    );
    fn relax_scene_state(scene: *const c_void, body: c_int, state: *mut f32) -> c_int;
    fn relax_scene_joint(scene: *const c_void, joint: c_int, state: *mut f32);
    fn relax_scene_ray(scene: *const c_void, x1: f32, y1: f32, x2: f32, y2: f32) -> f32;
}

/// What the games run at: steps in a second.
pub(super) const RATE: f64 = 50.0;

/// A pair of coordinates, as Python's floats have them; Box2D takes them as float32.
pub(super) type Pair = (f64, f64);

/// A body of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Body(c_int);

/// A joint of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Joint(c_int);

/// Where a body is and what has happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BodyState {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) angle: f64,
    pub(super) velocity_x: f64,
    pub(super) velocity_y: f64,
    pub(super) angular_velocity: f64,
    pub(super) awake: bool,
    /// It has touched something.
    pub(super) hit: bool,
    /// It touches something, by the last event of a contact alone: when one of two contacts ends, this is cleared.
    pub(super) contact: bool,
}

/// A Box2D world. Its bodies and joints belong to it: each method takes those that it made.
pub(super) struct Scene(NonNull<c_void>);

// SAFETY: a world belongs to no thread; `&mut self` lets one at a time change it, and it keeps nothing of a thread's.
unsafe impl Send for Scene {}

impl Scene {
    /// An empty world.
    pub(super) fn new(gravity: f64) -> Self {
        // Box2D fills its tables at the first contact, without a lock: one world goes ahead of all others.
        static TABLES: Once = Once::new();
        TABLES.call_once(|| {
            let mut first = Self::raw(-10.0);
            let (ground, ball) = (first.body(false, (0.0, 0.0), 0.0), first.body(true, (0.0, 0.5), 0.0));
            first.shape(ground, &[(-5.0, 0.0), (5.0, 0.0)], Surface::ground(0.2));
            first.shape(ball, &[(-1.0, -1.0), (1.0, -1.0), (0.0, 1.0)], Surface::part(1.0, 0.2, 2));
            (0..3).for_each(|_| first.step());
        });
        Self::raw(gravity)
    }

    fn raw(gravity: f64) -> Self {
        // SAFETY: no arguments that matter.
        let scene = NonNull::new(unsafe { relax_scene_new(gravity as f32) });
        // As Rust's own allocations do when memory is out.
        Self(
            scene.unwrap_or_else(|| {
                std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 16]>())
            }),
        )
    }

    pub(super) fn body(&mut self, dynamic: bool, (x, y): Pair, angle: f64) -> Body {
        // SAFETY: the scene lives, here and in the other methods.
        Body(unsafe {
            relax_scene_body(self.0.as_ptr(), c_int::from(dynamic), x as f32, y as f32, angle as f32)
        })
    }

    /// Adds a fixture: an edge between two corners, or a convex polygon of three to eight.
    pub(super) fn shape(&mut self, body: Body, corners: &[Pair], surface: Surface) {
        debug_assert!((2..=8).contains(&corners.len()));
        let mut points = [0.0; 16];
        for (to, (x, y)) in points.as_chunks_mut::<2>().0.iter_mut().zip(corners) {
            *to = [*x as f32, *y as f32];
        }
        let count = corners.len().min(8) as c_int;
        // SAFETY: `points` has the corners, and `body` is of this scene.
        unsafe { relax_scene_fixture(self.0.as_ptr(), body.0, points.as_ptr(), count, &surface) }
    }

    /// Adds a box of the given half sizes.
    pub(super) fn rectangle(&mut self, body: Body, (half_width, half_height): Pair, surface: Surface) {
        let points = [half_width as f32, half_height as f32];
        // SAFETY: without corners, two numbers are read.
        unsafe { relax_scene_fixture(self.0.as_ptr(), body.0, points.as_ptr(), 0, &surface) }
    }

    /// Joins two bodies at a point of each.
    pub(super) fn hinge(
        &mut self,
        [a, b]: [Body; 2],
        [at_a, at_b]: [Pair; 2],
        (lower, upper): Pair,
        (torque, speed): Pair,
    ) -> Joint {
        let anchors = [at_a.0, at_a.1, at_b.0, at_b.1].map(|value| value as f32);
        // SAFETY: four numbers, and bodies of this scene.
        Joint(unsafe {
            relax_scene_hinge(
                self.0.as_ptr(),
                a.0,
                b.0,
                anchors.as_ptr(),
                lower as f32,
                upper as f32,
                torque as f32,
                speed as f32,
            )
        })
    }

    pub(super) fn motor(&mut self, joint: Joint, speed: f32, torque: f32) {
        // SAFETY: a joint of this scene.
        unsafe { relax_scene_motor(self.0.as_ptr(), joint.0, speed, torque) }
    }

    /// A force at the centre of mass and a torque, for the next step.
    pub(super) fn push(&mut self, body: Body, (x, y): Pair, torque: f64) {
        // SAFETY: a body of this scene, here and below.
        unsafe { relax_scene_force(self.0.as_ptr(), body.0, x as f32, y as f32, torque as f32) }
    }

    pub(super) fn impulse(&mut self, body: Body, (x, y): Pair, (at_x, at_y): Pair) {
        // SAFETY: as above.
        unsafe {
            relax_scene_impulse(self.0.as_ptr(), body.0, x as f32, y as f32, at_x as f32, at_y as f32);
        }
    }

    /// One fiftieth of a second.
    pub(super) fn step(&mut self) {
        // SAFETY: as above.
        unsafe { relax_scene_step(self.0.as_ptr(), (1.0 / RATE) as f32, 6 * 30, 2 * 30) }
    }

    pub(super) fn state(&self, body: Body) -> BodyState {
        let mut state = [0.0; 6];
        // SAFETY: six numbers are written.
        let flags = unsafe { relax_scene_state(self.0.as_ptr(), body.0, state.as_mut_ptr()) };
        let [x, y, angle, velocity_x, velocity_y, angular_velocity] = state.map(f64::from);
        let [awake, hit, contact] = [1, 2, 4].map(|bit| flags & bit != 0);
        BodyState { x, y, angle, velocity_x, velocity_y, angular_velocity, awake, hit, contact }
    }

    /// Angle and angular velocity.
    pub(super) fn joint(&self, joint: Joint) -> Pair {
        let mut state = [0.0; 2];
        // SAFETY: two numbers are written.
        unsafe { relax_scene_joint(self.0.as_ptr(), joint.0, state.as_mut_ptr()) };
        (f64::from(state[0]), f64::from(state[1]))
    }

    /// The part of the way between two points up to the first ground; 1 if there is none.
    pub(super) fn ray(&self, from: Pair, to: Pair) -> f64 {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(|value| value as f32);
        // SAFETY: as above.
        f64::from(unsafe { relax_scene_ray(self.0.as_ptr(), x1, y1, x2, y2) })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // SAFETY: nothing else has the pointer.
        unsafe { relax_scene_delete(self.0.as_ptr()) }
    }
}
