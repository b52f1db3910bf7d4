"""Token vectors to one vector per text.

Every mode but `max` is a weighted sum of the token vectors, so pooling is a matrix made here from
the attention mask; a backend multiplies it with its hidden states, wherever those are.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def parse_modes(pooling: str) -> tuple[str, ...]:
    """`"mean"` or a concatenation such as `"cls+mean"` -> the modes in order.

    Raises UsageError at a mode that is none of MODES.
    """
    modes = tuple(part.strip() for part in pooling.split("+"))
    for mode in modes:
        if mode not in MODES:
            known = ", ".join(MODES)
            raise UsageError(
                f"{mode!r} is no pooling: use one of {known}, or several joined by '+' (cls+mean)"
            )
    return modes


def kept_tokens(mask: NDArray[np.bool_], prompt_tokens: int) -> NDArray[np.bool_]:
    """The tokens that are pooled, [b, t]: those of the mask without the first `prompt_tokens`.

    A text of which nothing would remain keeps all its tokens: an empty sum has no direction.
    """
    if not prompt_tokens:
        return mask
    kept = mask.copy()
    kept[:, :prompt_tokens] = False
    nothing = ~kept.any(axis=1)
    kept[nothing] = mask[nothing]
    return kept


def pooling_weights(kept: NDArray[np.bool_], modes: tuple[str, ...]) -> NDArray[np.float32]:
    """The weight of each token, float32 [b, m, t], for the m modes that are weighted sums.

    cls is the first kept token, lasttoken the last, mean 1/n each, mean_sqrt_len_tokens 1/sqrt(n)
    (Reimers and Gurevych, 2019), weightedmean i / sum(i), i counting from 1 at the text's first
    token, pooled or not (Muennighoff, 2022).
    """
    rows, width = kept.shape
    counts = kept.sum(axis=1, keepdims=True)
    weights = np.zeros((rows, len(modes) - modes.count("max"), width), dtype=np.float32)
    for column, mode in enumerate(mode for mode in modes if mode != "max"):
        if mode == "cls":
            weights[np.arange(rows), column, kept.argmax(axis=1)] = 1
        elif mode == "lasttoken":
            last = width - 1 - kept[:, ::-1].argmax(axis=1)
            weights[np.arange(rows), column, last] = 1
        elif mode == "mean":
            weights[:, column] = kept / counts
        elif mode == "mean_sqrt_len_tokens":
            weights[:, column] = kept / np.sqrt(counts)
        else:
            places = kept * np.arange(1, width + 1)
            weights[:, column] = places / places.sum(axis=1, keepdims=True)
    return weights


def pool(
    hidden: NDArray[np.float32], weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Weighted sums [b, m, d] of hidden states [b, t, d] by `weights` [b, m, t], and their maximum.

    The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None.
    """
    sums: NDArray[np.float32] = weights @ hidden
    if kept is None:
        return sums, None
    return sums, np.where(kept[:, :, None], hidden, np.float32(-np.inf)).max(axis=1)


def single_tokens(weights: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Which token of each text is its vector, [b], by weights [b, m, t]; None where several are.

    So it is for cls and for lasttoken: a model need not compute the last layer for the others.
    """
    if weights.shape[1] != 1 or np.count_nonzero(weights) != len(weights):
        return None
    rows = weights[:, 0]
    places: NDArray[np.int64] = rows.argmax(axis=1)
    return places if (rows[np.arange(len(rows)), places] == 1).all() else None


def concatenate(
    modes: tuple[str, ...], sums: NDArray[np.float32], maximum: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Weighted sums [b, m, d] and the maximum [b, d] -> [b, len(modes) * d], in modes' order."""
    if maximum is None:
        return sums.reshape(len(sums), -1)
    columns = iter(range(sums.shape[1]))
    parts = [maximum if mode == "max" else sums[:, next(columns)] for mode in modes]
    return np.concatenate(parts, axis=1)
