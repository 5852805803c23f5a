#!/usr/bin/env python3
"""A stand-in for CrowdSec's local API that takes alerts and writes their sources to a file.

    bench/lapi_stub.py --port 8080 --out alerts.txt

A CrowdSec agent refuses to work without an API to report to, also in replay mode. This one
costs the agent nothing but the sending, so that the engine alone is measured. One line an
alert: scenario, TAB, address. Needs Python 3.9 or newer; listens on loopback only.
"""

import argparse
import gzip
import http.server
import json


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    out = None

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.startswith("/v1/watchers/login"):
            self.answer(200, {"code": 200, "expire": "2099-01-01T00:00:00Z", "token": "x.y.z"})
            return
        if self.path.startswith("/v1/alerts"):
            alerts = json.loads(body)
            for alert in alerts:
                self.out.write(f"{alert['scenario']}\t{alert['source'].get('value')}\n")
            self.out.flush()
            self.answer(201, [str(n) for n in range(1, len(alerts) + 1)])
            return
        self.answer(201, None)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    with open(options.out, "w", encoding="utf-8") as Handler.out:
        http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
