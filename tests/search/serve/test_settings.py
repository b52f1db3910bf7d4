"""What a server is told by its settings, and by what name it is reached."""

import pytest

from clsearch.search.serve.settings import Settings


@pytest.mark.parametrize(
    ("settings", "address", "named"),
    [
        (Settings(), "127.0.0.1:7700", "127.0.0.1:7700"),
        (Settings("0.0.0.0"), "127.0.0.1:7700", "127.0.0.1:7700"),
        (Settings("::", 7701), "[::1]:7701", "[::1]:7701"),
        (Settings("2001:DB8::1"), "[2001:db8::1]:7700", "[2001:db8::1]:7700"),
        (Settings("0.0.0.0", hosts=("a.test", "b.test")), "127.0.0.1:7700", "a.test:7700"),
        (Settings(hosts=("a.test:8080",)), "127.0.0.1:7700", "a.test:8080"),
        (Settings(hosts=("[2001:db8::1]",)), "127.0.0.1:7700", "[2001:db8::1]:7700"),
    ],
)
def test_where_it_is_reached(settings: Settings, address: str, named: str) -> None:
    assert (settings.address, settings.named) == (address, named)
    assert {address, named} <= settings.accepted_hosts
