//! `Fields`: the few derived quantities that no C function returns, read from MuJoCo's structures by their offsets.
//!
//! The layout of `mjData` changes with the version, so that offsets are known for the versions below alone, and the
//! position of a body, which a C function returns as well, must come out the same before any of them is believed.

use std::ptr::NonNull;

use super::library::{RawData, RawModel, version_text};
use super::simulation::Model;
use crate::EnvError;

/// A derived quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Forces of the constraints, `[nv]`.
    ConstraintForce,
    /// Forces of the actuators, `[nv]`.
    ActuatorForce,
    /// Contact torques and forces on each body, `[nbody, 6]`.
    ContactForce,
    /// Inertia of each body about its tree's centre of mass, `[nbody, 10]`.
    Inertia,
    /// Rotational and translational velocity of each body, `[nbody, 6]`.
    Velocity,
    /// Centre of mass of each body, `[nbody, 3]`.
    Center,
    /// Mass of each body, `[nbody]`; of the model.
    Mass,
}

/// Bytes from the start of the structure to the pointer of an array, by `offsetof` on the headers of that version.
struct Layout {
    version: u32,
    nbody: usize,
    body_mass: usize,
    xpos: usize,
    xipos: usize,
    cinert: usize,
    cvel: usize,
    qfrc_actuator: usize,
    qfrc_constraint: usize,
    cfrc_ext: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        version: 3_017_000,
        nbody: 48,
        body_mass: 1944,
        xpos: 160_840,
        xipos: 160_864,
        cinert: 160_976,
        cvel: 161_280,
        qfrc_actuator: 161_408,
        qfrc_constraint: 161_432,
        cfrc_ext: 161_464,
    },
    Layout {
        version: 4_000_001,
        nbody: 48,
        body_mass: 1944,
        xpos: 160_848,
        xipos: 160_872,
        cinert: 161_008,
        cvel: 161_296,
        qfrc_actuator: 161_424,
        qfrc_constraint: 161_448,
        cfrc_ext: 161_480,
    },
];

/// Where the arrays of one simulation are: pointer and length, by [`Field`].
pub(super) struct Fields([(NonNull<f64>, usize); 7]);

impl Fields {
    /// Finds the arrays of `data`; `first_body` is the position of body 1 by MuJoCo's own function.
    ///
    /// # Errors
    ///
    /// A version whose layout is not known, or one that is not laid out as it should be.
    pub(super) fn locate(
        env: &str,
        model: &Model,
        data: NonNull<RawData>,
        first_body: [f64; 3],
    ) -> Result<Self, EnvError> {
        let refuse = |reason: String| EnvError::MissingLibrary {
            library: "MuJoCo".to_owned(),
            reason: format!(
                "`{env}` {reason}; `pip install --no-deps mujoco==3.17.0`, or train on `gym:{env}`"
            ),
        };
        let known = LAYOUTS.iter().find(|layout| layout.version == model.version());
        let Some(layout) = known.filter(|_| cfg!(target_pointer_width = "64")) else {
            let versions = LAYOUTS.map(|layout| version_text(layout.version)).join(" or ");
            let found = version_text(model.version());
            return Err(refuse(format!(
                "reads quantities that no function returns, which needs MuJoCo {versions}, not {found}"
            )));
        };
        let wrong =
            || refuse(format!("does not find its quantities in MuJoCo {}", version_text(layout.version)));
        let (nv, at) = (model.nv, layout);
        // SAFETY: the structures of this version are larger than these offsets.
        let nbody = unsafe { read::<RawModel, i64>(model.raw(), at.nbody) };
        let nbody = usize::try_from(nbody).ok().filter(|&n| (2..1000).contains(&n)).ok_or_else(wrong)?;
        // SAFETY: as above; the pointers are looked at before they are followed.
        let (positions, mass) = unsafe { (pointer(data, at.xpos), pointer(model.raw(), at.body_mass)) };
        let positions = positions.ok_or_else(wrong)?;
        // SAFETY: xpos has three numbers a body, and there are at least two bodies.
        let second: [f64; 3] = std::array::from_fn(|i| unsafe { *positions.as_ptr().add(3 + i) });
        if second != first_body {
            return Err(wrong());
        }
        // SAFETY: as above.
        let of = |offset, len| unsafe { pointer(data, offset) }.map(|start| (start, len)).ok_or_else(wrong);
        Ok(Self([
            of(at.qfrc_constraint, nv)?,
            of(at.qfrc_actuator, nv)?,
            of(at.cfrc_ext, 6 * nbody)?,
            of(at.cinert, 10 * nbody)?,
            of(at.cvel, 6 * nbody)?,
            of(at.xipos, 3 * nbody)?,
            (mass.ok_or_else(wrong)?, nbody),
        ]))
    }

    /// The numbers of `field`.
    ///
    /// # Safety
    ///
    /// The simulation that this was made for is alive, and nothing steps it meanwhile.
    pub(super) unsafe fn get(&self, field: Field) -> &[f64] {
        let (start, len) = self.0[field as usize];
        // SAFETY: `locate` found an array of this length there.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }
}

/// Reads a value at a byte offset.
///
/// # Safety
///
/// The structure is larger, and has a `T` there.
unsafe fn read<S, T: Copy>(structure: NonNull<S>, offset: usize) -> T {
    // SAFETY: as the caller promises.
    unsafe { structure.as_ptr().cast::<u8>().add(offset).cast::<T>().read_unaligned() }
}

/// Reads a pointer to numbers at a byte offset; `None` for what cannot be one.
///
/// # Safety
///
/// The structure is larger than the offset.
unsafe fn pointer<S>(structure: NonNull<S>, offset: usize) -> Option<NonNull<f64>> {
    // SAFETY: as the caller promises.
    let address = unsafe { read::<S, *mut f64>(structure, offset) };
    NonNull::new(address).filter(|address| address.is_aligned())
}
