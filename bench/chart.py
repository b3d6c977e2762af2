"""chart - the ratios as bars on a logarithmic scale, as SVG

One row for each figure that is compared with qemu-ga: how much of qemu-ga's time or memory
Postern takes. Of a throughput it is the time for the same bytes, so that to the left is always
less. The mark is the bar that the figure is held to. Colours follow the reader's light or dark.
"""
import math
from xml.sax.saxutils import escape

WIDTH, LABEL, RIGHT, ROW, TOP, BOTTOM = 860, 300, 124, 22, 56, 44
LEAST, MOST = 0.005, 4.0
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4)

STYLE = """
  svg { font: 12px system-ui, sans-serif; }
  .ground { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; }
  .grid { stroke: #d1d9e0; } .one { stroke: #59636e; stroke-width: 1.5; }
  .met { fill: #2f81c1; } .missed { fill: #c4572b; } .none { fill: #8c96a0; }
  .bar { stroke: #1f2328; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; } .text { fill: #e6edf3; } .faint { fill: #9198a1; }
    .grid { stroke: #30363d; } .one { stroke: #9198a1; }
    .met { fill: #539bd6; } .missed { fill: #e0784c; } .none { fill: #6e7681; }
    .bar { stroke: #e6edf3; }
  }
"""


def x_of(ratio):
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABEL + share * (WIDTH - LABEL - RIGHT)


def text(x, y, words, kind="text", anchor="start"):
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f'{escape(words)}</text>')


def line(x, y, to, kind):
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{to:.1f}"/>'


def bars(told):
    """(name, ratio of the cost, bar of it, met) of each figure with qemu-ga beside it."""
    for figure in told["figures"]:
        for one in figure["compared"]:
            if one["against"] == "qemu-ga":
                ratio, bar = one["ratio"], one["bar"]
                if figure["more"]:
                    ratio, bar = 1 / ratio, bar and 1 / bar
                yield figure["name"], ratio, bar, one["met"]


def row(y, name, ratio, bar, met):
    kind = {True: "met", False: "missed", None: "none"}[met]
    yield text(LABEL - 10, y + ROW - 7, name, anchor="end")
    yield (f'<rect class="{kind}" x="{LABEL}" y="{y + 4:.1f}" height="{ROW - 8}" '
           f'width="{max(2, x_of(ratio) - LABEL):.1f}" rx="2"/>')
    if bar:
        yield line(x_of(bar), y + 1, y + ROW - 1, "bar")
    yield text(WIDTH - RIGHT + 12, y + ROW - 7, f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:.2f}")
    yield text(WIDTH - RIGHT + 64, y + ROW - 7, {True: "met", False: "missed", None: ""}[met],
               "faint")


def draw(told):
    rows = list(bars(told))
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = height - BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'width="{WIDTH}" height="{height}" role="img">',
             '<title>Cost of Postern as a share of that of qemu-ga</title>',
             f"<style>{STYLE}</style>", f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
             text(16, 24, "Time or memory of Postern, qemu-ga = 1 (less is better)"),
             text(16, 42, "Upright mark: the bar. Logarithmic scale. Of a throughput: the time for the "
                  "same bytes.", "faint")]
    for tick in TICKS:
        parts.append(line(x_of(tick), TOP, bottom, "one" if tick == 1 else "grid"))
        parts.append(text(x_of(tick), bottom + 18, f"{tick:g}", "faint", "middle"))
    for n, each in enumerate(rows):
        parts += row(TOP + ROW * n, *each)
    return "\n".join(parts + ["</svg>"]) + "\n"
