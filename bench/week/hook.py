#!/usr/bin/env python3
"""The far end of the week's webhook. Orders come on standard input, one word a line:

    alive    takes messages, checks them and answers
    refuse   nobody listens
    hang     takes connections and never answers
    end      stops

and "ok" goes to standard output once the order holds; before that the port, when it starts. What
was taken is one JSON line each in the file that the second argument names.
"""

import hashlib
import hmac
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

HOST = "127.0.0.1"
BODY_BYTES_MAX = 4 << 20
# What the documents promise of every message.
FIELDS = {"version", "id", "kind", "host", "severity", "first", "last", "subject", "text",
          "counts", "rules", "sources", "banned", "incidents"}


def read_message(headers, body, secret):
    """What the driver wants to know of a message; `wrong` says why it is not as promised."""
    wrong, message = None, {}
    stamp = headers.get("Posse-Timestamp", "")
    signed = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest("sha256=" + signed, headers.get("Posse-Signature", "")):
        wrong = "signature"
    try:
        message = json.loads(body)
    except ValueError as e:
        wrong = wrong or f"not JSON: {e}"
    missing = FIELDS - set(message)
    if missing:
        wrong = wrong or f"without {', '.join(sorted(missing))}"
    elif message["id"] != headers.get("Posse-Message"):
        wrong = wrong or "another id in the header"
    return {"at": time.time(), "id": message.get("id"), "kind": message.get("kind"),
            "counts": message.get("counts", {}), "wrong": wrong,
            "codes": [rule["name"] for rule in message.get("rules", [])]}


class Taker(BaseHTTPRequestHandler):
    timeout = 5
    secret, out = b"", None

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, BODY_BYTES_MAX))
        row = read_message(self.headers, body, self.secret)
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()
        self.send_response(204 if row["wrong"] is None else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


class Alive:
    def __init__(self, port):
        self.server = HTTPServer((HOST, port), Taker)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def end(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Hang:
    def __init__(self, port):
        self.listener = socket.create_server((HOST, port), backlog=64)
        self.held = []
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        while True:
            try:
                self.held.append(self.listener.accept()[0])
            except OSError:
                return

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for one in [self.listener, *self.held]:
            one.close()


def main():
    with open(sys.argv[1], "rb") as file:
        Taker.secret = file.read().strip()
    Taker.out = open(sys.argv[2], "a", encoding="utf-8")
    now = Alive(0)
    port = now.port
    print(port, flush=True)
    for order in sys.stdin:
        order = order.strip()
        if now:
            now.end()
        now = {"alive": Alive, "hang": Hang}[order](port) if order in ("alive", "hang") else None
        if order == "end":
            return
        print("ok", flush=True)
    if now:
        now.end()


if __name__ == "__main__":
    main()
