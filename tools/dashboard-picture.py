#!/usr/bin/env python3
"""Draws the panels of a Grafana dashboard in their grid, from the last minutes of a Prometheus.

Usage: tools/dashboard-picture.py DASHBOARD.json PROMETHEUS-ADDRESS PICTURE.png
It is a picture for the docs, not Grafana: series, units, colours, legends and places are the dashboard's own.
"""

import json
import math
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

INK, PAPER, CARD, GRID = "#d8d9da", "#111217", "#181b1f", "#2c3235"
PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"]
NAMED = {"red": "#f2495c", "orange": "#ff9830", "yellow": "#f2cc0c", "green": "#73bf69", "blue": "#5794f2"}
WINDOW = "15s"


def ask(address, call, **parameters):
    url = f"{address}/api/v1/{call}?{urllib.parse.urlencode(parameters)}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return json.load(answer)["data"]["result"]


def scaled(value, unit):
    """A number as people read it."""
    if unit == "s":
        for bound, factor, name in [(1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"),
                                    (172800, 1 / 3600, "h"), (math.inf, 1 / 86400, "d")]:
            if abs(value) < bound:
                return f"{value * factor:.3g} {name}"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    return f"{value:.3g}" + ("/s" if unit == "reqps" else "")


def filled(expression):
    return expression.replace("$job", ".*").replace("$__rate_interval", WINDOW).replace("[24h]", "[1h]")


def legend(template, labels):
    if template in ("", "__auto"):
        return ""
    for name, value in labels.items():
        template = template.replace("{{%s}}" % name, value)
    return template


def graph(axes, panel, address, start, end):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    colours = {one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
               for one in panel["fieldConfig"]["overrides"]}
    times = list(range(int(start), int(end) + 1))
    lines = []
    for target in panel["targets"]:
        for series in ask(address, "query_range", query=filled(target["expr"]), start=start, end=end, step=1):
            values = {round(float(at)): float(value) for at, value in series["values"]}
            row = [values.get(at, math.nan) for at in times]
            row = [value if math.isfinite(value) else math.nan for value in row]
            if any(math.isfinite(value) for value in row):
                lines.append((legend(target["legendFormat"], series["metric"]), row))
    # Series that are always zero are omitted if there are others.
    busy = [line for line in lines if any(value > 0 for value in line[1] if math.isfinite(value))]
    lines = busy or lines
    minutes = [(at - start) / 60 for at in times]
    free = iter(PALETTE * 5)
    coloured = [(name, row, NAMED.get(colours[name], colours[name]) if name in colours else next(free))
                for name, row in lines]
    if custom["stacking"]["mode"] == "normal":
        rows = [[0 if math.isnan(value) else value for value in row] for _, row, _ in coloured]
        axes.stackplot(minutes, rows, colors=[colour for *_, colour in coloured], alpha=0.75, linewidth=0,
                       labels=[name for name, *_ in coloured])
    else:
        for name, row, colour in coloured:
            axes.plot(minutes, row, color=colour, linewidth=1.1, label=name)
    axes.set_xlim(0, (end - start) / 60)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MultipleLocator(0.5 if panel["gridPos"]["w"] > 4 else 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: scaled(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value)}:{int(value * 60) % 60:02}"))
    axes.grid(color=GRID, linewidth=0.5)
    axes.tick_params(colors=INK, labelsize=6, length=0)
    if coloured:
        columns = 2 if panel["gridPos"]["w"] < 12 else 4
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncol=columns, fontsize=5.5, frameon=False,
                    labelcolor=INK, handlelength=1, columnspacing=1, borderpad=0)


def stat(axes, panel, address, end):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    found = ask(address, "query", query=filled(panel["targets"][0]["expr"]), time=end)
    value = float(found[0]["value"][1]) if found else math.nan
    colour = NAMED[steps[0]["color"]]
    for step in steps[1:]:
        if value >= step["value"]:
            colour = NAMED[step["color"]]
    alarm = panel["options"]["colorMode"] == "background"
    axes.set_facecolor(colour if alarm else CARD)
    shown = "no data" if math.isnan(value) else f"{value:.0f}" if unit == "short" else scaled(value, unit)
    axes.text(0.5, 0.42, shown, ha="center", va="center", transform=axes.transAxes, fontsize=20, weight="bold",
              color=PAPER if alarm else colour)
    axes.set_xticks([])
    axes.set_yticks([])


def main(dashboard, address, picture):
    with open(dashboard, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    end = time.time()
    begun = ask(address, "query", query="min(min_over_time(timestamp(claviger_build_info)[1h:1s]))", time=end)
    start = float(begun[0]["value"][1])
    height = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    figure = plt.figure(figsize=(13, height * 0.26), dpi=92, facecolor=PAPER)
    for panel in panels:
        place = panel["gridPos"]
        top = 1 - place["y"] / height
        if panel["type"] == "row":
            figure.text(0.006, top - 0.5 / height, panel["title"], color=INK, fontsize=9, weight="bold", va="center")
            continue
        # Inside its cell: a title above, axes to the left and below, space for the legend.
        plain = panel["type"] == "stat"
        left, right, above, below = (0.12, 0.12, 1.1, 0.25) if plain else (1.15, 0.35, 1.0, 1.9)
        axes = figure.add_axes([(place["x"] + left) / 24, top - (place["h"] - below) / height,
                                (place["w"] - left - right) / 24, (place["h"] - above - below) / height])
        axes.set_facecolor(CARD)
        for spine in axes.spines.values():
            spine.set_color(GRID)
        figure.text((place["x"] + 0.12) / 24, top - 0.5 / height, panel["title"], color=INK, fontsize=7.5, va="center")
        if plain:
            stat(axes, panel, address, end)
        else:
            graph(axes, panel, address, start, end)
    figure.savefig(picture, facecolor=PAPER, pil_kwargs={"optimize": True})
    # A small palette reduces the file to a third.
    from PIL import Image
    with Image.open(picture) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(picture, optimize=True)


main(*sys.argv[1:])
