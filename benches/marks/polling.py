"""20,000 active orders and 20 clients that ask for theirs at random: what the upstream sees of it."""

import bisect
import http.server
import json
import pathlib
import random
import signal
import threading
import time
import urllib.parse

import load
import orders
import programs
from mark import Mark

ACTIVE, CLIENTS, TTL = 20_000, 20, 30
RATE, BURST = 10, 20
WATCHED = 100


class Upstream(http.server.ThreadingHTTPServer):
    """A panel whose orders never end, and that writes down every call of `status`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.lock, self.orders, self.calls = threading.Lock(), 0, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, call):
        with self.lock:
            self.calls.append((time.monotonic(), call["action"], call.get("orders", call.get("order", ""))))
            if call["action"] == "add":
                self.orders += 1
                return {"order": self.orders}
        if call["action"] == "services":
            service = {"service": 1, "name": "Followers", "type": "Default", "category": "All", "rate": "0.01"}
            return [{**service, "min": "10", "max": "100000", "refill": False, "cancel": False}]
        if call["action"] == "status":
            view = {"charge": "0.01", "start_count": "1", "status": "In progress", "remains": "10", "currency": "USD"}
            return {order: view for order in call["orders"].split(",")} if "orders" in call else view
        return {"balance": "1000000", "currency": "USD"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = json.dumps(self.server.answer(dict(urllib.parse.parse_qsl(body)))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def marks(tools):
    """Full batches, no order asked for within `status_ttl` of its last poll, the provider's limit kept."""
    upstream = Upstream()
    with tools.folder() as folder:
        fast = "requests_per_second = 10000\nburst = 10000\nmax_in_flight = 32\n"
        with programs.Gateway(tools.tollgate, folder, upstream, None, fast, orders.AT_ONCE) as gateway:
            keys = [
                json.loads(gateway.verb("client", "add", f"client{number}", "--deposit", "1000", "--json"))["key"]
                for number in range(CLIENTS)
            ]
            owned = place(gateway, folder, keys)
            slow_down(gateway, upstream, fast)
            drawn = random.Random(1)
            bodies = [
                f"key={key}&action=status&orders={','.join(map(str, drawn.sample(owned[key], 100)))}"
                for _ in range(100)
                for key in keys
            ]
            began = time.monotonic()
            asked = load.Load(folder, bodies, CLIENTS, WATCHED, tools.client_core).run(gateway.url)
            gateway.verify()
    calls = [(at, ids.split(",")) for at, action, ids in upstream.calls if action == "status" and at >= began]
    everything = [at for at, *_ in upstream.calls if at >= began]
    sizes = sum(len(ids) for _, ids in calls) / max(len(calls), 1)
    words = f"IDs a call, over {len(calls)} calls in {WATCHED} s, while {asked['rate'] * 100:,.0f} statuses/s were asked for"
    yield Mark("polling, IDs a call", sizes, 95, words)
    yield Mark("polling, seconds between two polls of an order", shortest(calls), TTL - 1, f"status_ttl is {TTL} s")
    words = f"the limit is {RATE}/s and {BURST} at once, over all kinds of calls"
    yield Mark("polling, calls over the provider's limit", over(everything), 0, words, at_most=True)


def place(gateway, folder, keys):
    """Each client's order IDs."""
    owned = {key: [] for key in keys}
    for key in keys:
        for number in range(ACTIVE // CLIENTS):
            owned[key].append(gateway.call("add", key=key, service=1, quantity=10, link=f"https://e.example/{number}")["order"])
    programs.wait_until("the orders to be placed", lambda: not orders.listed(gateway, "--state", "queued"), 300)
    return owned


def slow_down(gateway, upstream, fast):
    """From now on the provider has the limits of an ordinary one."""
    text = gateway.config.read_text()
    limits = f"requests_per_second = {RATE}\nburst = {BURST}\nmax_in_flight = 8\n"
    gateway.config.write_text(text.replace(fast, limits))
    gateway.process.send_signal(signal.SIGHUP)
    programs.wait_until("the reload", lambda: "reloaded" in pathlib.Path(gateway.log).read_text())


def shortest(calls):
    """The shortest time between two polls of one order."""
    last, least = {}, float("inf")
    for at, ids in calls:
        for order in ids:
            least = min(least, at - last.get(order, float("-inf")))
            last[order] = at
    return least


def over(times):
    """How many calls more than the limits allow came within any stretch of time."""
    worst = 0
    for first in range(0, len(times)):
        for span in (0, 1, 5, 20):
            count = bisect.bisect_right(times, times[first] + span) - first
            worst = max(worst, count - BURST - RATE * span)
    return worst
