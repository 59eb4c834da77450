import type { SubmitEvent } from 'react'
import { api, type Rule } from '../api.ts'
import { curl } from '../curl.ts'
import { describeCondition, describeTarget, strategies } from '../rules.ts'
import { useAction } from '../use-action.ts'
import { useReading } from '../use-reading.ts'
import { ActionButton } from './action-button.tsx'
import { EmptyState } from './empty-state.tsx'
import { Panel } from './panel.tsx'

const example = { name: 'analysis', when: { type: 'analysis.*' }, to: { agent_type: 'analyst', strategy: 'idle' } } as const

/** Where messages go that name nobody. */
export function RulesPanel({ touched }: { touched: string }) {
  const reading = useReading(api.rules, touched)
  const items = reading.value?.items ?? []
  return (
    <Panel id="rules" title="Routing rules" note={items.length > 0 ? 'the first that matches decides' : undefined}>
      <RuleForm done={reading.again} />
      {reading.problem !== null && (
        <p role="alert" className="px-4 py-2 text-sm text-bad">
          {reading.problem}
        </p>
      )}
      {reading.value !== undefined && items.length === 0 ? (
        <EmptyState
          title="No rule yet"
          action={{ label: 'Send analysis to an idle analyst', run: () => api.addRule(example).then(reading.again) }}
          command={curl('POST', '/rules', example)}
        >
          A message that names nobody goes to everyone. A rule sends those of a type to an agent that fits instead.
        </EmptyState>
      ) : (
        <ol aria-label="Rules">
          {items.map((rule) => (
            <RuleRow key={rule.id} rule={rule} done={reading.again} />
          ))}
        </ol>
      )}
    </Panel>
  )
}

function RuleRow({ rule, done }: { rule: Rule; done: () => void }) {
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-2.5 last:border-b-0">
      <span className={`text-sm font-medium ${rule.enabled ? '' : 'text-faint'}`}>{rule.name}</span>
      <span className="min-w-0 text-sm break-words text-muted">
        {describeCondition(rule.when)}
        <span className="px-1 text-faint" aria-hidden="true">
          →
        </span>
        <span className="sr-only"> goes to </span>
        {describeTarget(rule.to)}
      </span>
      <span className="text-xs text-faint tabular">{rule.enabled ? `priority ${rule.priority}` : 'turned off'}</span>
      <span className="ml-auto">
        <ActionButton
          label="Delete"
          name={`Delete the rule ${rule.name}`}
          run={() => api.removeRule(rule.id)}
          done={done}
          confirm={{ question: 'Delete it?', yes: 'Yes, delete', no: 'Keep' }}
        />
      </span>
    </li>
  )
}

const field =
  'h-8 w-full min-w-0 rounded-md border border-line bg-raised px-2.5 text-sm placeholder:text-faint hover:border-line-strong'

function RuleForm({ done }: { done: () => void }) {
  const { busy, problem, act } = useAction()
  const submit = async (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const values = new FormData(form)
    const text = (name: string) => String(values.get(name) ?? '').trim()
    const rule = {
      name: text('name'),
      when: { type: text('type') },
      to: { agent_type: text('agent_type'), strategy: text('strategy') as (typeof strategies)[number]['value'] },
    }
    if (!(await act(() => api.addRule(rule)))) return
    form.reset()
    done()
  }
  return (
    <form onSubmit={submit} aria-label="New rule" className="border-b border-line px-4 py-3">
      <div className="grid grid-cols-1 items-end gap-3 sm:grid-cols-2 lg:grid-cols-[1fr_1fr_1fr_1fr_auto]">
        <label className="block text-xs text-muted">
          Name
          <input name="name" required maxLength={128} placeholder="analysis" className={`mt-1 ${field}`} />
        </label>
        <label className="block text-xs text-muted">
          Message type, * for any text
          <input name="type" required maxLength={128} placeholder="analysis.*" className={`mt-1 font-mono ${field}`} />
        </label>
        <label className="block text-xs text-muted">
          Goes to agents of type
          <input name="agent_type" required maxLength={64} placeholder="analyst" className={`mt-1 ${field}`} />
        </label>
        <label className="block text-xs text-muted">
          Which of them
          <select name="strategy" defaultValue="idle" className={`mt-1 ${field}`}>
            {strategies.map(({ value, label }) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button
          type="submit"
          disabled={busy}
          className="h-8 rounded-md bg-accent px-3 text-sm font-medium text-on-accent hover:opacity-90 disabled:opacity-60"
        >
          Add rule
        </button>
      </div>
      {problem !== null && (
        <p role="alert" className="mt-2 text-sm text-bad">
          {problem}
        </p>
      )}
    </form>
  )
}
