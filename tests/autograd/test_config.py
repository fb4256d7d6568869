"""Configuration: values come back after a block, and belong to their thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rlcore.autograd import config, using_config


def test_a_value_comes_back():
    assert config.train is True
    with using_config("train", False):
        assert config.train is False
        with using_config("train", True):
            assert config.train is True
        assert config.train is False
    assert config.train is True
    with pytest.raises(KeyError), using_config("train", False):
        raise KeyError
    assert config.train is True


def test_dtype():
    assert config.dtype == np.float32
    with using_config("dtype", "float16"):
        assert config.dtype == np.dtype(np.float16)
    assert config.dtype == np.float32


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="using_config: unknown name 'trian'; known are"), using_config("trian", False):
        pass


def test_a_value_belongs_to_its_thread():
    seen = []
    with using_config("train", False):
        thread = threading.Thread(target=lambda: seen.append(config.train))
        thread.start()
        thread.join()
    assert seen == [True]
