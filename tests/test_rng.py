"""Generators: the same seed, the same numbers; states go through JSON; nothing is NumPy's global one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlcore.rng import default, generator, restore, seed, spawn, state_of, using


def test_a_seed_gives_its_stream():
    assert generator(5).random(4).tolist() == generator(5).random(4).tolist()
    assert generator(5).random(4).tolist() != generator(6).random(4).tolist()
    assert generator(0).random(3).tolist() == np.random.Generator(np.random.PCG64(0)).random(3).tolist()
    assert generator(2**200).random() != generator(2**200 + 1).random()


def test_spawned_streams_differ_and_come_again():
    first, second = [[rng.random() for rng in spawn(7, 3)] for _ in range(2)]
    assert first == second
    assert len({*first, generator(7).random()}) == 4
    assert [rng.random() for rng in spawn(7, 2)] == first[:2]  # more streams move no earlier one


def test_a_state_goes_through_json():
    rng = generator(1)
    rng.integers(10, size=3, dtype=np.int32)  # leaves half a word behind
    saved = json.loads(json.dumps(state_of(rng)))
    expected = rng.integers(10, size=3, dtype=np.int32).tolist(), rng.standard_normal(2).tolist()
    other = generator(2)
    restore(other, saved)
    assert (other.integers(10, size=3, dtype=np.int32).tolist(), other.standard_normal(2).tolist()) == expected


def test_a_state_is_a_copy():
    rng = generator(1)
    saved = state_of(rng)
    rng.random()
    assert state_of(rng) != saved


def test_a_state_of_another_kind_is_refused():
    other = np.random.Generator(np.random.Philox(0))
    with pytest.raises(ValueError, match="random state is of 'Philox', this generator is a PCG64"):
        restore(generator(0), state_of(other))
    with pytest.raises(ValueError, match="random state is of None"):
        restore(generator(0), {})


def test_the_librarys_own_generator():
    own = default()
    seed(3)
    assert default() is own
    assert own.random(3).tolist() == generator(3).random(3).tolist()


def test_another_generator_may_stand_in():
    before = state_of(default())
    with using(generator(3)):
        assert default().random() == generator(3).random()
    assert state_of(default()) == before
