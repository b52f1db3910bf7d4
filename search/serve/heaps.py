"""How many heaps malloc parts its memory into."""

import ctypes

M_ARENA_MAX = -8  # of glibc's <malloc.h>
HEAPS = 2


def limit() -> None:
    """Have all threads of this process allocate from HEAPS heaps, where malloc is glibc's.

    It has eight a core: what one thread has freed, another does not use again, so that the memory
    of a server grows for hours. Call it before there are threads.
    """
    try:
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return
