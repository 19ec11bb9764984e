"""The bill of materials lists what the image contains, and the audit finds what advisories say about it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from packaging.version import Version
from tests.supply_chain.audit import PINNED, Finding, collect, findings, is_affected, pinned_advisories
from tests.supply_chain.lock import BUILD_LOCK, ROOT, RUNTIME_LOCK, LockedPackage, LockError, locked_packages
from tests.supply_chain.sbom import sbom_text

ADVISORY = {
    "id": "PYSEC-2023-212",
    "modified": "2023-10-25T18:28:34.811764Z",
    "aliases": ["CVE-2023-45803"],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "urllib3"},
            "ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "4e98d57"}]},
                {
                    "type": "ECOSYSTEM",
                    "events": [
                        {"introduced": "2.0.0"},
                        {"fixed": "2.0.7"},
                        {"introduced": "0"},
                        {"fixed": "1.26.18"},
                    ],
                },
            ],
            "versions": ["1.26.17", "2.0.6"],
        }
    ],
}


def package(name: str, version: str) -> LockedPackage:
    return LockedPackage(name, Version(version), ("0" * 64,), (), is_in_image=True)


def collected(tmp_path: Path, *packages: LockedPackage, **changes: Any) -> dict[str, Any]:
    """Return the pinned form of ADVISORY with changes."""
    file = tmp_path / "vulns" / "urllib3" / "PYSEC-2023-212.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(ADVISORY | changes))
    return collect(tmp_path, packages or [package("urllib3", "1")], "a test", "2026-01-01")


class TestSbom:
    @pytest.fixture
    def sbom(self) -> dict[str, Any]:
        bom: dict[str, Any] = json.loads(sbom_text())
        return bom

    def test_fits_the_schema_of_cyclonedx(self) -> None:
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom_text()) is None

    def test_lists_every_locked_package_with_version_and_hashes(self, sbom: dict[str, Any]) -> None:
        """The lock is read here in another way than by the generator."""
        listed = {
            f"{component['name']}=={component['version']}": sorted(entry["content"] for entry in component["hashes"])
            for component in sbom["components"]
        }
        text = RUNTIME_LOCK.read_text(encoding="utf-8")
        assert listed.keys() == set(re.findall(r"^[^\s#]+==[^\s;]+", text, re.MULTILINE))
        for line, *hashes in map(str.split, re.split(r"\n(?=[a-z])", text)[1:]):
            assert listed[line] == sorted(word.removeprefix("--hash=sha256:") for word in hashes if "sha256" in word)

    def test_marks_packages_that_the_image_does_not_contain(self, sbom: dict[str, Any]) -> None:
        excluded = {component["name"] for component in sbom["components"] if component["scope"] == "excluded"}
        assert excluded == {"colorama"}

    def test_names_the_project_and_its_direct_dependencies(self, sbom: dict[str, Any]) -> None:
        assert sbom["metadata"]["component"]["name"] == "hopper-operator"
        requirements = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
        direct = {reference.partition("@")[0] for reference in requirements["hopper-operator"]}
        assert {"pkg:pypi/kopf", "pkg:pypi/fastapi", "pkg:pypi/kubernetes"} <= direct
        assert "pkg:pypi/multidict" not in direct

    def test_every_package_is_required_by_another_one(self, sbom: dict[str, Any]) -> None:
        required = {reference for entry in sbom["dependencies"] for reference in entry.get("dependsOn", [])}
        assert required == {component["bom-ref"] for component in sbom["components"]}

    def test_is_repeatable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        assert sbom_text() == sbom_text()
        assert json.loads(sbom_text())["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")


class TestAudit:
    @pytest.mark.parametrize("lock", [RUNTIME_LOCK, BUILD_LOCK], ids=lambda lock: lock.name)
    def test_no_locked_package_has_a_known_vulnerability(self, lock: Path) -> None:
        assert [str(finding) for finding in findings(locked_packages(lock), pinned_advisories())] == []

    def test_the_pinned_file_names_its_source_and_date(self) -> None:
        pinned = pinned_advisories()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", pinned["date"])
        assert "revision" in pinned["source"]
        assert {advisory["package"] for advisory in pinned["advisories"]} <= set(pinned["packages"])

    @pytest.mark.parametrize(
        ("name", "version", "advisory"),
        [("urllib3", "1.26.17", "CVE-2023-45803"), ("aiohttp", "3.8.0", "CVE-2023-49081"), ("pyyaml", "5.3", "CVE-")],
    )
    def test_a_vulnerable_version_of_a_real_package_is_found(self, name: str, version: str, advisory: str) -> None:
        result = findings([package(name, version)], pinned_advisories())
        assert any(advisory in str(finding) for finding in result)
        assert all(str(finding).startswith(f"{name} {version}: ") for finding in result)

    @pytest.mark.parametrize(
        ("version", "affected"),
        [("0.1", True), ("1.26.17", True), ("1.26.18", False), ("2.0.0rc1", False), ("2.0.6", True), ("2.0.7", False)],
    )
    def test_a_version_is_compared_with_every_range(self, tmp_path: Path, version: str, affected: bool) -> None:
        (advisory,) = collected(tmp_path)["advisories"]
        assert is_affected(Version(version), advisory) is affected

    def test_a_finding_names_package_advisory_and_fix(self, tmp_path: Path) -> None:
        (finding,) = findings([package("urllib3", "2.0.1")], collected(tmp_path))
        assert str(finding) == "urllib3 2.0.1: PYSEC-2023-212, CVE-2023-45803; fixed in 2.0.7: run make lock UPGRADE=1"

    def test_a_package_that_was_not_collected_is_a_finding(self, tmp_path: Path) -> None:
        stranger = package("stranger", "1.0")
        assert findings([stranger], collected(tmp_path)) == [Finding(stranger)]
        assert f"not covered by {PINNED.name}" in str(Finding(stranger))

    def test_a_package_without_advisories_is_covered(self, tmp_path: Path) -> None:
        quiet = package("quiet", "1.0")
        assert findings([quiet], collected(tmp_path, quiet)) == []

    def test_a_withdrawn_advisory_is_left_out(self, tmp_path: Path) -> None:
        assert collected(tmp_path, withdrawn="2024-01-01T00:00:00Z")["advisories"] == []

    @pytest.mark.parametrize(
        ("affected", "version", "expected"),
        [
            ({"versions": ["1.0", "1.1", "not a version"]}, "1.1", True),
            ({"versions": ["1.0", "1.1"]}, "1.2", False),
            ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.5"}]}]}, "9", True),
            ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2"}]}]}, "2", True),
            ({"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2"}]}]}, "3", False),
        ],
        ids=str,
    )
    def test_other_forms_of_advisories(
        self, tmp_path: Path, affected: dict[str, Any], version: str, expected: bool
    ) -> None:
        changes = [{"package": {"name": "urllib3"}, **affected}]
        (advisory,) = collected(tmp_path, affected=changes)["advisories"]
        assert is_affected(Version(version), advisory) is expected


class TestLock:
    @pytest.mark.parametrize("text", ["", "# comment\n", "a==1.0\n", "a>=1 --hash=sha256:" + "0" * 64 + "\n"])
    def test_an_incomplete_lock_is_refused(self, tmp_path: Path, text: str) -> None:
        lock = tmp_path / "requirements.txt"
        lock.write_text(text)
        with pytest.raises(LockError, match="run make lock"):
            locked_packages(lock)


class TestWorkflow:
    """The online audit, which this machine need not be able to run."""

    @pytest.fixture
    def workflow(self) -> dict[Any, Any]:
        text = (ROOT / ".github" / "workflows" / "audit.yml").read_text(encoding="utf-8")
        loaded: dict[Any, Any] = yaml.safe_load(text)
        return loaded

    def test_runs_weekly_and_when_a_lock_changes(self, workflow: dict[Any, Any]) -> None:
        triggers = workflow[True]  # YAML 1.1 reads the key `on` as a boolean
        (schedule,) = triggers["schedule"]
        assert schedule["cron"].split()[4] != "*"
        assert "operator/requirements*.txt" in triggers["pull_request"]["paths"]

    def test_audits_both_locks_strictly(self, workflow: dict[Any, Any]) -> None:
        commands = " ".join(step.get("run", "") for step in workflow["jobs"]["audit"]["steps"])
        assert "pip-audit --strict --require-hashes" in commands
        for lock in (RUNTIME_LOCK, BUILD_LOCK):
            assert f"--requirement {lock.relative_to(ROOT)}" in commands

    def test_may_only_read(self, workflow: dict[Any, Any]) -> None:
        assert workflow["permissions"] == {"contents": "read"}
