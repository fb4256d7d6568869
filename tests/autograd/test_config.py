"""Configuration: values come back after a block, and belong to their thread."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest

from rlcore.autograd import Variable, config, global_config, using_config


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


@pytest.mark.fault(48)
def test_a_value_belongs_to_its_thread():
    seen = []
    with using_config("train", False):
        thread = threading.Thread(target=lambda: seen.append(config.train))
        thread.start()
        thread.join()
    assert seen == [True]


def test_names_of_your_own():
    with pytest.raises(AttributeError):
        _ = config.user_depth
    with using_config("user_depth", 3):
        assert config.user_depth == 3
    with pytest.raises(AttributeError):
        _ = config.user_depth
    with pytest.raises(ValueError, match="config: unknown name 'depth'"):
        config.depth = 3


def test_a_global_value_is_every_threads_that_has_no_own():
    seen = []
    global_config.train = False
    try:
        assert config.train is False
        assert global_config.train is False
        with using_config("train", True):
            assert config.train is True
            thread = threading.Thread(target=lambda: seen.append(config.train))
            thread.start()
            thread.join()
        assert config.train is False
    finally:
        global_config.train = True
    assert seen == [False]
    assert config.train is True
    with pytest.raises(ValueError, match="global_config: debug belongs to a thread"):
        global_config.debug = True
    with pytest.raises(ValueError, match="config: debug is not set but entered"):
        config.debug = True


def test_enable_backprop():
    x = Variable(np.ones(2))
    assert config.enable_backprop
    with using_config("enable_backprop", False):
        assert not config.enable_backprop
        assert not (x * 2).requires_grad
        with using_config("enable_backprop", True):
            assert (x * 2).requires_grad
    assert config.enable_backprop


def test_show():
    file = io.StringIO()
    with using_config("user_x", "y"):
        config.show(file)
    assert file.getvalue().splitlines() == [
        "debug           False",
        "dtype           float32",
        "enable_backprop True",
        "in_recomputing  False",
        "train           True",
        "user_x          y",
    ]
