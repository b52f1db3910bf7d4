"""Tokenisers in processes of their own: one core by words gives a GPU a quarter of its work.

A process reads requests from its standard input, (texts, length), and writes `Tokens` to its
standard output, each pickled. It ends when its input does, also where the program that started it
was killed.
"""

import json
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .batches import Tokens
from .blas import VARIABLE
from .declaration import read_declaration
from .tokenizer import Tokenizer

# More than a GPU needs are never started. Each holds some 100 MB.
MOST = 12
# Cores that are left to what brings the batches to the GPU.
LEFT = 2

_PIPE_BYTES = 1 << 20  # of a pipe, where the system lets them be chosen: fewer waits
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import serve; serve()"
_BROKEN = (OSError, EOFError, pickle.UnpicklingError)


class TokenizerPool:
    """Threads may share it. A process that fails costs no text: it is tokenised in this one."""

    def __init__(self, tokenizer: Tokenizer, folder: Path) -> None:
        """Start a process for each core but two, 12 at most, with the tokenizer of a model folder.

        `tokenizer`, made of the same folder, takes what no process does.
        """
        self._tokenizer = tokenizer
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self.size = 0
        for _ in range(min(MOST, (os.cpu_count() or 1) - LEFT)):
            try:
                self._idle.put(_Process(folder))
            except OSError:
                break
            self.size += 1

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """As `Tokenizer.encode`, by a process that has nothing else to do."""
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            return self._tokenizer.encode(texts, length)
        try:
            tokens = process.encode(texts, length)
        except _BROKEN:
            process.close()
            return self._tokenizer.encode(texts, length)
        except BaseException:  # it may be in the midst of an answer
            process.close()
            raise
        self._idle.put(process)
        return tokens

    def close(self) -> None:
        """End the processes that have nothing to do; the others end with this one."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


class _Process:
    """One process, for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        program = _PROGRAM.format(__name__)
        # A session of its own: Ctrl-C is for the program that started it.
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(sys.path), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pipesize=_PIPE_BYTES,
            env={**os.environ, VARIABLE: "1"},
        )

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        # Whole: each write to a pipe waits for Python's lock.
        stdin.write(pickle.dumps((texts, length), pickle.HIGHEST_PROTOCOL))
        stdin.flush()
        tokens: Tokens = pickle.load(stdout)
        return tokens

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """What a process does: tokenise with the tokenizer of the folder it is given, to the end."""
    tokenizer = Tokenizer(read_declaration(Path(sys.argv[2])))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            texts, length = pickle.load(requests)
        except EOFError:
            return
        tokens = tokenizer.encode(texts, length)
        # Half the bytes; batches have them in 64 bits again.
        tokens = Tokens(tokens.ids.astype(np.int32), tokens.types, tokens.sizes)
        answers.write(pickle.dumps(tokens, pickle.HIGHEST_PROTOCOL))
        answers.flush()
