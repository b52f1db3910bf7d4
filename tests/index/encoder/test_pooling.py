"""Pooling by hand: three tokens of a text of four places, the fourth padding."""

import numpy as np
import pytest

from clsearch.index.encoder.pooling import (
    concatenate,
    kept_tokens,
    parse_modes,
    pooling_weights,
    single_tokens,
)
from clsearch.index.errors import UsageError

MASK = np.array([[True, True, True, False], [True, False, False, False]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("cls", [1, 0, 0, 0]),
        ("lasttoken", [0, 0, 1, 0]),
        ("mean", [1 / 3, 1 / 3, 1 / 3, 0]),
        ("mean_sqrt_len_tokens", [3**-0.5, 3**-0.5, 3**-0.5, 0]),
        ("weightedmean", [1 / 6, 2 / 6, 3 / 6, 0]),
    ],
)
def test_weights(mode: str, expected: list[float]) -> None:
    weights = pooling_weights(MASK, (mode,))
    assert weights.shape == (2, 1, 4)
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(weights[1, 0], [1, 0, 0, 0])


def test_a_prompt_is_left_out_and_places_stay_counted() -> None:
    kept = kept_tokens(MASK, 1)
    np.testing.assert_array_equal(kept[0], [False, True, True, False])
    weights = pooling_weights(kept, ("cls", "weightedmean"))
    np.testing.assert_array_equal(weights[0, 0], [0, 1, 0, 0])
    np.testing.assert_allclose(weights[0, 1], [0, 2 / 5, 3 / 5, 0], rtol=1e-6)


def test_a_text_that_is_all_prompt_keeps_its_tokens() -> None:
    np.testing.assert_array_equal(kept_tokens(MASK, 1)[1], MASK[1])
    np.testing.assert_array_equal(kept_tokens(MASK, 9), MASK)
    np.testing.assert_array_equal(MASK[0], [True, True, True, False])


def test_where_one_token_of_each_text_is_its_vector() -> None:
    for mode, expected in (("cls", [0, 0]), ("lasttoken", [2, 0])):
        places = single_tokens(pooling_weights(MASK, (mode,)))
        np.testing.assert_array_equal(places, expected)
    places = single_tokens(pooling_weights(kept_tokens(MASK, 1), ("cls",)))
    np.testing.assert_array_equal(places, [1, 0])
    for modes in (("mean",), ("weightedmean",), ("cls", "lasttoken"), ("max",)):
        assert single_tokens(pooling_weights(MASK, modes)) is None
    # As many weights as texts, but not one each; one each, but not 1.
    assert single_tokens(np.array([[[1, 1]], [[0, 0]]], dtype=np.float32)) is None
    assert single_tokens(np.array([[[0.5, 0]], [[1, 0]]], dtype=np.float32)) is None


def test_concatenation_is_in_the_order_of_the_modes() -> None:
    sums = np.array([[[1, 2], [3, 4]]], dtype=np.float32)
    maximum = np.array([[5, 6]], dtype=np.float32)
    np.testing.assert_array_equal(concatenate(("cls", "mean"), sums, None), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(
        concatenate(("cls", "max", "mean"), sums, maximum), [[1, 2, 5, 6, 3, 4]]
    )


def test_modes_by_name() -> None:
    assert parse_modes("mean") == ("mean",)
    assert parse_modes("cls + mean+max") == ("cls", "mean", "max")
    for wrong in ("", "average", "cls+", "cls,mean"):
        with pytest.raises(UsageError, match="is no pooling: use one of cls, max, mean"):
            parse_modes(wrong)
