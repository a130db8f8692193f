//! `Model` and `Simulation`: MuJoCo's model and data behind safe methods.

use std::ffi::{CString, c_char, c_int};
use std::ptr::{NonNull, null};
use std::sync::Arc;

use super::fields::{Field, Fields};
use super::library::{Library, RawData, RawModel, library, text};
use crate::EnvError;

/// The bits of `mjtState` that are used; equal in 3.17 and 4.0.
const TIME: c_int = 1;
const QPOS: c_int = 1 << 1;
const QVEL: c_int = 1 << 2;
const WARMSTART: c_int = 1 << 5;
const CTRL: c_int = 1 << 6;

/// What a simulation continues from, bit for bit. Our models have no activations, applied forces or mocap bodies, and
/// the controls are set anew in each step.
const SAVED: c_int = TIME | QPOS | QVEL | WARMSTART;

/// MuJoCo takes larger numbers for a sign of divergence (`mjMAXVAL`).
pub(super) const LARGEST: f64 = 1e10;

/// A compiled model. It never changes, so that any number of simulations share it.
pub(super) struct Model {
    library: &'static Library,
    raw: NonNull<RawModel>,
    pub(super) nq: usize,
    pub(super) nv: usize,
    pub(super) nu: usize,
}

// SAFETY: nothing writes to an mjModel after its compilation, and MuJoCo keeps no thread of its own for it.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Compiles a model from XML.
    ///
    /// # Errors
    ///
    /// No library; what the compiler says.
    pub(super) fn compile(xml: &str) -> Result<Self, EnvError> {
        // The compiler keeps a cache of its own that all threads share; one at a time costs nothing here.
        static COMPILER: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one = COMPILER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

        let library = library()?;
        let failed = |reason: String| EnvError::MissingLibrary { library: "MuJoCo".to_owned(), reason };
        let source = CString::new(xml).map_err(|_| failed("the model has a zero byte".to_owned()))?;
        let mut error = [0 as c_char; 1000];
        // SAFETY: the strings end with a zero, the length is that of the buffer, and each pointer is used and freed once.
        let raw = unsafe {
            let spec = (library.mj_parseXMLString)(
                source.as_ptr(),
                null(),
                error.as_mut_ptr(),
                error.len() as c_int,
            );
            if spec.is_null() {
                return Err(failed(format!("it cannot read the model: {}", text(error.as_ptr()))));
            }
            let model = (library.mj_compile)(spec, null());
            (library.mj_deleteSpec)(spec);
            NonNull::new(model).ok_or_else(|| failed("it cannot compile the model".to_owned()))?
        };
        // SAFETY: `raw` is a model.
        let size = |part: c_int| unsafe { (library.mj_stateSize)(raw.as_ptr(), part) }.max(0) as usize;
        let (nq, nv, nu) = (size(QPOS), size(QVEL), size(CTRL));
        Ok(Self { library, raw, nq, nv, nu })
    }

    /// MuJoCo's version, 3017000 for 3.17.0.
    pub(super) fn version(&self) -> u32 {
        self.library.version
    }

    pub(super) fn raw(&self) -> NonNull<RawModel> {
        self.raw
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the simulations hold an `Arc` of it, so that none is left.
        unsafe { (self.library.mj_deleteModel)(self.raw.as_ptr()) }
    }
}

/// One simulation of a model.
pub(super) struct Simulation {
    model: Arc<Model>,
    raw: NonNull<RawData>,
    /// Positions and velocities, `[nq + nv]`, as they stand in the library's memory.
    state: Vec<f64>,
    /// `[nu]`.
    controls: Vec<f64>,
    fields: Option<Fields>,
}

// SAFETY: an mjData belongs to no thread; it is used by one at a time, which `&mut self` sees to. The pointers of
// `fields` point into the same mjData and its model.
unsafe impl Send for Simulation {}

impl Simulation {
    /// A simulation in the model's initial state.
    ///
    /// # Errors
    ///
    /// No memory.
    pub(super) fn new(model: Arc<Model>) -> Result<Self, EnvError> {
        // SAFETY: `model.raw` is a model.
        let raw = unsafe { (model.library.mj_makeData)(model.raw.as_ptr()) };
        let raw = NonNull::new(raw).ok_or_else(|| EnvError::MissingLibrary {
            library: "MuJoCo".to_owned(),
            reason: "it cannot make a simulation of the model".to_owned(),
        })?;
        let (state, controls) = (vec![0.0; model.nq + model.nv], vec![0.0; model.nu]);
        let mut simulation = Self { model, raw, state, controls, fields: None };
        simulation.read_state();
        Ok(simulation)
    }

