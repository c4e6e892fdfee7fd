"""Cost against tree size, as an SVG drawn by hand: four panels, both axes logarithmic.

The same results give the same bytes. Colours follow the reader's light or dark scheme.
"""

import math

WIDTH, HEIGHT = 900, 640
PANEL = (350, 210)
CORNERS = [(70, 60), (500, 60), (70, 360), (500, 360)]
PANELS = ["a run", "sync of an unchanged tree", "first take-in", "a fork and its first run"]
COLOURS = ["#d6482b", "#3b74c4", "#2f8f5b", "#8a5fb0"]
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #333; }
  .title { font-weight: 600; font-size: 13px; }
  .grid { stroke: #ddd; } .axis { stroke: #888; } .back { fill: #fff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ccc; } .grid { stroke: #3a3a3a; } .back { fill: #181818; }
  }
"""


def draw(curves):
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-label="cost against tree size">',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
        '<text class="title" x="70" y="26">Cost against tree size: medians, both axes logarithmic</text>',
    ]
    for corner, name in zip(CORNERS, PANELS):
        if curves.get(name):
            out += panel(corner, name, curves[name])
    out.append("</svg>")
    return "\n".join(out) + "\n"


def panel(corner, name, lines):
    left, top = corner
    width, height = PANEL
    points = [point for line in lines.values() for point in line]
    sizes = span([size for size, _ in points])
    costs = span([cost * 1000 for _, cost in points])
    x = lambda size: left + place(size, sizes) * width
    y = lambda cost: top + height - place(cost * 1000, costs) * height
    yield f'<text class="title" x="{left}" y="{top - 10}">{name}</text>'
    for power in range(sizes[0], sizes[1] + 1):
        at = x(10**power)
        yield f'<line class="grid" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{top + height}"/>'
        yield f'<text x="{at:.1f}" y="{top + height + 18}" text-anchor="middle">{10**power:,}</text>'
    for power in range(costs[0], costs[1] + 1):
        at = y(10.0**power / 1000)
        yield f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{left + width}" y2="{at:.1f}"/>'
        yield f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{duration(power)}</text>'
    yield f'<rect class="axis" fill="none" x="{left}" y="{top}" width="{width}" height="{height}"/>'
    yield f'<text x="{left + width}" y="{top + height + 36}" text-anchor="end">files</text>'
    for number, (line, found) in enumerate(sorted(lines.items(), key=lambda item: item[0] != "vrift")):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(size):.1f},{y(cost):.1f}" for size, cost in sorted(found))
        thick = 2.5 if line == "vrift" else 1.5
        yield f'<polyline fill="none" stroke="{colour}" stroke-width="{thick}" points="{path}"/>'
        for size, cost in sorted(found):
            yield f'<circle cx="{x(size):.1f}" cy="{y(cost):.1f}" r="3" fill="{colour}"/>'
        yield f'<rect x="{left + 10}" y="{top + 12 + 17 * number}" width="12" height="3" fill="{colour}"/>'
        yield f'<text x="{left + 28}" y="{top + 18 + 17 * number}">{line}</text>'


def span(values):
    """The powers of ten around these."""
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def place(value, powers):
    low, high = powers
    return (math.log10(value) - low) / (high - low)


def duration(power):
    return f"{10 ** (power - 3)} s" if power >= 3 else f"{10.0**power:g} ms"
