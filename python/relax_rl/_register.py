"""Registers the native environments in Gymnasium."""

from gymnasium.envs import registration

from ._relax_rl import specs


def register() -> None:
    """Registers `relax_rl/NAME` for every native environment, once."""
    for id, max_episode_steps, reward_threshold, _ in specs():
        name = f"relax_rl/{id}"
        if name not in registration.registry:
            registration.register(
                id=name,
                entry_point="relax_rl.envs:Native",
                vector_entry_point="relax_rl.envs:NativeVector",
                max_episode_steps=max_episode_steps,
                reward_threshold=reward_threshold,
                kwargs={"native_id": id},
            )
