"""What the gateway takes up: idle, and with a large shop and many orders under way."""

import load
import orders
import programs
from mark import Mark

ACTIVE = 100_000
SERVICES = 10_000


def marks(tools):
    """Resident memory."""
    with (
        tools.folder() as folder,
        programs.Sandbox(tools.tollgate, folder) as sandbox,
        programs.Gateway(tools.tollgate, folder, sandbox) as gateway,
    ):
        gateway.call("services")
        now, _ = gateway.memory()
        gateway.verify()
        yield Mark("memory, idle, MB", now / 1e6, 30, "resident after the start and one call", at_most=True)
    with tools.folder() as folder, orders.gateway(tools, folder, ACTIVE, listed=SERVICES) as gateway:
        gateway.call("services")
        everything = [
            f"key={gateway.client}&action=status&orders={','.join(map(str, range(first, first + 100)))}"
            for first in range(1, ACTIVE, 100)
        ]
        if load.Load(folder, everything, 8, 10).run(gateway.url)["requests"] < len(everything):
            raise SystemExit("bench: not every status could be asked for")
        now, peak = gateway.memory()
        words = f"resident with all statuses asked for; {peak / 1e6:.0f} MB at the most while orders were placed"
        yield Mark("memory, 10,000 services, 100,000 active orders, MB", now / 1e6, 150, words, at_most=True)
        gateway.verify()
