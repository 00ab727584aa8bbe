"""Names of logs: the client finds the files that the job's own process made."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgpu.client import logs
from mgpu.privileged import output

ME = pwd.getpwuid(os.getuid())
LOG: dict[str, Any] = {
    "id": 43, "array": 0, "tasks": "", "user": ME.pw_name, "name": "a/b", "cwd": "/srv",
    "output": "", "error": "",
}  # fmt: skip
TEXT = st.text("%jAarxuNq0194./é\n-", max_size=12)


@given(TEXT, TEXT, st.integers(0, 10**6))
def test_a_pattern_is_what_the_process_of_the_job_makes_of_it(
    pattern: str, name: str, number: int
) -> None:
    values: dict[str, int | str] = {"j": number, "x": name}
    encoded = {k.encode(): v if isinstance(v, int) else v.encode() for k, v in values.items()}
    assert logs.expand(pattern, values).encode() == output.expand(pattern.encode(), encoded)


@pytest.mark.parametrize("array", [None, (42, 7)])
def test_the_default_is_the_one_of_the_process_of_the_job(array: tuple[int, int] | None) -> None:
    log = LOG if array is None else LOG | {"array": array[0], "tasks": str(array[1])}
    expected = output.default_path(os.fsencode(ME.pw_dir), 43, array)
    assert os.fsencode(logs.path_of(log, 0)) == expected
    assert not logs.is_per_run(log)


def test_standard_error_is_in_the_same_file_unless_it_has_its_own() -> None:
    log = LOG | {"output": "%j-%r.out"}
    assert logs.path_of(log, 1, error=True) == logs.path_of(log, 1) == "/srv/43-1.out"
    assert logs.is_per_run(log)
    log |= {"error": "/tmp/%x.%A.%a"}
    assert logs.path_of(log, 1, error=True) == "/tmp/a_b.43.0"
    assert not logs.is_per_run(log, error=True)
