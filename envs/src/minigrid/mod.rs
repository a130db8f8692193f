//! MiniGrid's small worlds, native: Empty, DoorKey, FourRooms, LavaCrossing and SimpleCrossing.
//!
//! Rules, observations, rewards, layouts by seed and pictures are those of minigrid 3.2.0 (Chevalier-Boisvert et al. 2023,
//! arXiv:2306.13831), whose code is under the Apache licence 2.0 (`THIRD_PARTY_NOTICES.md`). The observation is the
//! `image` of MiniGrid's dictionary alone, as its `ImgObsWrapper` gives it: the direction is always upwards in it, and the
//! mission of each of these tasks never changes.
//!
//! | file | holds |
//! | --- | --- |
//! | `env.rs` | [`MiniGrid`]: actions, rewards, ends |
//! | `grid.rs` | cells, and what of them the agent sees |
//! | `layouts.rs` | how an episode's grid is drawn |
//! | `render.rs` | pictures |

mod env;
mod grid;
mod layouts;
mod render;

pub use env::MiniGrid;
pub use layouts::Layout;

use crate::{EnvSpec, KwargReader};

/// What the registry has of MiniGrid.
pub(crate) fn specs() -> Vec<EnvSpec> {
    let sizes = [5, 6, 8, 16];
    let empty = sizes.map(|size| (format!("Empty-{size}x{size}"), Layout::Empty { size, random: false }));
    let random =
        [5, 6].map(|size| (format!("Empty-Random-{size}x{size}"), Layout::Empty { size, random: true }));
    let door_key = sizes.map(|size| (format!("DoorKey-{size}x{size}"), Layout::DoorKey { size }));
    let crossings =
        [("LavaCrossing", true), ("SimpleCrossing", false)].into_iter().flat_map(|(name, lava)| {
            [(9, 1), (9, 2), (9, 3), (11, 5)].map(|(size, crossings)| {
                (format!("{name}S{size}N{crossings}"), Layout::Crossing { size, crossings, lava })
            })
        });
    let four_rooms = [("FourRooms".to_owned(), Layout::FourRooms)];
    let all = empty.into_iter().chain(random).chain(door_key).chain(crossings).chain(four_rooms);
    all.map(|(name, layout)| {
        let id = format!("MiniGrid-{name}-v0");
        let own = id.clone();
        EnvSpec::new(id, layout.task(), move |kwargs| {
            let reader = KwargReader::new(&own, kwargs, &["max_steps"])?;
            let max_steps = reader.positive("max_steps", i64::from(layout.max_steps()))?;
            Ok(Box::new(MiniGrid::new(own.clone(), layout, max_steps)))
        })
    })
    .collect()
}
