"""What tests of the operator share beside the run's own cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.ground import Ground, made


@pytest.fixture(scope="package")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A control plane that tests may break, as long as they mend it."""
    with made(tmp_path_factory.mktemp("ground")) as ground:
        yield ground
