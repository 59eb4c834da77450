/** What a run came to: gathered from the server at its end, and written as the JSON document or as the report. */
import type { FinalResult, GoalInput, LoadedDocument } from '@cadre/agents'
import type { OutputOf } from '@cadre/contract'
import type { Hub } from '@cadre/sdk'
import pc from 'picocolors'
import type { Kill } from './kill.ts'

export interface Outcome {
  goal: string
  documents: readonly LoadedDocument[]
  skipped: GoalInput['skipped']
  result: FinalResult
  tasks: { task: OutputOf<'tasks.list'>['items'][number]; attempts: number }[]
  messages: { sent: number; delivered: number; acknowledged: number; redelivered: number; dead: number }
  calls: OutputOf<'tools.calls'>['items']
  kills: Kill[]
}

export async function collect(hub: Hub, runId: string): Promise<Pick<Outcome, 'tasks' | 'messages' | 'calls'>> {
  const { items } = await hub.call('tasks.list', { run_id: runId, limit: 500 })
  const tasks = await Promise.all(
    items.reverse().map(async (task) => ({ task, attempts: (await hub.call('tasks.get', { id: task.id })).attempts.length })),
  )
  const { items: calls } = await hub.tools.calls({ limit: 500 })
  const { messages } = await hub.call('system.metrics', {})
  const { total: sent, delivered, acknowledged, redelivered, dead } = messages
  return { tasks, calls, messages: { sent, delivered, acknowledged, redelivered, dead } }
}

/** The one document of `--json`. Texts are given where a reader could not decode them from the file alone. */
export function asJson({ goal, documents, skipped, result, tasks, messages, calls, kills }: Outcome, seconds: number) {
  const claims = result.answered ? result.report.claims : []
  return {
    goal,
    report: {
      markdown: result.report.markdown,
      claims: claims.map(({ text, citations, supported }) => ({ text, citations, supported })),
    },
    documents: documents.map(({ document, text, extracted, encoding }) => ({
      document,
      ...((extracted || encoding !== 'utf-8') && { text }),
    })),
    skipped: skipped.map(({ document, reason }) => ({ document, reason })),
    tasks: tasks.map(({ task, attempts }) => ({
      id: task.id,
      title: task.title,
      status: task.status,
      agent: task.assigned_to,
      attempts,
      depends_on: task.depends_on,
      started_at: task.started_at,
      completed_at: task.completed_at,
    })),
    messages,
    kills,
    tool_calls: calls.map(({ key, attempts, executions }) => ({ key, attempts, executions })),
    seconds: Math.round(seconds * 100) / 100,
  }
}

/** The last line: what was checked and what it took. */
export function closingLine({ result, messages, calls }: Outcome, seconds: number): string {
  const { struck } = result
  const total = result.report.claims.length
  const checked =
    total === 0
      ? 'nothing was claimed, so there was nothing to check'
      : struck > 0
        ? `oversight struck out ${struck} of ${count(total, 'sentence')}`
        : `oversight checked ${count(total, 'sentence')} and struck out none`
  const again = messages.redelivered === 0 ? '' : ` (${messages.redelivered} delivered again)`
  return pc.dim(
    `${checked}; ${count(messages.sent, 'message')}${again}, ${count(calls.length, 'tool call')}, ${seconds.toFixed(1)} s`,
  )
}

export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`

/** Breaks long lines between words for a terminal of `width` columns; items of a list keep their indentation. */
export function wrapped(markdown: string, width: number): string {
  return markdown
    .split('\n')
    .map((line) => {
      const hang = ' '.repeat(/^(?:- |\d+\. )?/.exec(line)?.[0].length ?? 0)
      const rows: string[] = []
      let row = ''
      for (const word of line.split(' ')) {
        if (row.trim() !== '' && row.length + 1 + word.length > width) {
          rows.push(row)
          row = hang + word
        } else row = row === '' && rows.length === 0 ? word : `${row} ${word}`
      }
      return [...rows, row].join('\n')
    })
    .join('\n')
}
