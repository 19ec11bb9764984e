"""Index of heartbeats: the latest one wins, and silence only counts while a gateway listens."""

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


class TestHeartbeats:
    def test_come_from_the_latest_version(self) -> None:
        index = HeartbeatIndex()
        change = index.put(shard_configmap(2, ("web", heartbeat(at=2))))
        assert change is not None
        assert (change.namespace, change.names) == ("default", ("web",))
        assert index.put(shard_configmap(1, ("web", heartbeat(at=1)))) is None
        assert index.put(shard_configmap(2, ("web", heartbeat(at=3)))) is None
        assert index.last_heartbeat(WEB) == heartbeat(at=2)

    def test_a_change_names_only_new_heartbeats(self) -> None:
        index, (first, second) = HeartbeatIndex(), names_in_same_shard(2)
        index.put(shard_configmap(1, (first, heartbeat(first)), (second, heartbeat(second))))
        change = index.put(shard_configmap(2, (first, heartbeat(first)), (second, heartbeat(second, at=5))))
        assert change is not None
        assert change.names == (second,)

    def test_a_recreated_instance_has_no_heartbeat_yet(self) -> None:
        index = HeartbeatIndex()
        index.put(shard_configmap(1, ("web", heartbeat(at=5)), gateways={"a": (0, 6)}))
        assert index.last_heartbeat(recreated(WEB)) is None
        assert index.record(recreated(WEB)) == HeartbeatRecord(None, later(0), later(6))

    def test_a_received_heartbeat_counts_before_it_is_stored(self) -> None:
        index = HeartbeatIndex()
        index.put(shard_configmap(1, ("web", heartbeat(at=1))))
        index.add("default", "web", heartbeat(at=2, active_tasks=3))
        assert index.last_heartbeat(WEB) == heartbeat(at=2, active_tasks=3)
        index.put(shard_configmap(2, ("web", heartbeat(at=1.5))))
        assert index.last_heartbeat(WEB) == heartbeat(at=2, active_tasks=3)
        index.put(shard_configmap(3, ("web", heartbeat(at=4))))
        assert index.last_heartbeat(WEB) == heartbeat(at=4)

    def test_a_removed_entry_removes_the_heartbeat(self) -> None:
        index, (first, second) = HeartbeatIndex(), names_in_same_shard(2)
        index.put(shard_configmap(1, (first, heartbeat(first)), (second, heartbeat(second))))
        index.put(shard_configmap(2, (first, heartbeat(first))))
        assert list(index.heartbeats("default", shard_of(first))) == [first]

    @pytest.mark.parametrize("text", ["", "x", "{}", "[]", '{"uid":"uid-web"}', '{"uid":"uid-web","at":"yesterday"}'])
    def test_an_invalid_entry_is_ignored(self, text: str) -> None:
        index = HeartbeatIndex()
        manifest = shard_configmap(1, gateways={"a": (0, 1)})
        manifest["data"] |= {"web": text, "_gateway.b": text}
        assert index.put(manifest) is not None
        assert index.last_heartbeat(WEB) is None
        assert index.record(WEB).until == later(1)

    @pytest.mark.parametrize(
        "vitals",
        ['"active_tasks":-1', '"error_rate":2', '"response_time_ms":NaN', '"status":"inactive"', '"status":"x"'],
    )
    def test_an_entry_with_a_value_out_of_range_is_ignored(self, vitals: str) -> None:
        index, manifest = HeartbeatIndex(), shard_configmap(1)
        manifest["data"]["web"] = dump_heartbeat(heartbeat()).replace("}", f",{vitals}}}")
        index.put(manifest)
        assert index.last_heartbeat(WEB) is None

    def test_other_configmaps_are_ignored(self) -> None:
        shard = shard_configmap(1, ("web", heartbeat()))
        for labels in (None, {}, {"hopper.dev/heartbeats": "no"}):
            assert HeartbeatIndex().put({**shard, "metadata": {**shard["metadata"], "labels": labels}}) is None
        for name in ("hopper-heartbeats-4", "hopper-heartbeats-", "hopper-heartbeats-01", "mine"):
            assert HeartbeatIndex().put({**shard, "metadata": {**shard["metadata"], "name": name}}) is None

    def test_a_deleted_shard_leaves_nothing(self) -> None:
        index, shard = HeartbeatIndex(), shard_configmap(5, ("web", heartbeat()), gateways={"a": (0, 1)})
        index.put(shard)
        (key,) = index.uids()
        assert index.remove(*key, uid="another") is None
        assert index.remove(*key, uid="1") is not None
        assert (index.last_heartbeat(WEB), index.record(WEB), index.uids()) == (None, HeartbeatRecord(), {})
        assert not index.shards()
        assert index.put(shard_configmap(6, ("web", heartbeat(at=9)), uid="2")) is not None


