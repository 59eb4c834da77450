/** The client commands: every operation of the contract, shortcuts and compositions over them. */
import { Command, CommanderError } from 'commander'
import { version } from '../../core/version.ts'
import { deriveCommand, pathOf } from './derived.ts'
import { exitCodes, printFailure, toFailure } from './failure.ts'
import { nounSummaries, operationAliases, shortcuts, verbAliases } from './names.ts'
import { planFor, plans, singular } from './plan.ts'
import { addSharedOptions } from './settings.ts'
import { statusCommand } from './status.ts'
import { tailCommand } from './tail.ts'
import { type Terminal, processTerminal, readerGone } from './terminal.ts'
import { watchCommand } from './watch.ts'

const firstSteps = `
Examples:
  cadre start                                       the server on http://localhost:8000
  cadre agents spawn ada researcher                 an agent that the platform runs
  cadre tasks create "Look into tidal power" --agent-type researcher
  cadre ask ada "What did you find?"
  cadre events tail

A value may be @file, or - for standard input. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 not permitted,
5 conflict, 6 timeout, 7 no server, 130 interrupted.`

/** Commands that are programs of their own; they are here for help and for what is similar to them. */
const programs = {
  start: {
    summary: 'Start the server and keep it in the foreground',
    more: 'Settings are variables: CADRE_PORT (8000), CADRE_DATA (.cadre), CADRE_HOST, CADRE_AUTH, LOG_LEVEL.',
  },
  demo: { summary: 'Run a team of agents over documents, from question to cited report', more: 'See cadre demo --help.' },
  worker: { summary: 'Run one managed agent; the server starts it', more: 'Its assignment comes on standard input.' },
}

const sharedFooter = `
Every command takes --url, --token, --timeout, --json, --jsonl, --quiet and --yes; cadre <command> --help tells more.`

/** A command in a list: its names and places, without the words every command has. */
const termOf = (command: Command): string => {
  const places = command.usage().replace(/ *\[options\]| *\[command\]/g, '')
  return [command.name(), ...command.aliases()].join(', ') + (places === '' ? '' : ` ${places}`)
}

/** Every command that talks to a server. */
export function buildProgram(terminal: Terminal): Command {
  const program = new Command('cadre')
  program
    .description('The nervous system for teams of AI agents: durable inbox, shared tasks, memory, knowledge and tools.')
    .version(version, '-V, --version', 'print the version')
    .enablePositionalOptions()
    .addHelpText('after', sharedFooter)
    .addHelpText('after', firstSteps)
  addSharedOptions(program)

  program.commandsGroup('Run:')
  for (const [name, { summary, more }] of Object.entries(programs)) {
    const command = program.command(name).summary(summary).description(`${summary}.\n${more}`).usage('')
    if (name === 'start') command.alias('dev')
  }

  program.commandsGroup('Every day:')
  program.addCommand(statusCommand(terminal))
  for (const [name, { operation, positionals, ...shape }] of Object.entries(shortcuts)) {
    const plan = planFor(operation)
    const fields = positionals
      .map((each) => plan.fields.find((field) => field.name === each))
      .filter((field) => field !== undefined)
    program.addCommand(deriveCommand(plan, terminal, { ...shape, name, positionals: fields }))
  }

  program.commandsGroup('Everything:')
  for (const noun of new Set(plans.map((plan) => plan.noun))) program.addCommand(nounCommand(noun, terminal))
  settle(program, terminal)
  return program
}

function nounCommand(noun: string, terminal: Terminal): Command {
  const command = new Command(noun).summary(nounSummaries[noun] ?? noun).description(nounSummaries[noun] ?? noun)
  if (singular(noun) !== noun && noun !== 'system') command.alias(singular(noun))
  command.enablePositionalOptions()
  addSharedOptions(command)
  command.addHelpText('after', sharedFooter)
  const commands = plans
    .filter((plan) => plan.noun === noun && plan.operation.kind !== 'stream')
    .map((plan) => deriveCommand(plan, terminal))
  for (const plan of plans.filter((each) => each.noun === noun && each.operation.kind === 'stream')) {
    // A stream without a route goes on until it is stopped; one with a route has an answer as well.
    commands.push(
      plan.operation.routes
        ? deriveCommand(plan, terminal)
        : tailCommand(terminal, noun, { name: plan.verb, summary: 'Follow the log', last: 0 }),
    )
  }
  for (const sub of commands) command.addCommand(sub)
  if (noun === 'events') command.addCommand(tailCommand(terminal, noun, { name: 'tail', summary: 'Follow the log', last: 10 }))
  if (noun === 'messages')
    command.addCommand(
      tailCommand(terminal, noun, { name: 'tail', summary: 'Follow the messages', last: 10, types: ['message.sent'] }),
    )
  if (noun === 'tasks') command.addCommand(watchCommand(terminal))
  const taken = new Set(command.commands.map((each) => each.name()))
  for (const plan of plans.filter((each) => each.noun === noun)) {
    const sub = command.commands.find((each) => each.name() === plan.verb)
    for (const alias of [...(verbAliases[plan.verb] ?? []), ...(operationAliases[plan.operation.name] ?? [])]) {
      if (taken.has(alias)) continue
      taken.add(alias)
      sub?.alias(alias)
    }
  }
  return command
}

/** Ways of failing and of speaking, the same for every command. */
function settle(command: Command, terminal: Terminal): void {
  const { errorColours } = terminal
  command.exitOverride().configureOutput({
    writeOut: (text) => void terminal.stdout.write(text),
    writeErr: (text) => void terminal.stderr.write(text),
    outputError: (text, write) => write(`${errorColours.red('✗')} ${text.replace(/^error: /, '')}`),
    getOutHelpWidth: () => Math.min(terminal.size()?.columns ?? 100, 120),
    getErrHelpWidth: () => Math.min(terminal.size()?.columns ?? 100, 120),
    getOutHasColors: () => terminal.colours.isColorSupported,
    getErrHasColors: () => errorColours.isColorSupported,
  })
  if (command.commands.length > 0)
    command.configureHelp({
      subcommandTerm: termOf,
      // None in help, all of them for "did you mean", which asks without having set a width.
      visibleOptions(of) {
        return this.helpWidth === undefined ? [...of.options] : []
      },
      visibleCommands: (of) => of.commands.filter((each) => each.name() !== 'help'),
    })
  command.showHelpAfterError(`Try: ${pathOf(command)} --help`)
  for (const sub of command.commands) settle(sub, terminal)
}

/** Runs one command to its exit code; nothing is thrown. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<number> {
  const wantsJson = args.includes('--json') || args.includes('--jsonl')
  try {
    const program = buildProgram(terminal)
    if (args.length === 0) program.outputHelp()
    else await program.parseAsync([...args], { from: 'user' })
    return terminal.signal.aborted && terminal.signal.reason !== readerGone ? exitCodes.interrupted : exitCodes.ok
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    // The reader has what it wanted: `| head -1` is no failure.
    if (terminal.signal.aborted && terminal.signal.reason === readerGone) return exitCodes.ok
    const failure = toFailure(error)
    if (terminal.signal.aborted) {
      terminal.stderr.write('\n')
      return exitCodes.interrupted
    }
    printFailure(terminal, failure, wantsJson)
    return failure.exitCode
  }
}

/** The command line of this process. */
export async function runClient(args: readonly string[]): Promise<number> {
  const terminal = processTerminal()
  try {
    return await runProgram(args, terminal)
  } finally {
    terminal.close()
  }
}
