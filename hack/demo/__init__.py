"""The demonstration: two identical shops under the same load, one of them with a twin.

It plays on a real control plane and a real Prometheus (`devcluster`), and knows the product only from
outside: its chart, its custom resources and its command line. Nothing of `twinops` is imported here.

- `scenario`: every figure of the story in one place.
- `shop`: the HTTP service whose capacity follows its ready pods (`python -m demo.shop`).
- `load`: the load generator, which also measures (`python -m demo.load`).
- `manifests`, `history`, `kubelet`, `chart`, `world`: the stage set.
- `stage`, `stages`, `show`, `verdict`, `story`: what is played on it.
"""
