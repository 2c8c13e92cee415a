// The gap on a small axis: what was measured, what is left without tag errors, what is too small to see.

import { svg } from "./dom.js";

const ROW = 30;
const TOP = 12;

/** Percentage points with a sign: +47, −3, 0.4 below one, 0. */
export function points(value) {
  const size = Math.abs(100 * value);
  const text = size >= 0.05 && size < 0.95 ? size.toFixed(1) : size.toFixed(0);
  return `${text === "0" ? "" : value < 0 ? "−" : "+"}${text}`;
}

/** Rows of {name, value, low, high, cls}; `floor` = smallest detectable gap or null; in pixels of `width`. */
export function gapPlot({ rows, floor, width, label }) {
  const reach = Math.max(
    0.1, ...rows.flatMap((row) => [row.value, row.low, row.high]).filter((v) => v !== null && v !== undefined).map(Math.abs),
  );
  const limit = Math.min(1, Math.ceil(reach * 10 + 0.2) / 10);
  const narrow = width < 520;
  const left = narrow ? 14 : 150;
  const right = narrow ? 14 : 130;
  const bottom = TOP + rows.length * (narrow ? ROW + 14 : ROW);
  const height = bottom + 40;
  const x = (value) => left + ((Math.max(-limit, Math.min(limit, value)) + limit) / (2 * limit)) * (width - left - right);
  const plot = svg("svg", {
    class: "gap-plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label,
  });
  if (floor !== null && floor !== undefined && floor > 0) {
    const from = x(-Math.min(floor, limit));
    plot.append(svg("rect", { class: "floor", x: from, y: TOP - 6, width: x(Math.min(floor, limit)) - from, height: bottom - TOP + 6 }));
  }
  const step = limit > 0.6 ? (narrow ? 0.5 : 0.25) : limit > 0.3 ? 0.2 : limit > 0.15 ? 0.1 : 0.05;
  const ticks = [0];
  for (let at = step; at <= limit + 1e-9; at += step) ticks.push(at, -at);
  for (const tick of ticks) {
    plot.append(svg("line", { class: tick === 0 ? "zero" : "tick", x1: x(tick), x2: x(tick), y1: TOP - 6, y2: bottom + (tick === 0 ? 5 : 3) }));
    plot.append(text("tick-label", x(tick), bottom + 18, points(tick), "middle"));
  }
  plot.append(text("side", left, height - 4, "◂ lower with it", "start"));
  plot.append(text("side", width - right, height - 4, "higher with it ▸", "end"));
  rows.forEach((row, index) => {
    const y = narrow ? TOP + 26 + index * (ROW + 14) : TOP + ROW / 2 - 3 + index * ROW;
    if (narrow) plot.append(text("row-label", left, y - 13, row.name, "start"));
    else plot.append(text("row-label", 0, y + 4, row.name, "start"));
    const ends = row.low === null ? "" : ` [${points(row.low)}, ${points(row.high)}]`;
    plot.append(text("row-value", width - 2, narrow ? y - 13 : y + 4, `${points(row.value)}${ends}`, "end"));
    if (row.low !== null && row.high !== null) {
      plot.append(svg("line", { class: `range ${row.cls}`, x1: x(row.low), x2: x(row.high), y1: y, y2: y }));
      for (const end of [row.low, row.high]) {
        plot.append(svg("line", { class: `range ${row.cls}`, x1: x(end), x2: x(end), y1: y - 5, y2: y + 5 }));
      }
    }
    plot.append(row.cls === "corrected"
      ? svg("rect", { class: `dot ${row.cls}`, x: x(row.value) - 5, y: y - 5, width: 10, height: 10, transform: `rotate(45 ${x(row.value)} ${y})` })
      : svg("circle", { class: `dot ${row.cls}`, cx: x(row.value), cy: y, r: 5.5 }));
  });
  return plot;
}

function text(cls, x, y, content, anchor) {
  const node = svg("text", { class: cls, x, y, "text-anchor": anchor });
  node.textContent = content;
  return node;
}
