/** Plain and robust statistics over arrays of finite numbers. Each answers NaN where it is not defined. */

export type Summary = {
  count: number
  sum: number
  mean: number
  median: number
  sd: number
  min: number
  max: number
  q1: number
  q3: number
}

export function summarise(values: number[]): Summary {
  const sorted = Float64Array.from(values).sort()
  const count = sorted.length
  let sum = 0
  for (const value of sorted) sum += value
  const mean = sum / count
  let squares = 0
  for (const value of sorted) squares += (value - mean) ** 2
  const sd = count > 1 ? Math.sqrt(squares / (count - 1)) : Number.NaN
  return {
    count,
    sum,
    mean,
    median: quantile(sorted, 0.5),
    sd,
    min: sorted[0] ?? Number.NaN,
    max: sorted[count - 1] ?? Number.NaN,
    q1: quantile(sorted, 0.25),
    q3: quantile(sorted, 0.75),
  }
}

/** Linear interpolation between the closest ranks of sorted values (the definition spreadsheets use). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * share
  const low = Math.floor(at)
  const a = sorted[low] ?? Number.NaN
  const b = sorted[Math.min(low + 1, sorted.length - 1)] ?? a
  return a + (b - a) * (at - low)
}

export function median(values: number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5)
}

/** Pairs cost n^2: beyond this many points the series is thinned evenly, which keeps 500 points at 125,000 pairs. */
const maxPairPoints = 500

/** The median slope over all pairs, in units of y per unit of x. */
export function theilSen(x: number[], y: number[]): number {
  const points = thin(x, y)
  const slopes: number[] = []
  for (const [i, a] of points.entries()) {
    for (const b of points.slice(i + 1)) if (b[0] !== a[0]) slopes.push((b[1] - a[1]) / (b[0] - a[0]))
  }
  return median(slopes)
}

/** Mann-Kendall test of a monotone trend with correction for ties: S, the normal score z and the two-sided p. */
export function mannKendall(y: number[]): { s: number; z: number; p: number } {
  const points = thin([...y.keys()], y).map((point) => point[1])
  const n = points.length
  let s = 0
  for (const [i, a] of points.entries()) for (const b of points.slice(i + 1)) s += Math.sign(b - a)
  const ties = new Map<number, number>()
  for (const value of points) ties.set(value, (ties.get(value) ?? 0) + 1)
  let variance = n * (n - 1) * (2 * n + 5)
  for (const count of ties.values()) variance -= count * (count - 1) * (2 * count + 5)
  variance /= 18
  if (n < 3 || variance <= 0) return { s, z: 0, p: 1 }
  const z = s === 0 ? 0 : (s - Math.sign(s)) / Math.sqrt(variance)
  return { s, z, p: 2 * (1 - normalCdf(Math.abs(z))) }
}

function thin(x: number[], y: number[]): [number, number][] {
  const points = x.map((value, index): [number, number] => [value, y[index] ?? Number.NaN])
  if (points.length <= maxPairPoints) return points
  const step = points.length / maxPairPoints
  return Array.from({ length: maxPairPoints }, (_, index) => points[Math.floor(index * step)] ?? [0, 0])
}

/** Abramowitz and Stegun 26.2.17, absolute error below 7.5e-8. */
export function normalCdf(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const tail =
    (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return z >= 0 ? 1 - tail : tail
}

/** Robust z scores by the median absolute deviation, or by the mean one when more than half of the values are equal. */
export function robustScores(values: number[]): number[] {
  const middle = median(values)
  const away = values.map((value) => Math.abs(value - middle))
  const deviation = median(away)
  // Where more than half are the same, the median distance is nothing: the mean one, scaled alike for a normal distribution, stands in.
  const unit = deviation === 0 ? (1.253314 * away.reduce((sum, value) => sum + value, 0)) / values.length : deviation / 0.6745
  return values.map((value) => (unit === 0 ? 0 : (value - middle) / unit))
}

export function pearson(x: number[], y: number[]): number {
  const n = x.length
  if (n < 3) return Number.NaN
  const meanX = x.reduce((sum, value) => sum + value, 0) / n
  const meanY = y.reduce((sum, value) => sum + value, 0) / n
  let xy = 0
  let xx = 0
  let yy = 0
  for (const [index, value] of x.entries()) {
    const dx = value - meanX
    const dy = (y[index] ?? 0) - meanY
    xy += dx * dy
    xx += dx * dx
    yy += dy * dy
  }
  return xx === 0 || yy === 0 ? Number.NaN : xy / Math.sqrt(xx * yy)
}
