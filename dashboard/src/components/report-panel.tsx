import { memo } from 'react'
import { looseRun, type Run } from '../runs.ts'
import { isEnded } from '../states.ts'
import { useReport } from '../use-report.ts'
import { Command, CopyButton } from './copy-button.tsx'
import { Panel } from './panel.tsx'
import { ReportView } from './report-view.tsx'

function titleOf(run: Run | undefined): string {
  if (run === undefined) return 'No report yet'
  if (run.id === looseRun) return 'No report among these tasks'
  return run.tasks.every((task) => isEnded(task.state)) ? 'This run left no report' : 'The report is not written yet'
}

export const ReportPanel = memo(function ReportPanel({
  run,
  openTask,
}: {
  run: Run | undefined
  openTask: (id: string) => void
}) {
  const tasks = run?.tasks ?? []
  const found = useReport(tasks)
  const struck = found?.report.claims.filter((claim) => !claim.supported).length ?? 0
  const checked =
    found === undefined || found.report.claims.length === 0
      ? undefined
      : `${found.report.claims.length} claims checked${struck > 0 ? `, ${struck} struck` : ''}`
  return (
    <Panel
      id="report"
      title="Report"
      note={checked}
      actions={
        found !== undefined && (
          <>
            <button
              type="button"
              onClick={() => openTask(found.task.id)}
              className="h-7 rounded-md px-2 text-xs font-medium text-muted hover:text-ink"
            >
              by {found.task.assigned_to ?? found.task.creator}
            </button>
            <CopyButton text={found.report.markdown} label="Copy the report as Markdown" />
          </>
        )
      }
    >
      {found !== undefined ? (
        <div className="px-4 py-5 sm:px-6 lg:px-8 lg:py-7">
          <ReportView report={found.report} />
        </div>
      ) : (
        <div className="mx-auto flex w-full max-w-md flex-col gap-3 px-4 py-10 text-center">
          <p className="text-base font-medium">{titleOf(run)}</p>
          <p className="text-sm text-balance text-muted">
            A task that ends with a report shows it here: every sentence numbered to the document, the passage and the characters
            it rests on.
          </p>
          {tasks.length > 0 ? (
            <a href="#tasks" className="text-sm text-accent underline underline-offset-2">
              See how the tasks stand
            </a>
          ) : (
            <a href="/docs" className="text-sm text-accent underline underline-offset-2">
              Try the API
            </a>
          )}
          {tasks.every((task) => isEnded(task.state)) && (
            <>
              <p className="text-xs text-faint">or in a terminal, a whole run over documents of your own</p>
              <Command text={'npm run demo -- --docs ./my-documents --goal "What do they say?"'} />
            </>
          )}
        </div>
      )}
    </Panel>
  )
})
