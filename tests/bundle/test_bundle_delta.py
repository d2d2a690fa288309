"""A second bundle carries what changed, and nothing else that the receiver has."""

from __future__ import annotations

from tests.bench.bench_delta import Site, made_up, shards
from tests.weights.storage_support import sha


def test_one_wheel_then_one_shard(tmp_path):
    content = shards(4, 400_000)
    site = Site(tmp_path, content, made_up(tmp_path / "wheels", 5, 100_000))
    full = site.bundle("full")
    assert len(full.payload) == 5 + len(set(map(sha, content.values())))
    site.bring(full)
    wheel = site.upgrade()
    second = site.bundle("second", site.inventory())
    assert second.payload == {wheel}
    site.bring(second)
    shard = site.change_shard("part-00002.bin")
    third = site.bundle("third", site.inventory())
    assert third.payload == {shard}
    assert third.size < full.size / 2, "most of it is what describes the bundle"
    site.bring(third)
    assert site.bundle("fourth", site.inventory()).payload == set()
