"""A reseller's session with the PyPI client `smmpy`, unmodified: prints what it got as one JSON document."""

import json
import sys

from smmpy import smm

url, key = sys.argv[1:]
client = smm(url, key)
seen = {"services": client.get_services(), "balance": client.get_balance()}
seen["plain"] = client.add_order(1001, "https://example.com/p/1?a=1&b=2", 100)
seen["drip"] = client.add_order("1001", "https://example.com/p/2", 50, runs=3, interval=10)
seen["comments"] = client.add_order(1008, "https://example.com/p/3", 0, comments="good & nice\nвау")
orders = [seen[name]["order"] for name in ("plain", "drip", "comments")]
seen["status"] = client.get_status(orders[0])
seen["statuses"] = client.get_multi_status(orders + [999])
seen["errors"] = {}
for name, call in {
    "quantity": lambda: client.add_order(1001, "https://example.com/p/4", 1),
    "order": lambda: client.get_status(999),
    "key": lambda: smm(url, "0" * 32).get_balance(),
}.items():
    try:
        call()
    except Exception as error:
        seen["errors"][name] = str(error)
seen["left"] = client.get_balance()
json.dump(seen, sys.stdout)
