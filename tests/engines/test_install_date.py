"""The date that an environment says: of the build that is to be the same each time, else now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from selfhost.engines import install


def test_source_date_epoch_is_the_date_that_is_written_down(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert install._now() == datetime(1970, 1, 2, tzinfo=UTC)


def test_without_it_or_with_nonsense_it_is_now(monkeypatch):
    for value in ("", "yesterday"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        assert abs(install._now() - datetime.now(UTC)) < timedelta(minutes=1)
