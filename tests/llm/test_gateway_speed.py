"""Many streams at once: none fails, memory stays flat, and each chunk costs little work.

Times on a wall say more of the machine than of us; `python -m benchmarks.gateway` prints those.
"""

import asyncio

import pytest
from benchmarks import gateway as bench

STREAMS = 200
CHUNK_CPU_S = 0.002  # what may be added to a chunk at the median, all of it work


@pytest.mark.slow
@pytest.mark.must("llm-34")
def test_two_hundred_streams_at_once_in_flat_memory_and_with_little_work():
    with (
        bench.process(["mechagym.testing.provider"], bench.double(20)) as (_, [provider]),
        bench.process(["benchmarks.gateway", "--serve", provider], "") as (child, (url, token)),
    ):

        def many() -> bench.Seen:
            return asyncio.run(bench.streams(url, token, STREAMS, begin_s=1))

        assert many().errors == 0
        before_mb, before_s = bench.resident_mb(child.pid), bench.cpu_s(child.pid)
        rounds = [many() for _ in range(3)]
        used_s = bench.cpu_s(child.pid) - before_s
        assert [seen.errors for seen in rounds] == [0, 0, 0]
        assert [len(seen.first) for seen in rounds] == [STREAMS] * 3
        assert bench.resident_mb(child.pid) - before_mb <= 20
        assert used_s / sum(len(seen.chunks) for seen in rounds) <= CHUNK_CPU_S
