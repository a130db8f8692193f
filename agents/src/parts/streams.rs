//! Random streams in a saved state.

use crate::AgentError;
use relax_envs::EnvRng;
use relax_nn::{StateDict, StateTensor};

/// Words that one stream is saved as.
const WORDS: usize = 6;

/// Adds the positions of streams to a state, as the array `name`.
pub fn save(state: &mut StateDict, name: &str, streams: &[EnvRng]) {
    state.insert(name, StateTensor::U64(streams.iter().flat_map(EnvRng::state).collect()));
}

/// The N streams that [`save`] wrote as `name`.
///
/// # Errors
/// If the array is missing, of another length, or not what a stream can be.
pub fn restore<const N: usize>(state: &StateDict, name: &str) -> Result<[EnvRng; N], AgentError> {
    let words = state.u64(name)?;
    let (streams, rest) = words.as_chunks::<WORDS>();
    let read = |words: &[u64; WORDS]| EnvRng::from_state(*words);
    let streams = streams.iter().map(read).collect::<Result<Vec<_>, _>>();
    let streams = streams.map_err(|error| AgentError::Config(error.to_string()))?;
    let found = words.len();
    streams.try_into().ok().filter(|_: &[EnvRng; N]| rest.is_empty()).ok_or_else(|| {
        let message =
            format!("the checkpoint's array {name} has {found} numbers; {N} streams have {}", N * WORDS);
        AgentError::Config(message)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn streams_go_on_and_other_numbers_of_them_are_refused() {
        let mut streams = [EnvRng::from_seed(1), EnvRng::from_seed(2)];
        streams[1].standard_normal();
        let mut state = StateDict::new();
        save(&mut state, "streams", &streams);
        let mut restored: [EnvRng; 2] = restore(&state, "streams").unwrap();
        assert_eq!(restored[1].next_u64(), streams[1].next_u64());
        for refused in [restore::<1>(&state, "streams").is_err(), restore::<2>(&state, "other").is_err()] {
            assert!(refused);
        }
        state.insert("streams", StateTensor::U64(vec![0; 13]));
        assert!(restore::<2>(&state, "streams").is_err());
    }
}
