"""What a user can name is documented where they look."""

import inspect

import gymnasium
import pytest

import relax_rl
from relax_rl import envs, estimators

PUBLIC = [(relax_rl, name) for name in relax_rl.__all__] + [(estimators, name) for name in estimators.__all__]
PUBLIC += [(envs, "Native"), (envs, "NativeVector")]
OTHERS = (object, tuple, Exception, RuntimeError, gymnasium.Env, gymnasium.vector.VectorEnv)
INHERITED = {name for other in OTHERS for name in dir(other)}


@pytest.mark.parametrize("where, name", PUBLIC, ids=[name for _, name in PUBLIC])
def test_what_is_public_is_documented(where, name):
    of = getattr(where, name)
    if inspect.isclass(of):
        undocumented = [
            member
            for member, value in vars(of).items()
            if not member.startswith("_") and member not in INHERITED and callable(value) and not inspect.getdoc(value)
        ]
        assert not undocumented, f"{name}: {undocumented}"
    if callable(of) or inspect.ismodule(of):
        assert inspect.getdoc(of), f"{name} has no docstring"
