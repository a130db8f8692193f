"""The Python of the documentation runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


def test_estimators_from_python(capsys):
    text = (Path(__file__).parents[2] / "docs" / "estimators-python.md").read_text(encoding="utf-8")
    exec("".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)), {})
    [printed] = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert capsys.readouterr().out.splitlines()[-1][:20] == printed.splitlines()[-1][:20]


def test_one_run_on_many_machines(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    code, _ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)  # the other is test_ray.py's matter
    (tmp_path / "spread.py").write_text(code, encoding="utf-8")  # its processes import the file again
    run = subprocess.run([sys.executable, "spread.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["True"]), run.stderr


def test_minimise_what_you_can_only_call(capsys):
    pytest.importorskip("sklearn", reason="scripts/setup-python examples installs it")
    text = (Path(__file__).parents[2] / "docs" / "minimise.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    scope = {}
    exec(code, scope)
    found = scope["found"]
    assert len(found.history) == 300
    assert found.value < scope["error"](dict.fromkeys(range(30), True)) - 0.01
    assert "all features" in capsys.readouterr().out
