# SPDX-License-Identifier: MIT
"""What the feeds share: one keep-alive connection to the ingest listener, and a clean end. Standard library only."""
import argparse
import http.client
import json
import os
import signal
import sys
import time
import urllib.parse

RETRIES = 10
RETRY_SECONDS = 1


class Failure(Exception):
    """What the user has to know, in one line."""


class Publisher:
    """Posts in order, each post once acknowledged; connects again when the server was restarted."""

    def __init__(self, url):
        key = os.environ.get("RINGCAST_INGEST_KEY", "")
        if not key:
            raise Failure("set RINGCAST_INGEST_KEY to an ingest key of the server")
        self.address = urllib.parse.urlsplit(url).netloc
        self.authorization = "Bearer " + key
        self.connection = http.client.HTTPConnection(self.address, timeout=30)

    def post(self, topic, *objects):
        """Publishes each object as one message to DIALECT/TOPIC."""
        body = "".join(json.dumps(item, separators=(",", ":")) + "\n" for item in objects)
        status, answer = self._exchange(topic, body.encode())
        if status == 401:
            answer = "this key is not known there; see RINGCAST_INGEST_KEY and the server's ingest.keys"
        elif status == 403:
            answer = "this key may not publish there; see the server's ingest.keys"
        if status != 202:
            raise Failure(f"{topic}: {status} {answer}")

    def _exchange(self, topic, body):
        headers = {"Authorization": self.authorization, "Content-Type": "application/x-ndjson"}
        for attempt in range(RETRIES + 1):
            try:
                self.connection.request("POST", "/ingest/v1/" + topic, body, headers)
                response = self.connection.getresponse()
                return response.status, response.read().decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as fault:
                self.connection.close()
                if attempt == RETRIES:
                    why = str(fault) or type(fault).__name__
                    raise Failure(f"http://{self.address}: {why}; is the server running?") from fault
                if attempt > 0:  # the first is most often a connection that the server has closed while it was idle
                    time.sleep(RETRY_SECONDS)


def argument_parser(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    url_help = "the ingest listener (default %(default)s)"
    parser.add_argument("--url", type=_url, default="http://127.0.0.1:9400", help=url_help)
    return parser


def _url(text):
    parts = urllib.parse.urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text} is no address; write http://HOST:PORT")
    return text


def positive(text):
    """A number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def run(name, feed):
    """Runs feed() until it ends or SIGINT or SIGTERM comes, and exits: 0, or 1 with one line that says why."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        feed()
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        pass
    sys.exit(0)
