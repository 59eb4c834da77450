/**
 * Measures subjects side by side. A round visits every cell (a kind of load), and in each cell every subject in turn, ours first and
 * last, so that a machine that grows busy shows. Round 0 warms up and is dropped.
 */
import type { Durability } from './drivers.ts'
import { now } from './now.ts'
import { median } from './statistics.ts'

export interface Cell {
  key: string
  /** Added to the names of rows and ratios; empty for the plain closed loop. */
  suffix: string
  /** Null at a fixed rate. */
  inFlight: number | null
  /** How many connections it is about, where that is the question. */
  connections?: number
}

export interface Sample {
  perSecond: number
  p50: number
  p99: number
  /** CPU of clients and server, per operation. */
  cpuUs: number
  /** The server's share of it; NaN where there is no server. */
  serverCpuUs: number
  /** Where all is stored first and then worked on: the rate of the storing; `perSecond` is that of the work. */
  enqueuedPerSecond?: number
  /** Why the sample does not count. */
  fault: string | undefined
}

export interface Subject<C extends Cell> {
  name: string
  ours: boolean
  /** Cells it can run; all unless given. */
  suits?: (cell: C) => boolean
  measure(cell: C, ms: number): Promise<Sample>
  /** Read back from the running system after the first write. */
  durability(): Promise<Durability>
}

export interface Plan {
  rounds: number
  /** Length of one sample. */
  ms: number
  warmUpMs: number
  /** After so long no further round is begun. */
  limitMs: number
  tell: (line: string) => void
}

export interface Series {
  /** Samples by cell and subject, one a kept round; undefined where that subject failed in that round. */
  samples: Map<string, Map<string, (Sample | undefined)[]>>
  durability: Map<string, Durability>
  /** Why a row is void, by `cell subject`. */
  faults: Map<string, string>
  rounds: number
}

/** How far ours first and ours last may lie apart before the cell is measured again. */
const drift = 0.25

export async function interleave<C extends Cell>(
  subjects: readonly Subject<C>[],
  cells: readonly C[],
  plan: Plan,
): Promise<Series> {
  const { tell } = plan
  const startedAt = now()
  const series: Series = { samples: new Map(), durability: new Map(), faults: new Map(), rounds: 0 }
  for (const cell of cells) series.samples.set(cell.key, new Map(subjects.map((subject) => [subject.name, []])))
  const broken = new Set<string>()
  let repeats = plan.rounds
  for (let round = 0; round <= plan.rounds; round++) {
    if (round > 1 && now() - startedAt > plan.limitMs) {
      tell(`time is up after ${round - 1} of ${plan.rounds} rounds`)
      break
    }
    for (const cell of cells) {
      let group = await measureCell(cell, round)
      if (round > 0 && group.drift > drift && repeats > 0 && now() - startedAt < plan.limitMs) {
        repeats -= 1
        tell(`ours first and last differ by ${Math.round(group.drift * 100)} %: ${cell.key} of round ${round} is measured again`)
        group = await measureCell(cell, round)
      }
      if (group.drift > drift && round > 0)
        tell(`flagged: ${cell.key} of round ${round} drifted by ${Math.round(group.drift * 100)} %`)
      if (round > 0) for (const [name, sample] of group.samples) series.samples.get(cell.key)?.get(name)?.push(sample)
    }
    if (round === 0) await readDurability()
    series.rounds = round
  }
  return series

  async function measureCell(cell: C, round: number): Promise<{ samples: Map<string, Sample | undefined>; drift: number }> {
    const ours = subjects.filter((subject) => subject.ours)
    const others = subjects.filter((subject) => !subject.ours)
    const taken = new Map<string, (Sample | undefined)[]>(subjects.map((subject) => [subject.name, []]))
    const line: string[] = []
    for (const subject of [...ours, ...others, ...ours.toReversed()]) {
      if (subject.suits && !subject.suits(cell)) continue
      const sample = await sampleOf(subject, cell, round)
      taken.get(subject.name)?.push(sample)
      line.push(`${subject.name} ${sample ? Math.round(sample.perSecond) : 'failed'}`)
    }
    tell(`round ${round}/${plan.rounds} ${cell.key}: ${line.join(', ')}`)
    const [first] = ours
    const [before, after] = (first && taken.get(first.name)) ?? []
    const apart = before && after ? Math.abs(before.perSecond - after.perSecond) / Math.max(before.perSecond, after.perSecond) : 0
    return { samples: new Map([...taken].map(([name, samples]) => [name, together(samples)])), drift: apart }
  }

  async function sampleOf(subject: Subject<C>, cell: C, round: number): Promise<Sample | undefined> {
    if (broken.has(subject.name)) return undefined
    const refuse = (reason: string) => {
      const key = `${cell.key} ${subject.name}`
      if (!series.faults.has(key)) tell(`void: ${key}, round ${round}: ${reason}`)
      series.faults.set(key, reason)
    }
    try {
      const sample = await subject.measure(cell, round === 0 ? plan.warmUpMs : plan.ms)
      if (sample.fault !== undefined) refuse(sample.fault)
      return sample.fault === undefined ? sample : undefined
    } catch (error) {
      // It may hang again in every cell: it is not asked any more.
      broken.add(subject.name)
      for (const other of cells) series.faults.set(`${other.key} ${subject.name}`, 'it failed in an earlier run')
      refuse(error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  async function readDurability(): Promise<void> {
    for (const subject of subjects) {
      if (broken.has(subject.name)) continue
      try {
        series.durability.set(subject.name, await subject.durability())
      } catch (error) {
        tell(
          `the durability of ${subject.name} could not be read back: ${error instanceof Error ? error.message : String(error)}`,
        )
      }
    }
  }
}

/** Is some row of the subject void? */
export const isFaulty = (series: Series, name: string): boolean =>
  [...series.faults.keys()].some((key) => key.endsWith(` ${name}`))

/** Ours is measured twice a round. */
function together(samples: readonly (Sample | undefined)[]): Sample | undefined {
  const good = samples.filter((sample) => sample !== undefined)
  if (good.length === 0 || good.length < samples.length) return undefined
  const of = (field: (sample: Sample) => number) => median(good.map(field))
  return {
    perSecond: of((sample) => sample.perSecond),
    p50: of((sample) => sample.p50),
    p99: of((sample) => sample.p99),
    cpuUs: of((sample) => sample.cpuUs),
    serverCpuUs: of((sample) => sample.serverCpuUs),
    enqueuedPerSecond: of((sample) => sample.enqueuedPerSecond ?? Number.NaN),
    fault: undefined,
  }
}