    /// Makes [`field`](Self::field) usable.
    ///
    /// # Errors
    ///
    /// A version of MuJoCo whose layout is not known here.
    pub(super) fn with_fields(mut self, env: &str) -> Result<Self, EnvError> {
        self.forward();
        let first = self.body_point(1, [0.0; 3]);
        self.fields = Some(Fields::locate(env, &self.model, self.raw, first)?);
        Ok(self)
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    fn read_state(&mut self) {
        // SAFETY: the buffer has the size of the two parts.
        unsafe {
            let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
            (self.model.library.mj_getState)(model, data, self.state.as_mut_ptr(), QPOS | QVEL);
        }
    }

    fn forward(&mut self) {
        // SAFETY: model and data belong together, here and in the other methods.
        unsafe { (self.model.library.mj_forward)(self.model.raw.as_ptr(), self.raw.as_ptr()) }
    }

    /// Positions, `[nq]`.
    pub(super) fn qpos(&self) -> &[f64] {
        &self.state[..self.model.nq]
    }

    /// Velocities, `[nv]`.
    pub(super) fn qvel(&self) -> &[f64] {
        &self.state[self.model.nq..]
    }

    /// Back to the model's initial state, with these positions and velocities.
    pub(super) fn reset(&mut self, state: &[f64]) {
        debug_assert_eq!(state.len(), self.state.len());
        // SAFETY: `state` has the size of the two parts.
        unsafe {
            let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
            (self.model.library.mj_resetData)(model, data);
            (self.model.library.mj_setState)(model, data, state.as_ptr(), QPOS | QVEL);
        }
        self.forward();
        self.read_state();
    }

    /// `frames` steps under constant controls.
    pub(super) fn step(&mut self, controls: &[f32], frames: u32) {
        for (to, from) in self.controls.iter_mut().zip(controls) {
            *to = f64::from(*from);
        }
        // SAFETY: `controls` has the size of its part.
        unsafe {
            let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
            (self.model.library.mj_setState)(model, data, self.controls.as_ptr(), CTRL);
            for _ in 0..frames {
                (self.model.library.mj_step)(model, data);
            }
            if self.fields.is_some() {
                (self.model.library.mj_rnePostConstraint)(model, data);
            }
        }
        self.read_state();
    }

    /// The controls of the last step, `[nu]`.
    pub(super) fn controls(&self) -> &[f64] {
        &self.controls
    }

    /// Where a point of a body is in the world.
    pub(super) fn body_point(&self, body: usize, point: [f64; 3]) -> [f64; 3] {
        const IDENTITY: [f64; 4] = [1.0, 0.0, 0.0, 0.0];
        // mjSAMEFRAME_BODY copies the body's own position; mjSAMEFRAME_NONE computes as MuJoCo does for its sites.
        let same_frame = u8::from(point == [0.0; 3]);
        let (mut position, mut orientation) = ([0.0; 3], [0.0; 9]);
        // SAFETY: the arrays have the lengths that the function asks for; it reads mjData alone, and callers name bodies
        // that the models have.
        unsafe {
            (self.model.library.mj_local2Global)(
                self.raw.as_ptr(),
                position.as_mut_ptr(),
                orientation.as_mut_ptr(),
                point.as_ptr(),
                IDENTITY.as_ptr(),
                body as c_int,
                same_frame,
            );
        }
        position
    }

    /// A derived quantity; empty without [`with_fields`](Self::with_fields).
    pub(super) fn field(&self, field: Field) -> &[f64] {
        // SAFETY: `fields` was made for this simulation, and MuJoCo does not move its arrays.
        self.fields.as_ref().map_or(&[], |fields| unsafe { fields.get(field) })
    }

    /// Appends what [`load`](Self::load) needs.
    pub(super) fn save(&self, state: &mut Vec<f64>) {
        let start = state.len();
        state.resize(start + self.saved_len(), 0.0);
        // SAFETY: the buffer has the size of the parts.
        unsafe {
            let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
            (self.model.library.mj_getState)(model, data, state[start..].as_mut_ptr(), SAVED);
        }
    }

    /// Numbers that [`save`](Self::save) appends.
    pub(super) fn saved_len(&self) -> usize {
        1 + self.model.nq + 2 * self.model.nv
    }

    /// Goes to a saved state, of `saved_len` numbers.
    pub(super) fn load(&mut self, state: &[f64]) {
        debug_assert_eq!(state.len(), self.saved_len());
        // SAFETY: the buffer has the size of the parts. The kinematics are for pictures; they touch nothing that a step
        // depends on.
        unsafe {
            let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
            (self.model.library.mj_resetData)(model, data);
            (self.model.library.mj_setState)(model, data, state.as_ptr(), SAVED);
            (self.model.library.mj_kinematics)(model, data);
        }
        self.read_state();
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // SAFETY: nothing else has the pointer.
        unsafe { (self.model.library.mj_deleteData)(self.raw.as_ptr()) }
    }
}
