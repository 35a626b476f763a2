"""What a reader follows passes few files; the tool that lists them finds every station."""

from __future__ import annotations

import pytest
from tools.routes import ROUTES, Route, follow


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_passes_few_files(route: Route) -> None:
    files = follow(route)
    assert 0 < len(files) <= route.most_files, "\n".join(files)
