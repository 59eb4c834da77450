import type { Task } from '@cadre/contract'
import { useEffect, useMemo, useState } from 'react'
import { api, readArtifact } from './api.ts'
import { findReport, type Report } from './report.ts'
import { isEnded } from './states.ts'

/** Newest artifacts of a run that are looked at for a text. */
const lookLimit = 8
const known = new Map<string, Promise<Report | null>>()

/** Artifacts never change, so each is looked at once. */
function reportOfArtifact(id: string): Promise<Report | null> {
  const found = known.get(id)
  if (found !== undefined) return found
  if (known.size > 200) known.clear()
  const reading = api.artifact(id).then(async ({ media_type }) => {
    if (!media_type.startsWith('text/markdown')) return null
    return { markdown: await readArtifact(id), claims: [] }
  })
  known.set(id, reading)
  reading.catch(() => known.delete(id))
  return reading
}

/** The report of a run: in a task's result, else its newest Markdown artifact. */
export function useReport(tasks: readonly Task[]): { task: Task; report: Report } | undefined {
  const direct = useMemo(() => findReport(tasks), [tasks])
  const candidates = tasks
    .filter((task) => isEnded(task.state))
    .flatMap((task) => task.artifacts.map((id) => ({ id, task })))
    .slice(-lookLimit)
    .toReversed()
  const wanted = direct === undefined ? candidates.map((each) => each.id).join() : ''
  const [read, setRead] = useState<{ wanted: string; task: Task; report: Report }>()
  useEffect(() => {
    let over = false
    const look = async () => {
      for (const { id, task } of candidates) {
        const report = await reportOfArtifact(id).catch(() => null)
        if (over) return
        if (report !== null) {
          setRead({ wanted, task, report })
          return
        }
      }
    }
    if (wanted !== '') void look()
    return () => {
      over = true
    }
  }, [wanted])
  return direct ?? (read !== undefined && read.wanted === wanted ? read : undefined)
}
