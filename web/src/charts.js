// Charts: every [data-chart] holds its ECharts option as JSON and its rows as a table; this draws the one and
// offers the other.
import * as echarts from "echarts/core";
import { BarChart, HeatmapChart, LineChart, MapChart, PieChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent, DataZoomComponent, DatasetComponent, GeoComponent, GridComponent, LegendComponent, MarkAreaComponent,
  MarkLineComponent, TooltipComponent, VisualMapComponent,
} from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";

echarts.use([
  BarChart, HeatmapChart, LineChart, MapChart, PieChart, ScatterChart, AriaComponent, DataZoomComponent, DatasetComponent,
  GeoComponent, GridComponent, LegendComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, VisualMapComponent,
  CanvasRenderer,
]);

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function theme() {
  const ink = css("--mk-ink");
  const muted = css("--mk-muted");
  const line = css("--mk-line");
  const axis = {
    axisLine: { lineStyle: { color: line } },
    axisTick: { lineStyle: { color: line } },
    axisLabel: { color: muted },
    splitLine: { lineStyle: { color: line } },
    nameTextStyle: { color: muted },
  };
  return {
    // Distinguishable for the colour-blind and in grey print.
    color: ["#0b6b7d", "#d08a1d", "#5b7fb5", "#8a5a83", "#5f8f3e", "#b0503f", "#6b7780"],
    textStyle: { fontFamily: css("--mk-font"), fontSize: 12, color: ink },
    categoryAxis: { ...axis, splitLine: { show: false } },
    valueAxis: axis,
    timeAxis: axis,
    legend: { textStyle: { color: muted }, itemWidth: 14, itemHeight: 8 },
    line: { symbolSize: 6, lineStyle: { width: 2 } },
    bar: { barMaxWidth: 36 },
  };
}

// A map names its geometry by address; counties are found by code and labelled by what the data calls them (`titles` of
// a map that lies under points).
async function readMap(option) {
  if (!option.map) return;
  const address = option.map;
  delete option.map;
  echarts.registerMap(address, await (await fetch(address)).json());
  for (const series of option.series) {
    if (series.type !== "map") continue;
    series.label = {
      show: true, fontSize: 11, color: css("--mk-ink"), textBorderColor: "#fff", textBorderWidth: 2, formatter: (point) => point.data?.title ?? "", ...series.label,
    };
    series.emphasis = { label: { show: true }, itemStyle: { areaColor: "#f3d9a8" } };
    series.itemStyle = { borderColor: "#fff", borderWidth: 1, areaColor: css("--mk-sunk"), ...series.itemStyle };
  }
  if (option.geo) {
    const titles = option.geo.titles ?? {};
    delete option.geo.titles;
    Object.assign(option.geo, {
      map: address, nameProperty: "code", silent: true,
      itemStyle: { borderColor: css("--mk-line-strong"), borderWidth: 1, areaColor: css("--mk-sunk") },
      label: { show: true, fontSize: 11, color: css("--mk-muted"), formatter: (point) => titles[point.name] ?? "" },
    });
  }
  option.grid = undefined;
  option.tooltip = { trigger: "item", formatter: (p) => `${p.data?.title ?? ""}  ${p.data?.value ?? "—"}`, ...option.tooltip };
}

export async function draw(root) {
  for (const place of root.querySelectorAll("[data-chart]:not([data-drawn])")) {
    place.dataset.drawn = "";
    const source = place.querySelector("script[type='application/json']");
    const canvas = place.querySelector(".mk-chart-canvas");
    if (!source || !canvas) continue;
    const option = JSON.parse(source.textContent);
    const map = Boolean(option.map);
    await readMap(option);
    // Tooltips as canvas text: the content-security policy forbids styles in HTML text.
    option.tooltip = { confine: true, ...option.tooltip, renderMode: "richText" };
    if (option.legend) option.legend = { top: 4, right: 12, ...option.legend };
    if (!map) option.grid ??= { left: 8, right: 16, top: option.legend ? 36 : 16, bottom: 4, containLabel: true };
    option.aria ??= { enabled: true, decal: { show: false } };
    option.animation ??= false;
    // Days as they are written everywhere else.
    if (option.xAxis?.type === "time") {
      option.xAxis.axisLabel = {
        hideOverlap: true, ...option.xAxis.axisLabel,
        formatter: { year: "{yyyy}年", month: "{yyyy}-{MM}", day: "{MM}-{dd}", hour: "{HH}:{mm}" },
      };
    }
    const chart = echarts.init(canvas, theme());
    chart.setOption(option);
    // A point leads to its rows.
    chart.on("click", (point) => {
      const href = point.data?.href;
      if (typeof href === "string" && href.startsWith("/")) window.location.assign(href);
    });
    new ResizeObserver(() => chart.resize()).observe(canvas);
    const picture = place.querySelector("[data-chart-picture]");
    picture?.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = chart.getDataURL({ pixelRatio: 2, backgroundColor: "#fff" });
      link.download = `${place.dataset.title || "chart"}.png`;
      link.click();
    });
    window.addEventListener("beforeprint", () => chart.resize());
  }
}
