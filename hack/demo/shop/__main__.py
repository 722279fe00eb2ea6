"""The shop as a process."""

from __future__ import annotations

import argparse

from aiohttp import web

from demo.scenario import POD
from demo.shop.service import LOOPBACK, Shop


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m demo.shop", description=__doc__)
    parser.add_argument("--namespace", required=True, help="label of its metrics")
    parser.add_argument("--port", type=int, required=True, help="port on loopback")
    parser.add_argument("--seed", type=int, required=True, help="of the service times")
    given = parser.parse_args()
    shop = Shop(given.namespace, POD, given.seed)
    web.run_app(shop.application(), host=LOOPBACK, port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
