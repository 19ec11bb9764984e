"""What the ConfigMaps of heartbeats tell: the newest wins, and nobody is taken for silent whom nobody listened to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.api.heartbeat import dump_heartbeat, gateway_key, shard_of
from hopper.domain.heartbeat import HeartbeatRecord
from hopper.registry import HeartbeatIndex
from tests.unit.registry.sample_heartbeats import (
    heartbeat,
    heartbeat_instance,
    later,
    names_in_same_shard,
    recreated,
    shard_configmap,
)

WEB = heartbeat_instance()


class TestEntries:
    def test_are_those_of_the_newest_version(self) -> None:
        beats = HeartbeatIndex()
        news = beats.put(shard_configmap(2, ("web", heartbeat(at=2))))
        assert news is not None
        assert (news.namespace, news.names) == ("default", ("web",))
        assert beats.put(shard_configmap(1, ("web", heartbeat(at=1)))) is None
        assert beats.put(shard_configmap(2, ("web", heartbeat(at=3)))) is None
        assert beats.last_heartbeat(WEB) == heartbeat(at=2)

    def test_only_those_that_are_new_are_told_of(self) -> None:
        beats, (first, second) = HeartbeatIndex(), names_in_same_shard(2)
        beats.put(shard_configmap(1, (first, heartbeat(first)), (second, heartbeat(second))))
        news = beats.put(shard_configmap(2, (first, heartbeat(first)), (second, heartbeat(second, at=5))))
        assert news is not None
        assert news.names == (second,)

    def test_a_predecessor_does_not_beat_for_its_successor(self) -> None:
        beats = HeartbeatIndex()
        beats.put(shard_configmap(1, ("web", heartbeat(at=5)), gateways={"a": (0, 6)}))
        assert beats.last_heartbeat(recreated(WEB)) is None
        assert beats.record(recreated(WEB)) == HeartbeatRecord(None, later(0), later(6))

    def test_what_comes_in_here_counts_before_it_is_written(self) -> None:
        beats = HeartbeatIndex()
        beats.put(shard_configmap(1, ("web", heartbeat(at=1))))
        beats.add("default", "web", heartbeat(at=2, active_tasks=3))
        assert beats.last_heartbeat(WEB) == heartbeat(at=2, active_tasks=3)
        beats.put(shard_configmap(2, ("web", heartbeat(at=1.5))))
        assert beats.last_heartbeat(WEB) == heartbeat(at=2, active_tasks=3)
        beats.put(shard_configmap(3, ("web", heartbeat(at=4))))
        assert beats.last_heartbeat(WEB) == heartbeat(at=4)

    def test_an_entry_that_is_removed_is_forgotten(self) -> None:
        beats, (first, second) = HeartbeatIndex(), names_in_same_shard(2)
        beats.put(shard_configmap(1, (first, heartbeat(first)), (second, heartbeat(second))))
        beats.put(shard_configmap(2, (first, heartbeat(first))))
        assert list(beats.heartbeats("default", shard_of(first))) == [first]

    @pytest.mark.parametrize("text", ["", "x", "{}", "[]", '{"uid":"uid-web"}', '{"uid":"uid-web","at":"yesterday"}'])
    def test_nonsense_is_left_alone(self, text: str) -> None:
        beats = HeartbeatIndex()
        raw = shard_configmap(1, gateways={"a": (0, 1)})
        raw["data"] |= {"web": text, "_gateway.b": text}
        assert beats.put(raw) is not None
        assert beats.last_heartbeat(WEB) is None
        assert beats.record(WEB).until == later(1)

    @pytest.mark.parametrize(
        "vitals",
        ['"active_tasks":-1', '"error_rate":2', '"response_time_ms":NaN', '"status":"inactive"', '"status":"x"'],
    )
    def test_values_out_of_range_are_nonsense(self, vitals: str) -> None:
        beats, raw = HeartbeatIndex(), shard_configmap(1)
        raw["data"]["web"] = dump_heartbeat(heartbeat()).replace("}", f",{vitals}}}")
        beats.put(raw)
        assert beats.last_heartbeat(WEB) is None

    def test_other_configmaps_are_none_of_ours(self) -> None:
        raw = shard_configmap(1, ("web", heartbeat()))
        for labels in (None, {}, {"hopper.dev/heartbeats": "no"}):
            assert HeartbeatIndex().put({**raw, "metadata": {**raw["metadata"], "labels": labels}}) is None
        for name in ("hopper-heartbeats-4", "hopper-heartbeats-", "hopper-heartbeats-01", "mine"):
            assert HeartbeatIndex().put({**raw, "metadata": {**raw["metadata"], "name": name}}) is None

    def test_one_that_is_deleted_leaves_nothing(self) -> None:
        beats, raw = HeartbeatIndex(), shard_configmap(5, ("web", heartbeat()), gateways={"a": (0, 1)})
        beats.put(raw)
        (key,) = beats.uids()
        assert beats.remove(*key, uid="another") is None
        assert beats.remove(*key, uid="1") is not None
        assert (beats.last_heartbeat(WEB), beats.record(WEB), beats.uids()) == (None, HeartbeatRecord(), {})
        assert not beats.shards()
        assert beats.put(shard_configmap(6, ("web", heartbeat(at=9)), uid="2")) is not None


class TestListening:
    def setup_method(self) -> None:
        self.now = 0.0
        self.beats = HeartbeatIndex(clock=lambda: self.now)
        self.version = 0

    def tell(self, at: float, **gateways: tuple[float, float]) -> HeartbeatRecord:
        """Have a ConfigMap come in, by this clock at `at`; return what is known of an instance then."""
        self.now, self.version = at, self.version + 1
        self.beats.put(shard_configmap(self.version, gateways=gateways))
        return self.beats.record(WEB)

    def test_nobody(self) -> None:
        assert self.tell(0) == HeartbeatRecord()

    def test_one(self) -> None:
        assert self.tell(0, a=(0, 50)) == HeartbeatRecord(None, later(0), later(50))

    def test_several_until_the_last_of_them_has_told(self) -> None:
        assert self.tell(0, a=(0, 50), b=(40, 48)) == HeartbeatRecord(None, later(0), later(48))

    def test_one_that_went_without_a_word_is_not_waited_for(self) -> None:
        self.tell(0, a=(0, 50), b=(40, 50))
        assert self.tell(30, a=(0, 50), b=(40, 80)) == HeartbeatRecord(None, later(0), later(50))
        assert self.tell(31, a=(0, 50), b=(40, 81)) == HeartbeatRecord(None, later(40), later(81))
        assert self.beats.gateway_silence_seconds("default", shard_of("web")) == {"_gateway.a": 31, "_gateway.b": 0}

    def test_one_that_has_left_is_not_waited_for(self) -> None:
        self.tell(0, a=(0, 50), b=(40, 50))
        assert self.tell(1, b=(40, 51)) == HeartbeatRecord(None, later(40), later(51))
        assert self.tell(2) == HeartbeatRecord()

    def test_whose_clock_is_wrong_is_there_all_the_same(self) -> None:
        """And whoever is heard by the one whose clock is slow is not taken for silent."""
        for at in range(100):
            heard = self.tell(at, slow=(0, at), fast=(3600, 3600 + at))
        assert heard == HeartbeatRecord(None, later(0), later(99))

    def test_after_a_restart_of_the_reader_it_waits_before_it_believes_anybody_gone(self) -> None:
        assert self.tell(5000, gone=(0, 50), here=(40, 4000)).until == later(50)
        assert self.tell(5031, gone=(0, 50), here=(40, 4031)).until == later(4031)

    @given(
        st.dictionaries(
            st.sampled_from("abc"), st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted), min_size=1
        )
    )
    def test_it_is_never_more_than_what_one_has_listened_to(self, gateways: dict[str, list[int]]) -> None:
        self.setup_method()
        found = self.tell(0, **{name: (since, seen) for name, (since, seen) in gateways.items()})
        assert found.since is not None
        assert found.until is not None
        assert any(later(since) <= found.since and found.until <= later(seen) for since, seen in gateways.values())


def test_any_host_makes_a_key() -> None:
    assert gateway_key("my host/ä:1") == "_gateway.my-host---1"
    assert len(gateway_key("x" * 1000)) < 253