class TestGateways:
    """For which time all heartbeats are known depends on the gateways that run."""

    def setup_method(self) -> None:
        self.now = 0.0
        self.index = HeartbeatIndex(clock=lambda: self.now)
        self.version = 0

    def put(self, at: float, **gateways: tuple[float, float]) -> HeartbeatRecord:
        """Put a shard into the index at a local time; return the record of an instance after that."""
        self.now, self.version = at, self.version + 1
        self.index.put(shard_configmap(self.version, gateways=gateways))
        return self.index.record(WEB)

    def test_no_gateway(self) -> None:
        assert self.put(0) == HeartbeatRecord()

    def test_one_gateway(self) -> None:
        assert self.put(0, a=(0, 50)) == HeartbeatRecord(None, later(0), later(50))

    def test_the_last_report_of_several_gateways_counts(self) -> None:
        assert self.put(0, a=(0, 50), b=(40, 48)) == HeartbeatRecord(None, later(0), later(48))

    def test_a_crashed_gateway_no_longer_counts(self) -> None:
        self.put(0, a=(0, 50), b=(40, 50))
        assert self.put(30, a=(0, 50), b=(40, 80)) == HeartbeatRecord(None, later(0), later(50))
        assert self.put(31, a=(0, 50), b=(40, 81)) == HeartbeatRecord(None, later(40), later(81))
        assert self.index.gateway_silence_seconds("default", shard_of("web")) == {"_gateway.a": 31, "_gateway.b": 0}

    def test_a_stopped_gateway_no_longer_counts(self) -> None:
        self.put(0, a=(0, 50), b=(40, 50))
        assert self.put(1, b=(40, 51)) == HeartbeatRecord(None, later(40), later(51))
        assert self.put(2) == HeartbeatRecord()

    def test_a_gateway_with_a_wrong_clock_counts(self) -> None:
        """An instance that sends its heartbeats to the gateway with the slow clock is not silent."""
        for at in range(100):
            record = self.put(at, slow=(0, at), fast=(3600, 3600 + at))
        assert record == HeartbeatRecord(None, later(0), later(99))

    def test_after_a_restart_of_the_reader_all_gateways_count_for_a_while(self) -> None:
        assert self.put(5000, gone=(0, 50), here=(40, 4000)).until == later(50)
        assert self.put(5031, gone=(0, 50), here=(40, 4031)).until == later(4031)

    @given(
        st.dictionaries(
            st.sampled_from("abc"), st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted), min_size=1
        )
    )
    def test_the_known_time_is_within_that_of_one_gateway(self, gateways: dict[str, list[int]]) -> None:
        self.setup_method()
        record = self.put(0, **{name: (since, seen) for name, (since, seen) in gateways.items()})
        assert record.since is not None
        assert record.until is not None
        assert any(later(since) <= record.since and record.until <= later(seen) for since, seen in gateways.values())


def test_any_host_name_makes_a_valid_key() -> None:
    assert gateway_key("my host/ä:1") == "_gateway.my-host---1"
    assert len(gateway_key("x" * 1000)) < 253
