/** Where a server spent its time: functions by their own share of the samples, from profiles that were recorded in one benchmark. */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
}

export interface CpuProfile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

export interface SelfTime {
  name: string
  place: string
  /** Of the time in which the process was not idle. */
  percent: number
}

const idle = '(idle)'

/** The functions with the most time of their own, most first. */
export function selfTimes(profiles: readonly CpuProfile[], most: number): SelfTime[] {
  const own = new Map<string, { name: string; place: string; us: number }>()
  let total = 0
  for (const { nodes, samples, timeDeltas } of profiles) {
    const frames = new Map(nodes.map((node) => [node.id, node.callFrame]))
    for (const [index, id] of samples.entries()) {
      const frame = frames.get(id)
      // The time that follows a sample is the time it stands for.
      const us = Math.max(0, timeDeltas[index + 1] ?? 0)
      if (!frame || frame.functionName === idle) continue
      const place = frame.url === '' ? '' : `${shorten(frame.url)}:${frame.lineNumber + 1}`
      const name = frame.functionName === '' ? '(anonymous)' : frame.functionName
      const key = `${name} ${place}`
      const entry = own.get(key) ?? { name, place, us: 0 }
      entry.us += us
      total += us
      own.set(key, entry)
    }
  }
  return [...own.values()]
    .toSorted((a, b) => b.us - a.us)
    .slice(0, most)
    .map(({ name, place, us }) => ({ name, place, percent: (100 * us) / total }))
}

/** One block of text for each label that was recorded into the folder since then. */
export function tellProfiles(folder: string, since: number, most = 15): string {
  const labels = new Map<string, CpuProfile[]>()
  for (const name of readdirSync(folder).toSorted()) {
    const path = join(folder, name)
    if (!name.endsWith('.cpuprofile') || statSync(path).mtimeMs < since) continue
    const label = basename(name).replace(/\.\d+\.cpuprofile$/, '')
    const profiles = labels.get(label) ?? []
    profiles.push(JSON.parse(readFileSync(path, 'utf8')) as CpuProfile)
    labels.set(label, profiles)
  }
  return [...labels]
    .map(([label, profiles]) => {
      const lines = selfTimes(profiles, most).map(
        ({ name, place, percent }) => `${percent.toFixed(1).padStart(5)} %  ${name}  ${place}`,
      )
      return [`${label}: own time while not idle`, ...lines].join('\n')
    })
    .join('\n\n')
}

const shorten = (url: string) => url.replace(/^file:\/\//, '').replace(/^.*\/(?=(?:server|contract|sdk|node_modules|dist)\/)/, '')
