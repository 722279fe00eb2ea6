"""The report as one HTML file: verdict, plot (inline SVG) and tables. It loads no other resource."""

from __future__ import annotations

import io
import re
from html import escape

from rich.console import Console

from twinops.printable import printable
from twinops.replay.plots import draw
from twinops.replay.report import Report
from twinops.replay.tables import print_report

_WIDTH = 110
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0 0 .5rem; }
.verdict { border-left: 4px solid #0072b2; padding: .25rem .9rem; background: #f4f8fb; }
figure { margin: 1.5rem 0; }
figure svg { width: 100%; height: auto; }
pre { font: 13px/1.35 ui-monospace, monospace; overflow-x: auto; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html_page(report: Report) -> bytes:
    """Return the page, UTF-8. Texts of the recording are escaped, and a content security policy forbids scripts."""
    sentences = "".join(f"<p>{escape(printable(one))}</p>" for one in report.verdict.sentences)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>twinops replay: {escape(printable(report.recording.origin))}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>What a twin would have said</h1>
<div class="verdict">{sentences}</div>
<figure>{_inline(draw(report, "svg"))}</figure>
<pre>{escape(_tables(report))}</pre>
</body>
</html>
""".encode()


def _inline(svg: bytes) -> str:
    """Return the picture as an element of the page, without its XML prologue."""
    return re.sub(r"^.*?(?=<svg)", "", svg.decode(), count=1, flags=re.DOTALL)


def _tables(report: Report) -> str:
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as captured:
        print_report(report, console)
    return captured.get()
