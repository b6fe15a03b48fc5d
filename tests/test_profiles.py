"""Profiles: the one that comes along, and files that are wrong."""

from __future__ import annotations

import msgspec
import pytest

from edgeaudio.errors import ConfigError
from edgeaudio.profiles import Budgets, Profile, list_profiles, load_profile


def test_the_generic_profile_is_the_default():
    shipped = load_profile()
    assert msgspec.structs.replace(shipped, budgets=Budgets()) == Profile()


@pytest.mark.parametrize("name", list_profiles())
def test_every_profile_that_comes_along_loads_under_its_name(name):
    assert load_profile(name).name == name


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'generic'"):
        load_profile("genric")


def test_a_file_is_a_profile_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nhop_ms: 40\n")
    assert load_profile(path) == load_profile(str(path)) == Profile(name="mine", hop_ms=40)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hop_msec: 80", "hop_msec.*\n.*Did you mean 'hop_ms'"),
        ("hop_ms: 5", "hop_ms"),
        ("max_lag_ms: long", "max_lag_ms"),
        ("threshold: 0.5", "threshold"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path, text, complaint):
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\n{text}\n")
    with pytest.raises(ConfigError, match=f"(?s)mine.yaml.*{complaint}"):
        load_profile(path)
