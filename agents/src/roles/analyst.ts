/** Statistics, trends, outliers and comparisons of the tables in the documents. */
import type { Hub } from '@cadre/sdk'
import { type AnalysisReport, allFindings, analyseDocument, recommend, tablesOf } from '../analysis/analyse.ts'
import type { TableFindings } from '../report/compose.ts'
import { Library } from './corpus.ts'
import { jobOf, pause, textOf, wordsOf } from './job.ts'
import { dossierTool } from './knowledge.ts'
import { Running, graceFor } from './running.ts'

const maxFindings = 60

export interface AnalysisResult {
  tables: TableFindings[]
  reports: ({ document: string } & Omit<AnalysisReport, 'trends' | 'outliers' | 'insights'>)[]
}

export function analyst(hub: Hub): void {
  const library = new Library(hub)
  const running = new Running()

  hub.onTask((task, context) => {
    return running.track(task.id, run())

    async function run(): Promise<AnalysisResult | ReturnType<typeof analyseText>> {
      const job = jobOf(task)
      if (!job) return analyseText(textOf(task.input, 'csv', 'json', 'data') || wordsOf(task), wordsOf(task))
      await context.tool(
        dossierTool,
        { collection: job.corpus.collection, subject: `figures: ${job.goal.slice(0, 200)}` },
        { key: 'number' },
      )
      await context.progress(0.1, 'looking for tables')
      await pause(context, job.pace_ms)
      const tables: TableFindings[] = []
      const reports: AnalysisResult['reports'] = []
      for (const [index, entry] of job.corpus.documents.entries()) {
        const text = await library.text(entry)
        if (tablesOf(entry.document, text).length === 0) continue
        await context.progress(0.1 + (0.8 * index) / job.corpus.documents.length, `computing ${entry.document}`)
        const report = analyseDocument(entry.document, text, job.goal)
        tables.push({ document: entry.document, findings: allFindings(report).slice(0, maxFindings) })
        const { columns, statistics, recommendations } = report
        reports.push({
          document: entry.document,
          columns: columns.slice(0, 40),
          statistics: statistics.slice(0, 40),
          recommendations,
        })
      }
      await pause(context, job.pace_ms)
      return { tables, reports }
    }
  })
  hub.onMessage(async (message) => message.task_id && running.settled(message.task_id, graceFor(message.attempt)), {
    type: 'task.note',
  })
  hub.onMessage((message) => analyseText(textOf(message.content, 'csv', 'json', 'data'), textOf(message.content, 'goal')))
}

/** A table sent as text: CSV, or JSON when it looks like it. */
function analyseText(text: string, goal: string) {
  const name = /^\s*[[{]/.test(text) ? 'data.json' : 'data.csv'
  const report = analyseDocument(name, text, goal)
  return {
    ...report,
    recommendations: report.recommendations.length > 0 ? report.recommendations : recommend(allFindings(report)),
  }
}
