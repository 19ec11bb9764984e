"""Kubernetes quantities as the API server reads and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.domain.service.quantity import canonical_quantity, nanos

QUANTITIES = st.from_regex(r"(0|[1-9][0-9]{0,6})(\.[0-9]{1,3})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("0.5Ki", "512"),
        ("1023Ki", "1023Ki"),
        ("1.25Ki", "1280"),
        ("1000k", "1M"),
        ("1e3", "1k"),
        ("1E", "1E"),
        ("12E3", "12k"),
        ("1.5m", "1500u"),
        ("0.0000000001", "1n"),
        ("0", "0"),
        ("0Gi", "0"),
        ("1000E", "1000E"),
        ("1024Ei", "1024Ei"),
    ],
)
def test_canonical_form_is_that_of_the_api_server(written: str, stored: str) -> None:
    assert canonical_quantity(written) == stored


@pytest.mark.parametrize("wrong", ["", "Gi", "1 Gi", "-1", "1gi", "1e", "0x1", "1.2.3", "1;2"])
def test_an_invalid_quantity_raises(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        nanos(wrong)


@given(QUANTITIES)
def test_canonical_form_keeps_the_value(quantity: str) -> None:
    assert nanos(canonical_quantity(quantity)) >= nanos(quantity)  # a fraction of a byte is rounded up
    assert nanos(canonical_quantity(quantity)) - nanos(quantity) < 10**9
    assert canonical_quantity(canonical_quantity(quantity)) == canonical_quantity(quantity)
