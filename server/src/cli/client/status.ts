/** `cadre status`: health and the counts that matter, on one screen. */
import { Command } from 'commander'
import type { OutputOf } from '@cadre/contract'
import { Failure, exitCodes } from './failure.ts'
import { bytes, cell, duration, markOf, paint, toneOf } from './look.ts'
import { planFor } from './plan.ts'
import { call } from './rest.ts'
import { addSharedOptions, readSettings } from './settings.ts'
import { type Terminal, write } from './terminal.ts'
import { pad, printable } from './text.ts'

const timeoutMs = 10_000

export function statusCommand(terminal: Terminal): Command {
  const command = new Command('status')
    .summary('Show whether the server works and what it holds')
    .description(
      'Health and counts of the server. Ends with 0 while it works, 1 when a part of it is down, 7 when no server answers.',
    )
    .addHelpText('after', '\nExamples:\n  cadre status\n  cadre status --json | jq .metrics.tasks.by_state')
  addSharedOptions(command)
  command.action(async () => {
    const settings = readSettings(command, terminal)
    const limit = { timeoutMs: settings.timeoutMs ?? timeoutMs }
    const health = await call(settings.connection, planFor('system.health').operation, {}, limit)
    // Health is public; the counts are not.
    let refused: Failure | undefined
    const metrics = await call(settings.connection, planFor('system.metrics').operation, {}, limit).catch((error: unknown) => {
      if (!(error instanceof Failure) || error.exitCode !== exitCodes.denied) throw error
      refused = error
      return undefined
    })
    const state = health.body as OutputOf<'system.health'>
    if (settings.json || settings.jsonl)
      await write(terminal, `{"health":${health.text.trim()},"metrics":${metrics?.text.trim() ?? 'null'}}\n`)
    else if (settings.quiet) await write(terminal, `${state.status}\n`)
    else
      await write(
        terminal,
        screen(terminal, settings.connection.url.origin, state, metrics?.body as OutputOf<'system.metrics'> | undefined),
      )
    // A key that was given and refused is an error; none given is not.
    if (refused && settings.connection.token !== undefined) throw refused
    if (refused && !settings.quiet) terminal.stderr.write(`The counts need a key: ${refused.message}\n`)
    if (state.status === 'down') throw new Failure(exitCodes.failed, 'A part of the server is down.')
  })
  return command
}

function screen(
  terminal: Terminal,
  origin: string,
  health: OutputOf<'system.health'>,
  metrics: OutputOf<'system.metrics'> | undefined,
): string {
  const { colours } = terminal
  const state = cell('status', health.status, terminal.now())
  const lines: [string, string][] = health.components.map((component) => [
    component.name,
    [
      paint(colours, toneOf(component.status), `${markOf(component.status)} ${component.status}`),
      printable(component.detail ?? ''),
    ].join('  '),
  ])
  const counts = (by: Readonly<Record<string, number>>) =>
    Object.entries(by)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => paint(colours, toneOf(name), `${markOf(name)} ${count} ${name}`))
      .join('  ')
  if (metrics) {
    const { agents, tasks, messages, knowledge, process } = metrics
    lines.push(
      ['agents', [`${agents.online} of ${agents.total} online`, counts(agents.by_status)].filter(Boolean).join('  ')],
      ['tasks', [String(tasks.total), counts(tasks.by_state)].filter(Boolean).join('  ')],
      [
        'messages',
        [
          `${messages.total}`,
          `${messages.per_minute}/min`,
          `${messages.waiting} waiting`,
          `${messages.leased} leased`,
          messages.dead > 0 ? paint(colours, 'bad', `${markOf('dead')} ${messages.dead} dead`) : '0 dead',
        ].join('  '),
      ],
      ['memory', `${metrics.memory_keys} keys`],
      ['knowledge', `${knowledge.documents} documents  ${knowledge.chunks} chunks`],
      [
        'process',
        `up ${duration(process.uptime_s * 1_000)}  ${bytes(process.rss_bytes)} resident  loop p99 ${duration(process.event_loop_p99_ms)}  ${metrics.connections} sockets  log at ${metrics.log_seq}`,
      ],
    )
  }
  const width = Math.max(...lines.map(([label]) => label.length))
  const head = `${paint(colours, state.tone, state.text)}  Cadre ${printable(health.version)} at ${origin}, up ${duration(health.uptime_s * 1_000)}\n`
  return head + lines.map(([label, text]) => `  ${colours.dim(pad(label, width))}  ${text}\n`).join('')
}
