# SPDX-License-Identifier: Apache-2.0
"""The fixture `autobus_fake`: an autobus.testing.Fake. A project with specs overrides `autobus_specs`:

    @pytest.fixture(scope="session")
    def autobus_specs():
        return "specs"
"""

from __future__ import annotations

from typing import Any, Iterator

import pytest


@pytest.fixture(scope="session")
def autobus_specs() -> str | None:
    """The folder of specs that data is checked by; None = it is not."""
    return None


@pytest.fixture(scope="session")
def _autobus_check(autobus_specs: str | None) -> Any:
    if autobus_specs is None:
        return None
    from ._fake.specs import Specs

    return Specs(autobus_specs)  # read once: that takes longer than a test


@pytest.fixture
def autobus_fake(_autobus_check: Any) -> Iterator[object]:
    from .testing import Fake  # not before a test asks for it: pytest loads plugins in every run

    fake = Fake(specs=_autobus_check)
    yield fake
    fake.close()
